"""Tenants that sell nothing in common: what serves each after joining, against the best that it makes alone.

ML-1M as one shop for each primary genre. Both sides choose on the shop's own validation users, and the test is read
once. As the shops' items are disjoint, a sum over pairs of items holds nothing of one shop that another could use: what
they can learn from each other is which content goes together, and which mix of recommenders does well. So a third
figure tells how much of the gain a shop has without the others: from the same mixes of what it makes alone, chosen by
itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import configured, scratch
from benchmarks.figures import Row, at_least
from fedrec.client.fusing import score_fused
from fedrec.client.store import TenantStore
from fedrec.config import Config, DataConfig
from fedrec.messages import AnyArray, Capacity, ModelSpec, Phase, ScoreBody
from fedrec.models import create, fit, pooled_sum
from fedrec.models.blending import GRID
from fedrec.models.protocols import ClosedForm, ItemFeatures
from fedrec.server.exchange import holdout_of
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Report, Tenant

METRIC = "NDCG@10"
BY_IDS = ("markov", "ease", "popularity")
MODELS: dict[str, dict[str, Any]] = {name: {} for name in (*BY_IDS, "content_map")}


def rows(settings: Settings) -> Iterator[Row]:
    """One run: nothing in it is drawn at random but masks and bootstrap, which change no figure here."""
    config = configured("genre-shops", models=MODELS, arms=("local", "federated", "fused", "personal"), masks=False)
    if settings.quick:
        config = config.model_copy(update={"data": DataConfig(dataset="ml-100k")})
    with scratch() as folder:
        report = Experiment(config, folder / "run", page=False).run()
        measured = [tenant for tenant in report.tenants if standing.personal_gain(report, tenant) is not None]
        stores = [TenantStore(folder / "run" / "tenants" / tenant.name) for tenant in measured]
        unaided = [_fused_alone(config, store) for store in stores]
    alone = [_score(report, tenant) for tenant in measured]
    served = [float(standing.personal_score(report, tenant) or 0.0) for tenant in measured]
    where = f"{report.data.name.upper()}, {len(measured)} genre shops"
    arms = ", ".join(f"{sum(t.served_by == arm for t in measured)} {arm}" for arm in ("fused", "federated", "local"))
    yield _mean(f"{where}: {METRIC} of what serves a tenant, against its best alone", served, alone, arms, bar=0.0)
    gains = _gains(served, alone)
    name = measured[int(np.argmin(gains))].name
    worst = f"{where}: what serves a tenant, against its best alone, worst tenant"
    yield Row(worst, min(gains), "%", at_least(-1.0), note=name)
    yield _mean(f"{where}: {METRIC} of a fusion of what each makes alone, against its best alone", unaided, alone)


BENCHMARK = Benchmark("disjoint", "18 shops of ML-1M without a common item: joining against staying alone", 6, rows)


def _mean(
    figure: str, served: Sequence[float], alone: Sequence[float], arms: str = "", bar: float | None = None
) -> Row:
    note = f"{METRIC} {statistics.fmean(served):.4f} against {statistics.fmean(alone):.4f}, means over tenants"
    note += f"; served by {arms}" if arms else ""
    return Row(figure, statistics.fmean(_gains(served, alone)), "%", None if bar is None else at_least(bar), note=note)


def _gains(served: Sequence[float], alone: Sequence[float]) -> list[float]:
    return [100 * (one / other - 1) for one, other in zip(served, alone, strict=True)]


def _score(report: Report, tenant: Tenant) -> float:
    return float(standing.tenant_score(report, tenant, standing.LOCAL, tenant.best_local) or 0.0)


def _fused_alone(config: Config, store: TenantStore) -> float:
    """The metric of a fusion without others: all parts are fitted on the tenant's rows, and nothing was agreed on."""
    choice = TenantStore(_apart(store))
    for phase in ("choose", "final"):
        body, arrays = _asked(config, choice, phase)
        score_fused(body, arrays, arrays["counts"], choice)
    found = choice.results()["fused"][BY_IDS[0]]["slices"]["all"][METRIC]["mean"]
    return float(found)


def _apart(store: TenantStore) -> Path:
    """A folder with the same rows, whose results are not those of the run."""
    folder = store.folder.parent.parent / "apart" / store.name
    folder.mkdir(parents=True)
    for name in ("rows", "assortment.npy"):
        (folder / name).symlink_to(store.folder / name)
    return folder


def _asked(config: Config, store: TenantStore, phase: Phase) -> tuple[ScoreBody, dict[str, AnyArray]]:
    """What a server of this one tenant would ask."""
    split = store.split(holdout_of(config))
    total = pooled_sum([split.train if phase == "choose" else split.fit])
    specs: list[ModelSpec] = []
    arrays: dict[str, AnyArray] = {}
    for name in BY_IDS:
        model = create(name, {})
        assert isinstance(model, ClosedForm)
        weights = fit(model, ItemFeatures(store.dataset().num_items), total)
        specs.append(ModelSpec(label=name, name=name, candidates=({},)))
        arrays |= {f"{name}/{weight}": value for weight, value in weights.items()}
    body = ScoreBody(
        round=1,
        phase=phase,
        capacity=Capacity(max_clients=1, max_users=store.dataset().num_users),
        holdout=holdout_of(config),
        arm="fused",
        models=tuple(specs),
        agreed=(0.0,) * len(GRID),
    )
    return body, arrays | {"counts": arrays["popularity/popularity"]}
