"""Every benchmark by its name, in the order in which `run all` runs them: one line for each."""

from __future__ import annotations

from benchmarks import (
    cold_items,
    demo,
    dp_statistics,
    evaluation_speed,
    fit_time,
    neural_models,
    neural_quality,
    parity,
    quality,
    scale,
    secagg,
    secagg_exactness,
    training_cost,
)
from benchmarks.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        quality.BENCHMARK,
        *neural_quality.BENCHMARKS,
        neural_models.BENCHMARK,
        training_cost.BENCHMARK,
        parity.BENCHMARK,
        fit_time.BENCHMARK,
        evaluation_speed.BENCHMARK,
        demo.BENCHMARK,
        cold_items.BENCHMARK,
        dp_statistics.BENCHMARK,
        scale.BENCHMARK,
        secagg.BENCHMARK,
        secagg_exactness.BENCHMARK,
    )
}
