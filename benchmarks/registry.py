"""Every benchmark by its name, in the order in which `run all` runs them: one line for each."""

from __future__ import annotations

from benchmarks import (
    cold_items,
    demo,
    deployment,
    disjoint,
    dp_statistics,
    dp_training,
    evaluation_speed,
    fit_time,
    grocery_cold,
    neural_models,
    neural_quality,
    new_tenant,
    new_users,
    new_users_neural,
    parity,
    private_steps,
    quality,
    random_kills,
    scale,
    secagg,
    secagg_exactness,
    tower,
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
        *tower.BENCHMARKS,
        new_users.BENCHMARK,
        new_users_neural.BENCHMARK,
        new_tenant.BENCHMARK,
        grocery_cold.BENCHMARK,
        disjoint.BENCHMARK,
        dp_statistics.BENCHMARK,
        dp_training.BENCHMARK,
        private_steps.BENCHMARK,
        scale.BENCHMARK,
        secagg.BENCHMARK,
        secagg_exactness.BENCHMARK,
        deployment.BENCHMARK,
        random_kills.BENCHMARK,
    )
}
