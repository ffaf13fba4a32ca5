"""Fit closed-form recommenders over the federation: ask for the sums they need until none needs another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedrec.contribution import Layout, Total
from fedrec.errors import ModelError
from fedrec.messages import CONTRIBUTE, AnyArray, ContributeBody, EncoderSpec, NoiseTerms, Phase, StatisticSpec
from fedrec.models import ClosedForm, ItemFeatures, Statistic, Weights, needed
from fedrec.models.fitting import SumOverClients, fading, may_recur
from fedrec.models.statistics import CONTENT, OVER_CONTENT
from fedrec.server.exchange import Exchange


def fit_federated(
    exchange: Exchange, algorithms: Mapping[str, ClosedForm], items: ItemFeatures, phase: Phase
) -> dict[str, Weights]:
    """Label -> fitted weights. All sums that are needed next travel together; equal ones are released once."""
    weights = {label: algorithm.begin(items) for label, algorithm in algorithms.items()}
    kept: dict[str, Total] = {}
    while asked := needed(algorithms, weights):
        new = {statistic.key: statistic for statistic in asked.values() if statistic.key not in kept}
        totals = kept | (_sums(exchange, new, items, phase) if new else {})
        kept |= {key: totals[key] for key, statistic in new.items() if may_recur(statistic)}
        for label, statistic in asked.items():
            weights[label] = algorithms[label].absorb(weights[label], totals[statistic.key])
    return weights


def sum_over_federation(exchange: Exchange, items: ItemFeatures, phase: Phase) -> SumOverClients:
    """Sums over the tenants, each in a round of its own."""
    return lambda statistic: _sums(exchange, {statistic.key: statistic}, items, phase)[statistic.key]


def _sums(
    exchange: Exchange, statistics: Mapping[str, Statistic], items: ItemFeatures, phase: Phase
) -> dict[str, Total]:
    """Key -> total, all from one message to each client."""
    layout, specs = Layout(()), []
    arrays: dict[str, AnyArray] = {}
    if exchange.holdout.half_life_s is not None:
        statistics = {key: fading(statistic) for key, statistic in statistics.items()}
    for index, statistic in enumerate(statistics.values()):
        params, inputs = statistic.to_wire()
        specs.append(StatisticSpec(name=statistic.name, params=params))
        arrays |= _named(str(index), _travelling(statistic, inputs))
        layout = layout.join(statistic.layout().prefixed(str(index)))
    body = ContributeBody(
        round=exchange.next_round(),
        phase=phase,
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        encoder=_encoder(statistics.values(), items),
        statistics=tuple(specs),
        noise=_noise(exchange, list(statistics.values())),
    )
    action = "sum " + ", ".join(statistic.name for statistic in statistics.values())
    total = exchange.ask(CONTRIBUTE, body, arrays, layout, action)
    return {key: total.part(str(index)) for index, key in enumerate(statistics)}


def _noise(exchange: Exchange, statistics: Sequence[Statistic]) -> NoiseTerms | None:
    spending = exchange.spending
    if spending is None:
        return None
    multipliers = tuple(spending.multiplier_of(statistic) for statistic in statistics)
    return NoiseTerms(placement=spending.placement, sharers=spending.sharers, multipliers=multipliers)


def _travelling(statistic: Statistic, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """The arrays that a client is told; it makes the content of its items itself."""
    local = {CONTENT} if statistic.name in OVER_CONTENT else set()
    return {name: value for name, value in arrays.items() if name not in local}


def _encoder(statistics: Iterable[Statistic], items: ItemFeatures) -> EncoderSpec | None:
    """What clients have to encode their items with, if a sum is over content."""
    over_content = [statistic.name for statistic in statistics if statistic.name in OVER_CONTENT]
    if over_content and items.encoder is None:
        raise ModelError(
            f"{over_content[0]} is a sum over content, and nothing says which encoder made it; "
            "give the items of fedrec.content.features.catalogue_features."
        )
    return EncoderSpec.of(items.encoder) if over_content else None


def _named(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {f"{prefix}/{name}": value for name, value in arrays.items()}
