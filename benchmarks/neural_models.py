"""Every gradient model on ML-100K, all rows in one place, beside the best closed form of benchmark `quality`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row, at_least
from benchmarks.neural import NDCG, measure, measured, recipe
from fedrec.models.neural import NEURAL

CLOSED = "ML-100K, 21 tenants: EASE NDCG@10"


def rows(settings: Settings) -> Iterator[Row]:
    """The mean over seeds of each model; the bar is EASE, which is the same federated and pooled."""
    best = measured("quality", CLOSED, replace(settings, quick=False))
    for name in NEURAL:
        means = [_mean(name, replace(settings, seeds=(seed,))) for seed in settings.seeds]
        note = f"{min(means):.4f} to {max(means):.4f} by seed" if len(means) > 1 else None
        figure = f"ML-100K, pooled: {name} {NDCG}, against EASE"
        yield Row(figure, statistics.fmean(means), "", at_least(best), settings.seeds, note)


BENCHMARK = Benchmark("neural-models", "ML-100K, pooled: every gradient model against EASE", 8, rows)


def _mean(name: str, settings: Settings) -> float:
    config = recipe("gradient-models", settings, pooled=True)
    models = tuple(model for model in config.models if model.name == name)
    return measure(config.model_copy(update={"models": models})).mean(NDCG)
