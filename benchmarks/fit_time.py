"""How long it takes to fit every closed-form recommender over ten tenants, messages and sums included."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import CLOSED_FORM, configured, exchange_over, scratch
from benchmarks.figures import Row, at_most
from benchmarks.timing import median, spread
from fedrec.content.features import catalogue_features
from fedrec.data import Dataset
from fedrec.models import ItemFeatures
from fedrec.models.registry import create_closed
from fedrec.server.events import Event, listening
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.simulations.tenancy import load_dataset

REPEATS = 3
ALL = tuple(CLOSED_FORM)


@dataclass(frozen=True)
class Fit:
    """Seconds of one federated fit, those of them in rounds (clients, messages, sums), and processor time."""

    total: float
    rounds: float
    cpu: float


def rows(settings: Settings) -> Iterator[Row]:
    """All together from a cold start, masked and in clear; then each alone with the tenants' rows already read."""
    title, preset = ("ML-100K, 21 tenants", "demo") if settings.quick else ("ML-1M, 10 tenants", "ml-1m")
    dataset = load_dataset(configured(preset).data, settings.seeds[0])
    for masks, how in ((True, "secure aggregation"), (False, "sums in clear")):
        fits = [_cold_fit(preset, dataset, masks) for _ in range(1 if settings.quick else REPEATS)]
        totals, in_rounds = [fit.total for fit in fits], [fit.rounds for fit in fits]
        bar = None if settings.quick else at_most(60)
        all_of_them = f"{title}, {how}: fit of all closed-form recommenders"
        cpu = f"{median([fit.cpu for fit in fits]):.1f} s of processor time"
        yield Row(all_of_them, median(totals), "s", bar, note="; ".join(filter(None, (spread(totals), cpu))))
        yield Row(f"{all_of_them}, part in rounds", median(in_rounds), "s", note="clients one after another")
    with scratch() as folder:
        exchange = exchange_over(configured(preset, masks=False), dataset, folder)
        _fit(exchange, dataset, ("popularity",))
        for name in ALL:
            fit = _fit(exchange, dataset, (name,))
            yield Row(
                f"{title}, sums in clear: fit of {name} alone", fit.total, "s", note=f"{fit.rounds:.2f} s in rounds"
            )


BENCHMARK = Benchmark("fit-time", "federated fit of all closed-form recommenders, ML-1M, 10 tenants", 12, rows)


def _cold_fit(preset: str, dataset: Dataset, masks: bool) -> Fit:
    """Everything, at tenants that have not read their rows yet."""
    with scratch() as folder:
        return _fit(exchange_over(configured(preset, masks=masks), dataset, folder), dataset, ALL)


def _fit(exchange: Exchange, dataset: Dataset, names: Sequence[str]) -> Fit:
    events: list[Event] = []
    started, started_cpu = time.perf_counter(), time.process_time()
    algorithms = {name: create_closed(name, CLOSED_FORM[name]) for name in names}
    needs_content = any(algorithm.uses_content for algorithm in algorithms.values())
    items = catalogue_features(dataset.catalogue) if needs_content else ItemFeatures(dataset.num_items)
    with listening(events.append):
        fit_federated(exchange, algorithms, items, "final")
    total, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    return Fit(total, sum(event["seconds"] for event in events if event["event"] == "round-end"), cpu)
