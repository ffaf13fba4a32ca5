"""How good gradient recommenders are on ML-1M: pooled, over ten and 21 tenants, and against each tenant alone.

A result file for each run, because each takes its half hour.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Bar, Row, at_least
from benchmarks.neural import HR, NDCG, TENANT, Measured, measure, measured, recipe, tenant_figures

SASREC = {NDCG: at_least(0.170), HR: at_least(0.290)}
GRU = {NDCG: at_least(0.141), HR: at_least(0.255)}
POOLED, TEN = "ML-1M, pooled: SASRec", "ML-1M, 10 tenants: SASRec"
TOGETHER, ALONE = "ML-1M, 21 tenants: SASRec", "ML-1M, 21 tenants, each alone: SASRec"


def pooled_sasrec(settings: Settings) -> Iterator[Row]:
    """All rows in one place, with more dropout than the ten tenants have."""
    yield from _rows(POOLED, measure(recipe("sasrec-occupation", settings, pooled=True)), SASREC, settings)


def pooled_gru(settings: Settings) -> Iterator[Row]:
    """All rows in one place."""
    yield from _rows("ML-1M, pooled: GRU", measure(recipe("gru", settings, pooled=True)), GRU, settings)


def ten(settings: Settings) -> Iterator[Row]:
    """Ten tenants that are nearly alike."""
    yield from _rows(TEN, measure(recipe("sasrec", settings)), {}, settings)


def occupations(settings: Settings) -> Iterator[Row]:
    """21 tenants of 17 to 759 users."""
    found = measure(recipe("sasrec-occupation", settings))
    yield from _rows(TOGETHER, found, {}, settings)
    yield from _tenants(TOGETHER, found, settings)


def alone(settings: Settings) -> Iterator[Row]:
    """Each of the 21 tenants with its own rows only."""
    found = measure(recipe("sasrec-occupation", settings), "local")
    yield from _rows(ALONE, found, {}, settings)
    yield from _tenants(ALONE, found, settings)


def shares(settings: Settings) -> Iterator[Row]:
    """What is left of the pooled quality in a federation: nothing is trained, results are compared."""
    for name, title, least in (("sasrec-federated", TEN, 95), ("sasrec-occupations", TOGETHER, 90)):
        for metric in (NDCG, HR):
            whole = measured("sasrec-pooled", f"{POOLED} {metric}", settings)
            share = 100 * measured(name, f"{title} {metric}", settings) / whole
            bar = at_least(least) if metric == NDCG else None
            yield Row(f"{title} {metric}, share of pooled", share, "%", bar, settings.seeds)


def gains(settings: Settings) -> Iterator[Row]:
    """What joining does for each of the 21 tenants: nothing is trained, two results are compared."""
    together, own = (tenant_figures(name, settings) for name in ("sasrec-occupations", "sasrec-alone"))
    changes = {name: 100 * (together[name] / value - 1) for name, value in own.items() if value > 0}
    worst = min(changes, key=lambda name: changes[name])
    note = f"tenant {worst}; {len(own) - len(changes)} of {len(own)} tenants reach 0 alone"
    title = "ML-1M, 21 tenants: SASRec together against alone"
    yield Row(f"{title}, worst tenant {NDCG}", changes[worst], "%", at_least(-1), settings.seeds, note)
    middle = statistics.median(changes.values())
    yield Row(f"{title}, median tenant {NDCG}", middle, "%", at_least(15), settings.seeds)


BENCHMARKS = (
    Benchmark("sasrec-pooled", "ML-1M, all rows in one place: SASRec", 25, pooled_sasrec),
    Benchmark("gru-pooled", "ML-1M, all rows in one place: GRU", 20, pooled_gru),
    Benchmark("sasrec-federated", "ML-1M, 10 nearly alike tenants: SASRec", 30, ten),
    Benchmark("sasrec-occupations", "ML-1M, 21 tenants: SASRec", 30, occupations),
    Benchmark("sasrec-alone", "ML-1M, 21 tenants: SASRec, each with its own rows only", 20, alone),
    Benchmark("sasrec-shares", "ML-1M: the federations above against pooled", 0, shares),
    Benchmark("sasrec-gains", "ML-1M, 21 tenants: together against alone, tenant by tenant", 0, gains),
)


def _rows(title: str, found: Measured, bars: Mapping[str, Bar], settings: Settings) -> Iterator[Row]:
    for metric in (NDCG, HR):
        note = found.interval(metric)
        yield Row(f"{title} {metric}", found.mean(metric), "", bars.get(metric), settings.seeds, note)


def _tenants(title: str, found: Measured, settings: Settings) -> Iterator[Row]:
    for name, value in found.tenants.items():
        yield Row(f"{title}, {TENANT} {name}: {NDCG}", value, "", None, settings.seeds)
