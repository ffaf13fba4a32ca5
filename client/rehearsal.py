"""A private step over made-up users, before any row is read: what cannot be bounded is refused by what it is.

The same checks run on the tenant's own users afterwards. A refusal that depended on these would tell of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from fedrec.client.summing import bounded_sum
from fedrec.client.training import LocalRows, Trained
from fedrec.data.histories import Histories
from fedrec.models.neural.network import Network
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import NeuralModel
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.rng import derive

log = logging.getLogger("fedrec.client")
USERS, EVENTS = 6, 5


def rehearse(
    network: Network, model: NeuralModel, rows: LocalRows, plan: LocalTraining, terms: StepTerms | SumTerms
) -> None:
    """Raises ModelError for a network, weights or a loss of which a user's part cannot be bounded. Changes nothing, and
    looks at no history of `rows`."""
    sold = np.arange(rows.histories.num_items) if rows.assortment is None else np.flatnonzero(rows.assortment)
    made_up = sold[derive(0, "rehearsal").integers(0, len(sold), size=(USERS, EVENTS))]
    histories = Histories.from_lists(made_up.tolist(), rows.histories.num_items)
    everyone = SumTerms(1.0, terms.clip_norm, terms.multiplier, terms.divisor, sharers=1)
    bounded_sum(network, model, LocalRows(histories, rows.content, rows.assortment), plan, everyone)


def steps_or_noise(
    build: Callable[[], Network], rows: LocalRows, train_on: Callable[[Network, LocalRows], Trained]
) -> tuple[Network, Trained]:
    """A network after a round of noised steps, or after noise alone if they fail: no answer is withheld because of
    somebody's rows. Raises OSError where rows cannot be read."""
    network = build()
    try:
        return network, train_on(network, rows)
    except OSError:
        raise
    except Exception as error:
        log.exception("failed, answered with noise alone error=%s", type(error).__name__)
    network = build()
    nobody = rows.histories.select(np.empty(0, dtype=np.int64))
    return network, train_on(network, LocalRows(nobody, rows.content, rows.assortment))
