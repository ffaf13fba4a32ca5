"""Closed-form recommenders under user-level differential privacy, and a ledger that is killed over and over.

Each figure is of a real federation: masks, integer noise in shares of all tenants but one, each tenant's guard and
ledger, budgets split by the public rule. Hyper-parameters are the defaults, found on validation, not on test; noise
comes from a cryptographic generator, so `seeds` are repetitions.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import scratch
from benchmarks.figures import Bar, Row, at_least, at_most
from benchmarks.private_federation import DELTA, FLOOR, METRIC, PrivateFederation, spent_of
from fedrec.client.ledger import Entry, Ledger, create_ledger
from fedrec.config import Config, parse
from fedrec.data import fetch
from fedrec.errors import Refusal
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Gaussian

PERSONAL = "content_pca"
FEWEST_OF = {"ml-1m": 10, "ml-100k": 5}
SPLITS = {"ml-1m": {"split": "by_user_attribute", "attribute": "zip", "prefix": 1}, "ml-100k": {"split": "iid", "n": 5}}
USERS = {"ml-1m": 6040, "ml-100k": 943}
TITLES = {"ml-1m": "ML-1M, 10 tenants", "ml-100k": "ML-100K, 5 tenants"}
BARS: dict[str, dict[float, Bar | None]] = {
    "ml-1m": {
        20.0: at_least(0.068),
        10.0: at_least(0.052),
        5.0: at_least(0.034),
        2.0: at_least(0.024),
        1.0: at_least(0.0225),
    },
    "ml-100k": {8.0: at_least(0.054), 4.0: at_least(0.048), 2.0: None, 1.0: None, 0.5: None},
}
QUICK = {"ml-100k": {8.0: at_least(0.054), 0.5: None}}
KILLS, QUICK_KILLS, AFFORDED = 1000, 30, 300
RELEASE = Entry("a release", (Gaussian(1.0, 30.0),))


@dataclass(frozen=True)
class Measured:
    """NDCG@10 of the personal recommender and of the noisy popularity list, and what the dearest ledger says."""

    personal: float
    floor: float
    spent: float


def rows(settings: Settings) -> Iterator[Row]:
    """Quality by epsilon, then the ledger."""
    for dataset, bars in (QUICK if settings.quick else BARS).items():
        for epsilon, bar in bars.items():
            yield from _quality(dataset, epsilon, bar, settings.seeds)
    yield from _ledger(QUICK_KILLS if settings.quick else KILLS, settings.seeds[0])


BENCHMARK = Benchmark(
    "dp-statistics", "user-level differential privacy of closed forms by epsilon; 1,000 kills of a ledger", 12, rows
)


def measure(dataset: str, epsilon: float, repetition: int) -> Measured:
    """One federation, from empty ledgers to spent ones."""
    config, rows = _config(dataset, epsilon, repetition), fetch(dataset)
    with scratch() as folder:
        federation = PrivateFederation.fitted(config, rows, folder)
        found = federation.metrics()
        return Measured(found[PERSONAL], found[FLOOR], federation.spent())


def _config(dataset: str, epsilon: float, repetition: int) -> Config:
    return parse(
        {
            "seed": repetition,
            "data": {"dataset": dataset},
            "tenants": SPLITS[dataset],
            "evaluation": {"bootstrap": 0},
            "federation": {"min_tenants": FEWEST_OF[dataset], "max_tenants": 16, "max_users_per_tenant": 4000},
            "privacy": {"epsilon": epsilon, "delta": DELTA, "evaluation": "simulation", "users": USERS[dataset]},
            "models": [{"name": FLOOR}, {"name": PERSONAL}],
        },
        "benchmark dp-statistics",
    )


def _quality(dataset: str, epsilon: float, bar: Bar | None, seeds: tuple[int, ...]) -> Iterator[Row]:
    found = [measure(dataset, epsilon, seed) for seed in seeds]
    personal, floor = [one.personal for one in found], [one.floor for one in found]
    where = f"{TITLES[dataset]}, epsilon {epsilon:g}"
    note = (
        f"DP popularity {statistics.fmean(floor):.4f}; running check of the ledgers {max(o.spent for o in found):.4g}"
    )
    if len(found) > 1:
        note += f"; {min(personal):.4f} to {max(personal):.4f}"
    yield Row(f"{where}: Content-PCA {METRIC}", statistics.fmean(personal), "", bar, seeds, note)
    above = [one - other for one, other in zip(personal, floor, strict=True)]
    yield Row(f"{where}: Content-PCA above DP popularity, {METRIC}", statistics.fmean(above), "", at_least(0.0), seeds)


def _ledger(kills: int, seed: int) -> Iterator[Row]:
    """Kill a process that releases as fast as it can, start it again, and look at what it left behind."""
    unrecorded, exceeded, worst, rng = 0, 0, 0.0, random.Random(seed)
    budget = epsilon_of(RELEASE.mechanisms * AFFORDED, DELTA)
    started = time.monotonic()
    with scratch() as folder:
        create_ledger(folder)
        for _ in range(kills):
            _killed(folder, budget, rng.uniform(0.0, 0.08))
            ledger = Ledger(folder)
            entries, spent = ledger.entries(), spent_of(ledger)
            unrecorded += max(0, _left(folder) - len(entries))
            worst, exceeded = max(worst, spent), exceeded + (spent > budget * (1 + 1e-9))
        note = f"{len(entries):,} of {AFFORDED:,} recorded, {_left(folder):,} left, {time.monotonic() - started:.0f} s"
    where = f"ledger: {kills:,} kills (SIGKILL) and restarts"
    yield Row(f"{where}: releases that left unrecorded", unrecorded, "releases", at_most(0), (seed,), note)
    yield Row(f"{where}: times that the budget was exceeded", exceeded, "times", at_most(0), (seed,))


def _killed(folder: Path, budget: float, after_s: float) -> None:
    child = os.fork()
    if child == 0:
        _release(folder, budget)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _release(folder: Path, budget: float) -> None:
    """Record, then let go, until killed or refused."""
    try:
        with (folder / "left").open("ab", buffering=0) as left:
            while True:
                Ledger(folder).record(RELEASE, budget, DELTA)
                left.write(b"x")
    except Refusal:
        pass
    finally:
        os._exit(0)


def _left(folder: Path) -> int:
    return (folder / "left").stat().st_size if (folder / "left").exists() else 0
