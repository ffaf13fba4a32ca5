"""A private step over made-up users, before any row is read: what cannot be bounded is refused by what it is.

The checks do not run on the tenant's own users. A refusal that depended on these would tell of them, and a server can
choose weights under which one user's rounding errors look like a missing part of a gradient.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from fedrec.client.summing import bounded_sum
from fedrec.client.training import LocalRows, Trained
from fedrec.data.histories import Histories
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserRanking
from fedrec.models.neural.network import Network, freeze
from fedrec.models.neural.objectives import Catalogue, Ranking, Rehearsed
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import NeuralModel
from fedrec.models.neural.randomness import stream
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.rng import derive

log = logging.getLogger("fedrec.client")
USERS, EVENTS = 6, 5
ITEMS = 64
"""Of the catalogue in which rows are compared; how many there are is nothing that a row is computed by."""
MADE_UP_STD = 0.3
"""Of weights under which nothing is saturated and nothing is so small that its rounding is lost."""
HARDLY = 1e-15
"""A rate of dropout that keeps everything, by the same kernels."""


def rehearse(
    network: Network, model: NeuralModel, rows: LocalRows, plan: LocalTraining, terms: StepTerms | SumTerms
) -> LocalRows:
    """`rows`, for steps that look at nobody any more. Raises ModelError for a network, weights or a loss of which a
    user's part cannot be bounded. Changes nothing, and looks at no history of `rows`."""
    sold = np.arange(rows.histories.num_items) if rows.assortment is None else np.flatnonzero(rows.assortment)
    made_up = sold[derive(0, "rehearsal").integers(0, len(sold), size=(USERS, EVENTS))]
    histories = Histories.from_lists(made_up.tolist(), rows.histories.num_items)
    everyone = SumTerms(1.0, terms.clip_norm, terms.multiplier, terms.divisor, sharers=1)
    bounded_sum(network, model, LocalRows(histories, rows.content, rows.assortment), plan, everyone)
    alike = rows_alike(cast(Any, model), _fields(network), plan, terms.divisor)
    if not alike:
        log.warning("private_steps=one_by_one reason=rows_not_alike hint=widths_multiples_of_4 model=%s", model.name)
    return replace(rows, rehearsed=Rehearsed(alike))


@lru_cache(maxsize=64)
def rows_alike(model: NeuralModel, fields: tuple[int, ...], plan: LocalTraining, divisor: int) -> bool:
    """Whether this machine computes each row of a part like the others, to the last bit. Kernels do not where a row is
    no whole number of the 16 bytes that they load; which of them, the machine knows.

    fields: widths of the content. The weights are made up: what a server sends could hide it.
    """
    from fedrec.privacy.gradients.passes import Passes  # opacus, for runs that use it

    network, generator = _quiet(model).build(ITEMS, fields, 0), stream(0, "rehearsal")
    freeze(network, plan)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=MADE_UP_STD, generator=generator)
    content = torch.randn(ITEMS, sum(fields), generator=generator) if fields else None
    passes = Passes(network, checked=True)
    rows = passes.users.rows(divisor)
    (part,) = _made_up(model, plan, content, rows).parts(np.arange(rows), rows, generator)
    passes.begin(generator)
    try:
        return passes.alike(part, part.turned())
    finally:
        passes.end()


def _made_up(model: NeuralModel, plan: LocalTraining, content: torch.Tensor | None, users: int) -> UserRanking:
    """So many users who have as much as is used."""
    items = derive(0, "rows").integers(ITEMS, size=(users, model.max_length + 1))
    batches = Batches(Histories.from_lists(items.tolist(), ITEMS), model.objective, model.max_length, 1)
    return UserRanking(Ranking(Catalogue(torch.arange(ITEMS), content), batches, plan, model.private))


def _fields(network: Network) -> tuple[int, ...]:
    """Widths of the content that a network was built for."""
    items = network.items
    if items.gate is not None:
        return tuple(items.gate.widths)
    return () if items.tower is None else (items.tower.in_features,)


def _quiet(model: NeuralModel) -> NeuralModel:
    """The same with dropout that leaves nothing out, which would be drawn for each row."""
    if not getattr(model, "dropout", 0.0):
        return model
    return cast(NeuralModel, replace(cast(Any, model), dropout=HARDLY))


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
    return network, train_on(network, replace(rows, histories=nobody))
