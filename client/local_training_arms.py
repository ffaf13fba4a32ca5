"""What a tenant may do with a federated network: use it, tune it on its own rows, or train alone; and which is best.

The choice is made on the tenant's own validation and never leaves it. A tenant is so no worse off than alone, as far as
its validation can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedrec.client.training import LocalRows, Validate, train
from fedrec.errors import ModelError
from fedrec.models.neural.network import Network, put_arrays
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import NeuralModel
from fedrec.models.protocols import AnyArray

FEDERATED, TUNED, ALONE = "federated", "tuned", "alone"
ARMS = (FEDERATED, TUNED, ALONE)
"""In the order in which equals are preferred: what others helped to make comes first."""


@dataclass(frozen=True, eq=False)
class Personal:
    """A tenant's choice. values: what each arm reached on its validation."""

    arm: str
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Tenant:
    """All that the arms of one tenant are made from. Private.

    arrays: the federated weights, and the tenant's private ones. tuning: a plan of small steps. alone: the plan of
    training without anyone else.
    """

    model: NeuralModel
    arrays: Mapping[str, AnyArray]
    tuning: LocalTraining
    alone: LocalTraining
    progress: Progress

    def network(self, arm: str, rows: LocalRows) -> Network:
        """The network of an arm, where it is trained on `rows`. Raises ModelError for an unknown arm."""
        if arm not in ARMS:
            raise ModelError(f"There is no arm '{arm}'; there are {', '.join(ARMS)}.")
        width = 0 if rows.content is None else rows.content.shape[1]
        network = self.model.build(rows.histories.num_items, width, self.progress.seed)
        if arm != ALONE:
            put_arrays(network, self.arrays)
        if arm != FEDERATED:
            train(network, self.model, rows, self.tuning if arm == TUNED else self.alone, self.progress)
        return network.eval()


def choose(tenant: Tenant, rows: LocalRows, validate: Validate, arms: tuple[str, ...] = ARMS) -> Personal:
    """The arm that does best on validation; the earlier one of equals.

    rows: training rows only, from which the federated weights were trained, too; `validate` sees what comes after them.
    """
    values = {arm: validate(tenant.network(arm, rows)) for arm in arms}
    return Personal(max(values, key=lambda arm: values[arm]), values)
