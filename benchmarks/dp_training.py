"""Training by gradients under user-level differential privacy whose noise the tenants share, beside the same without.

Each figure is of a real federation: masks, Skellam noise in shares of all tenants but one, users drawn in secret, a
clip that follows a noised vote, each tenant's guard and ledger. The recommender has a content tower only, as the public
rule of `fedrec privacy plan` proposes for so few users. One set of hyper-parameters, the same with and without noise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import scratch
from benchmarks.figures import Row, at_least, at_most
from benchmarks.private_federation import DELTA, FLOOR, METRIC, PrivateFederation
from fedrec.config import Config, parse
from fedrec.data import fetch

RATE, CLIP, QUANTILE = 0.2, 0.3, 0.5


@dataclass(frozen=True)
class Case:
    """A federation and what is trained in it. users: of a tenant in a step, as the public divisor says."""

    title: str
    dataset: str
    split: dict[str, Any]
    tenants: int
    users: int
    model: str
    parameters: dict[str, Any]
    rounds: int
    epsilons: tuple[float, ...]


ML_1M = {"split": "by_user_attribute", "attribute": "zip", "prefix": 1}
TOWER = {"residual": "none", "dim": 32, "max_length": 50}
CASES = (
    Case("ML-1M, 10 tenants: MF", "ml-1m", ML_1M, 10, 120, "mf", TOWER, 100, (20.0, 8.0)),
    Case("ML-1M, 10 tenants: SASRec", "ml-1m", ML_1M, 10, 120, "sasrec", TOWER | {"blocks": 1}, 60, (8.0,)),
)
QUICK = (Case("ML-100K, 5 tenants: MF", "ml-100k", {"split": "iid", "n": 5}, 5, 38, "mf", TOWER, 10, (20.0,)),)


@dataclass(frozen=True)
class Measured:
    """Of the trained recommender and of the popularity list; what the dearest ledger says; for how long it ran."""

    trained: float
    floor: float
    spent: float
    seconds: float


def rows(settings: Settings) -> Iterator[Row]:
    """Each case without noise, then by epsilon."""
    for case in QUICK if settings.quick else CASES:
        twin = measure(case, None, settings.seeds[0])
        note = f"popularity {twin.floor:.4f}; {twin.seconds:.0f} s"
        yield Row(f"{case.title}, no noise: {METRIC}", twin.trained, "", None, settings.seeds[:1], note)
        for epsilon in case.epsilons:
            found = measure(case, epsilon, settings.seeds[0])
            where = f"{case.title}, epsilon {epsilon:g}"
            share = found.trained / twin.trained if twin.trained else 0.0
            note = f"DP popularity {found.floor:.4f}; {share:.0%} of no noise; {found.seconds:.0f} s"
            yield Row(f"{where}: {METRIC}", found.trained, "", None, settings.seeds[:1], note)
            above = found.trained - found.floor
            bar = None if settings.quick else at_least(0.0)
            yield Row(f"{where}: above DP popularity, {METRIC}", above, "", bar, settings.seeds[:1])
            yield Row(f"{where}: running check of the ledgers", found.spent, "", at_most(epsilon), settings.seeds[:1])


BENCHMARK = Benchmark(
    "dp-training", "gradient training under user-level differential privacy, its noise shared by tenants", 15, rows
)


def measure(case: Case, epsilon: float | None, seed: int) -> Measured:
    """One federation, from empty ledgers to spent ones; without noise if there is no epsilon."""
    started = time.monotonic()
    config, dataset = _config(case, epsilon, seed), fetch(case.dataset)
    with scratch() as folder:
        federation = PrivateFederation.fitted(config, dataset, folder)
        federation.train(case.model)
        found = federation.metrics()
        return Measured(found[case.model], found[FLOOR], federation.spent(), time.monotonic() - started)


def _config(case: Case, epsilon: float | None, seed: int) -> Config:
    privacy = {
        "epsilon": epsilon,
        "delta": DELTA,
        "evaluation": "simulation",
        "sample_rate": RATE,
        "clip_norm": CLIP,
        "clip_quantile": QUANTILE,
    }
    return parse(
        {
            "seed": seed,
            "data": {"dataset": case.dataset},
            "tenants": case.split,
            "content": {"encoder": "hashed"},
            "evaluation": {"bootstrap": 0},
            "federation": {"min_tenants": case.tenants, "max_tenants": 16, "max_users_per_tenant": 4000},
            "training": {
                "rounds": case.rounds,
                "optimizer": "fedadam",
                "parameters": {"eta": 0.01, "beta_2": 0.99, "tau": 1e-6},
                "schedule": "cosine",
                "local": {
                    "loss": "sampled_softmax",
                    "negatives": 128,
                    "steps": 1,
                    "batch_size": case.users,
                    "optimizer": "sgd",
                    "learning_rate": 1.0,
                },
            },
            "models": [{"name": FLOOR}, {"name": case.model, **case.parameters}],
        }
        | ({} if epsilon is None else {"privacy": privacy}),
        "benchmark dp-training",
    )
