"""Runs of recommenders that are trained by gradients, as the benchmarks need them.

Each goes the way of a real one: tenants' folders, messages, secure sums, and a test that the clients score once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Settings
from benchmarks.federation import exchange_over, scratch
from benchmarks.runner import result_path
from fedrec.client.store import TenantStore
from fedrec.config import Arm, Config, TenantsConfig, load, parse
from fedrec.errors import FedrecError
from fedrec.messages import ModelSpec
from fedrec.metrics import Summary
from fedrec.models import Popularity, Weights
from fedrec.server.choosing import Candidate, candidates_of
from fedrec.server.content import items_of
from fedrec.server.fitting import fit_federated
from fedrec.server.neural import train_weights
from fedrec.server.scoring import score_arm
from fedrec.simulations.tenancy import load_dataset

REPLICATES = 200
NDCG, HR = "NDCG@10", "HR@10"
TENANT = "tenant"


@dataclass(frozen=True)
class Measured:
    """What one recommender reached on test: over all users, and at each tenant."""

    everyone: Summary
    tenants: Mapping[str, float]

    def mean(self, metric: str) -> float:
        """Over all test users."""
        return float(self.everyone["all"][metric]["mean"] or 0.0)

    def interval(self, metric: str) -> str:
        """95 %, by bootstrap over users."""
        found = self.everyone["all"][metric]
        return f"95 % interval {found['low']:.4f} to {found['high']:.4f}"


def measure(config: Config, arm: Arm = "federated") -> Measured:
    """The last recommender of `config`, trained for good over the federation or by each tenant, and scored on test."""
    dataset = load_dataset(config.data, config.seed)
    with scratch() as folder:
        exchange = exchange_over(config, dataset, folder)
        items, candidate = items_of(config, dataset.catalogue), candidates_of(config.models[-1])[0]
        counts = fit_federated(exchange, {"floor": Popularity()}, items, "final")["floor"]["popularity"]
        models: dict[str, tuple[Candidate, Weights]] = {}
        if arm == "federated":
            weights = train_weights(exchange, candidate.algorithm, items, counts, "final", folder / "training")
            models[candidate.label] = (candidate, weights)
        spec = ModelSpec(label=candidate.label, name=candidate.model, candidates=(candidate.params,))
        summary = score_arm(exchange, arm, [spec], models, counts, "final")[candidate.label]
        return Measured(summary, _by_tenant(folder, arm, candidate.label))


def _by_tenant(folder: Path, arm: Arm, label: str) -> dict[str, float]:
    """Tenant -> NDCG@10, from the tenants' own folders."""
    means = {}
    for path in sorted((folder / "tenants").iterdir()):
        value = TenantStore(path).results()[arm][label]["slices"]["all"][NDCG]["mean"]
        if value is not None:
            means[path.name] = float(value)
    return means


def recipe(preset: str, settings: Settings, pooled: bool = False) -> Config:
    """A preset with bootstrap intervals; quick, on ML-100K and for two rounds. pooled: all rows at one tenant."""
    raw = load(preset).model_dump(mode="json", exclude_none=True)
    raw["seed"], raw["evaluation"]["bootstrap"] = settings.seeds[0], REPLICATES
    if settings.quick:
        raw["data"], raw["tenants"] = {"dataset": "ml-100k"}, {"split": "iid", "n": 3}
        raw["training"] |= {"rounds": 2, "alone_epochs": 1}
    config = parse(raw, f"preset '{preset}' of the benchmark")
    if not pooled:
        return config
    alone = {"min_tenants": 1, "secure_aggregation": False}
    return config.model_copy(
        update={
            "tenants": TenantsConfig.model_validate({"split": "iid", "n": 1}),
            "federation": config.federation.model_copy(update=alone),
            "training": config.training.in_one_place(),
        }
    )


def measured(benchmark: str, figure: str, settings: Settings) -> float:
    """A figure of another benchmark's result file. Raises FedrecError if it was not measured yet."""
    found = _figures(benchmark, settings)
    if figure not in found:
        raise FedrecError(f"There is no '{figure}' yet; run 'python -m benchmarks run {benchmark}' first.")
    return found[figure]


def tenant_figures(benchmark: str, settings: Settings) -> dict[str, float]:
    """Tenant -> NDCG@10 of another benchmark. Raises FedrecError if it was not measured yet."""
    named = (re.search(rf", {TENANT} (.+): {NDCG}$", figure) for figure in _figures(benchmark, settings))
    found = {match[1]: measured(benchmark, match.string, settings) for match in named if match}
    if not found:
        raise FedrecError(f"No tenant was measured yet; run 'python -m benchmarks run {benchmark}' first.")
    return found


def _figures(benchmark: str, settings: Settings) -> dict[str, float]:
    path = result_path(benchmark, settings)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return {row["figure"]: float(row["value"]) for row in rows}
