"""Fit closed-form recommenders over the federation: ask for the sums they need until none needs another."""

from __future__ import annotations

from collections.abc import Mapping

from fedrec.contribution import Layout, Total
from fedrec.messages import CONTRIBUTE, AnyArray, ContributeBody, Phase, StatisticSpec
from fedrec.models import ClosedForm, ItemFeatures, Statistic, Weights, needed
from fedrec.server.exchange import Exchange


def fit_federated(
    exchange: Exchange, algorithms: Mapping[str, ClosedForm], items: ItemFeatures, phase: Phase
) -> dict[str, Weights]:
    """Label -> fitted weights. All sums that are needed next travel together; equal ones are released once."""
    weights = {label: algorithm.begin(items) for label, algorithm in algorithms.items()}
    while asked := needed(algorithms, weights):
        totals = _sums(exchange, {statistic.key: statistic for statistic in asked.values()}, phase)
        for label, statistic in asked.items():
            weights[label] = algorithms[label].absorb(weights[label], totals[statistic.key])
    return weights


def _sums(exchange: Exchange, statistics: Mapping[str, Statistic], phase: Phase) -> dict[str, Total]:
    """Key -> total, all from one message to each client."""
    layout, specs = Layout(()), []
    arrays: dict[str, AnyArray] = {}
    for index, statistic in enumerate(statistics.values()):
        params, inputs = statistic.to_wire()
        specs.append(StatisticSpec(name=statistic.name, params=params))
        arrays |= _named(str(index), inputs)
        layout = layout.join(statistic.layout().prefixed(str(index)))
    body = ContributeBody(
        round=exchange.next_round(),
        phase=phase,
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        statistics=tuple(specs),
    )
    action = "sum " + ", ".join(statistic.name for statistic in statistics.values())
    total = exchange.ask(CONTRIBUTE, body, arrays, layout, action)
    return {key: total.part(str(index)) for index, key in enumerate(statistics)}


def _named(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {f"{prefix}/{name}": value for name, value in arrays.items()}
