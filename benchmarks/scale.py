"""A catalogue of 200,000 items: what still fits, what it costs, and what is refused."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import exchange_over, scratch
from benchmarks.figures import Row, at_least
from fedrec.config import Config, parse
from fedrec.data import Catalogue, Dataset, Interactions
from fedrec.errors import CatalogueTooLarge
from fedrec.models import ItemFeatures
from fedrec.models.registry import create_closed
from fedrec.rng import derive
from fedrec.server.fitting import fit_federated

NUM_ITEMS, TENANTS = 200_000, 4
KIBIBYTE = 1024
OVER_PAIRS = ("markov", "item_knn", "ease", "pca")
# A sum of ALS has rank x (rank + 3) / 2 numbers for each item: above rank 24 more than tenants allow by default.
FITS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PCA by subspace iteration, rank 64", "pca", {"method": "subspace"}),
    ("ALS, rank 16", "als", {"rank": 16}),
)


@dataclass(frozen=True)
class Market:
    """How much is generated: `events` per user, items by a Zipf law."""

    num_users: int
    num_items: int
    events: int
    seed: int


def rows(settings: Settings) -> Iterator[Row]:
    """Each fit in a process of its own, so that the peaks do not mix."""
    refusing = sum(map(_refuses, OVER_PAIRS))
    yield Row(
        f"recommenders over pairs of items that refuse {NUM_ITEMS:,} items", refusing, "of 4", at_least(len(OVER_PAIRS))
    )
    users, items = (2_000, 20_000) if settings.quick else (20_000, NUM_ITEMS)
    market = Market(users, items, 50, settings.seeds[0])
    size = f"{market.num_items:,} items, {market.num_users:,} users, {TENANTS} tenants"
    for title, name, parameters in FITS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            seconds, gigabytes = pool.submit(fit_cost, name, parameters, market).result()
        yield Row(f"{title}: federated fit, {size}", seconds, "s", seeds=(market.seed,))
        yield Row(
            f"{title}: peak memory, {size}",
            gigabytes,
            "GB",
            seeds=(market.seed,),
            note="one process for all, sums under masks",
        )


BENCHMARK = Benchmark("scale", "PCA by subspace iteration and ALS at 200,000 items; Gram models refuse", 10, rows)


def fit_cost(name: str, parameters: dict[str, Any], market: Market) -> tuple[float, float]:
    """Seconds of a federated fit, and the most gigabytes that this process has ever held."""
    dataset = generated(market)
    with scratch() as folder:
        exchange = exchange_over(_config(market.seed), dataset, folder)
        started = time.perf_counter()
        fit_federated(exchange, {name: create_closed(name, parameters)}, ItemFeatures(market.num_items), "final")
        seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE / 1e9


def generated(market: Market) -> Dataset:
    """Users with equally many events on items drawn by popularity, one event a second."""
    stream = derive(market.seed, "benchmarks", "scale")
    chances = 1.0 / np.arange(10, 10 + market.num_items)
    items = stream.permutation(market.num_items)[
        stream.choice(market.num_items, size=market.num_users * market.events, p=chances / chances.sum())
    ]
    users = np.repeat(np.arange(market.num_users), market.events)
    ids = tuple(f"item-{number}" for number in range(market.num_items))
    names = tuple(f"user-{number}" for number in range(market.num_users))
    events = Interactions(names, ids, users, items, np.arange(len(users)), np.ones(len(users)))
    return Dataset("generated", events, Catalogue.of_ids(ids))


def _config(seed: int) -> Config:
    tenants = {"split": "iid", "n": TENANTS}
    return parse(
        {"seed": seed, "data": {"dataset": "synthetic"}, "tenants": tenants, "models": [{"name": "popularity"}]}
    )


def _refuses(name: str) -> bool:
    try:
        create_closed(name, {}).begin(ItemFeatures(NUM_ITEMS))
    except CatalogueTooLarge:
        return True
    return False
