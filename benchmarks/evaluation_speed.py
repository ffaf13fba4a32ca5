"""How long it takes to rank every user over the whole catalogue and work out every metric, slice and interval."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row, at_most
from benchmarks.timing import median, seconds_of, spread
from fedrec.data import fetch, leave_last_out
from fedrec.data.categories import category_vectors
from fedrec.metrics import MetricSums, evaluate
from fedrec.metrics.ranks import ScoreFn
from fedrec.models import EASE, ItemFeatures, fit, pooled_sum

REPEATS = 7


def rows(settings: Settings) -> Iterator[Row]:
    """EASE's scores, first worked out beforehand, then within the time."""
    dataset = fetch("ml-100k" if settings.quick else "ml-1m")
    split = leave_last_out(dataset.histories())
    fold, vectors = split.open_test(), category_vectors(dataset.catalogue)
    counts = np.bincount(split.fit.items, minlength=dataset.num_items)
    model = EASE()
    weights = fit(model, ItemFeatures(dataset.num_items), pooled_sum([split.fit]))
    scores = model.scores(weights, fold.history)

    def measure(score: ScoreFn) -> None:
        metrics = evaluate(score, fold.history, fold.targets, item_counts=counts, item_vectors=vectors)
        MetricSums.of(metrics, tenant="all").summary()

    size = f"{fold.num_users:,} users x {dataset.num_items:,} items"
    taken = seconds_of(lambda: measure(lambda start, stop: scores[start:stop]), REPEATS)
    bar = None if settings.quick else at_most(3)
    yield Row(f"all metrics, slices and intervals, {size}", median(taken), "s", bar, note=spread(taken))
    taken = seconds_of(
        lambda: measure(lambda start, stop: model.scores(weights, fold.history.select(np.arange(start, stop)))), REPEATS
    )
    yield Row(f"the same with EASE's scoring, {size}", median(taken), "s", note=spread(taken))


BENCHMARK = Benchmark("evaluation-speed", "all metrics for 6,040 users x 3,706 items", 2, rows)
