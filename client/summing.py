"""A client's round of training as a bounded sum, for rounds whose noise all clients share."""

from __future__ import annotations

from fedrec.client.devices import bounded_update
from fedrec.client.training import LocalRows
from fedrec.contribution import Contribution
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserRanking
from fedrec.models.neural.network import Network, freeze
from fedrec.models.neural.objectives import Ranking
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import NeuralModel
from fedrec.privacy.gradients.summed import SumTerms


def bounded(
    network: Network, model: NeuralModel, rows: LocalRows, plan: LocalTraining, terms: SumTerms, progress: Progress
) -> Contribution:
    """What a client adds to the sum of a round: of one user the update, of several their gradients."""
    if terms.devices is not None:
        return bounded_update(network, model, rows, plan, terms, progress)
    return bounded_sum(network, model, rows, plan, terms)


def bounded_sum(
    network: Network, model: NeuralModel, rows: LocalRows, plan: LocalTraining, terms: SumTerms
) -> Contribution:
    """The bounded gradients of some of the client's users, added up in the order of the parameters' names.

    Private until it is released. Raises ModelError for a network or a loss of which a user's part cannot be bounded.
    """
    from fedrec.privacy.gradients.sums import BoundedSum  # opacus, for runs that use it

    freeze(network, plan)
    catalogue, histories = rows.catalogue()
    batches = Batches(histories, model.objective, model.max_length, plan.batch_size, may_be_empty=True)
    task = UserRanking(Ranking(catalogue, batches, plan, model.private, rows.rehearsed))
    names = sorted(name for name, _ in network.named_parameters() if not plan.freezes(name))
    return BoundedSum(network, task, names, terms).contribution()
