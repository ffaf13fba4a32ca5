"""Federated equals pooled: for how many users the two models recommend the same ten items in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import CLOSED_FORM, configured, scratch
from benchmarks.figures import Row, at_least
from fedrec.data import Histories, leave_last_out
from fedrec.metrics.lists import top_lists
from fedrec.metrics.ranks import IntArray, excluded_items
from fedrec.models import load
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.tenancy import load_dataset

LENGTH = 10
USERS_AT_A_TIME = 256
AT_LEAST = at_least(99.9)
FEDERATIONS = {"ML-1M, 10 tenants": "ml-1m", "ML-1M, 21 tenants": "ml-1m-occupation"}
QUICK = {"ML-100K, 21 tenants": "demo"}
FITS: tuple[tuple[str, dict[str, dict[str, Any]]], ...] = (
    ("", CLOSED_FORM),
    (" by subspace iteration", {"pca": {"method": "subspace"}}),
)


def rows(settings: Settings) -> Iterator[Row]:
    """Each recommender in each federation."""
    for title, preset in (QUICK if settings.quick else FEDERATIONS).items():
        for method, models in FITS:
            for name, share in _shares(preset, models, settings.seeds[0]):
                yield Row(f"{title}: same top-10 as pooled, {name}{method}", 100 * share, "% of users", AT_LEAST)


BENCHMARK = Benchmark(
    "parity", "users whose federated top-10 is the pooled one, ML-1M with 10 and 21 tenants", 25, rows
)


def top_ten(folder: Path, histories: Histories) -> IntArray:
    """(num_users, 10) what the model saved in `folder` recommends to everyone; seen items left out."""
    model, parts = load(folder), []
    for start in range(0, histories.num_users, USERS_AT_A_TIME):
        block = histories.select(np.arange(start, min(start + USERS_AT_A_TIME, histories.num_users)))
        scores = model.algorithm.scores(model.weights, block)
        parts.append(top_lists(scores, excluded_items(block, None, scores.shape), LENGTH))
    return np.concatenate(parts)


def _shares(preset: str, models: dict[str, dict[str, Any]], seed: int) -> Iterator[tuple[str, float]]:
    """Recommender, and the share of all users with identical lists."""
    config = configured(preset, models=models, arms=("federated", "pooled"), seed=seed)
    dataset = load_dataset(config.data, seed)
    histories = leave_last_out(dataset.histories()).fit
    with scratch() as folder:
        Experiment(config, folder / "run", page=False).run(dataset)
        for name in models:
            lists = [top_ten(folder / "run" / side / "models" / name, histories) for side in ("server", "pooled")]
            yield name, float((lists[0] == lists[1]).all(axis=1).mean())
