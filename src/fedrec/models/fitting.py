"""Fit recommenders from sums. Where the sums come from - one table, one tenant or a federation - makes no
difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models.protocols import ClosedForm, ItemFeatures, Localised, Scoring, Statistic, Weights

SumOverClients = Callable[[Statistic], Total]


def fit(algorithm: ClosedForm, items: ItemFeatures, sum_over_clients: SumOverClients) -> Weights:
    """The shared weights of a fitted recommender."""
    weights = algorithm.begin(items)
    while (statistic := algorithm.next_statistic(weights)) is not None:
        weights = algorithm.absorb(weights, sum_over_clients(statistic))
    return weights


def fit_all(
    algorithms: Mapping[str, ClosedForm], items: ItemFeatures, sum_over_clients: SumOverClients
) -> dict[str, Weights]:
    """The weights of several recommenders by label, fitted in step: each distinct sum of a step is asked for
    once."""
    weights = {label: algorithm.begin(items) for label, algorithm in algorithms.items()}
    while needs := needed(algorithms, weights):
        totals: dict[str, Total] = {}
        for statistic in needs.values():
            if statistic.key not in totals:
                totals[statistic.key] = sum_over_clients(statistic)
        weights |= {
            label: algorithms[label].absorb(weights[label], totals[statistic.key]) for label, statistic in needs.items()
        }
    return weights


def needed(algorithms: Mapping[str, ClosedForm], weights: Mapping[str, Weights]) -> dict[str, Statistic]:
    """The next statistic of each recommender that is not fitted yet, by label."""
    asked = {label: algorithm.next_statistic(weights[label]) for label, algorithm in algorithms.items()}
    return {label: statistic for label, statistic in asked.items() if statistic is not None}


def may_recur(statistic: Statistic) -> bool:
    """Whether another recommender may ask for the same sum in a later step: not if it is about arrays of one of them.

    A sum that was released is used again, at no cost; one that cannot recur is not worth its memory.
    """
    return not statistic.to_wire()[1]


def fading(statistic: Statistic) -> Statistic:
    """The same sum over events that fade: of weights, on a finer grid, where it is one of whole numbers."""
    whole = is_dataclass(statistic) and any(field.name == "weighed" for field in fields(statistic))
    return cast(Statistic, replace(cast(Any, statistic), weighed=True)) if whole else statistic


def pooled_sum(clients: Sequence[Histories]) -> SumOverClients:
    """Sums over histories that lie in one place: a pooled fit, or a local one where there is one client."""

    def total(statistic: Statistic) -> Total:
        statistic = fading(statistic) if clients[0].roots is not None else statistic
        layout = statistic.layout()
        values = dict(statistic.contribute(clients[0]).values)
        for histories in clients[1:]:
            for name, value in statistic.contribute(histories).values.items():
                values[name] = values[name] + value
        return Total(layout, values, len(clients))

    return total


def localised(algorithm: Scoring, weights: Weights, histories: Histories) -> Weights:
    """`weights` with the private ones of a tenant, if the recommender has any."""
    return algorithm.localise(weights, histories) if isinstance(algorithm, Localised) else weights
