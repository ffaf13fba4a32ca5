"""Every benchmark by its name, in the order in which `run all` runs them: one line for each."""

from __future__ import annotations

from benchmarks import demo, evaluation_speed, fit_time, parity, quality, scale, secagg, secagg_exactness
from benchmarks.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        quality.BENCHMARK,
        parity.BENCHMARK,
        fit_time.BENCHMARK,
        evaluation_speed.BENCHMARK,
        demo.BENCHMARK,
        scale.BENCHMARK,
        secagg.BENCHMARK,
        secagg_exactness.BENCHMARK,
    )
}
