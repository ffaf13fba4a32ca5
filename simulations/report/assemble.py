"""The report of a run, from what the server wrote and, in a simulation, from each tenant's folder."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedrec.client.store import TenantStore
from fedrec.config import Config
from fedrec.data import SOURCES, Dataset
from fedrec.messages import Holdout
from fedrec.models.statistics import ItemCounts
from fedrec.server.events import EVENTS, read_events
from fedrec.server.run import RESULTS
from fedrec.simulations.report.privacy import noised
from fedrec.simulations.report.schema import (
    Data,
    Measure,
    ModelCard,
    Privacy,
    Report,
    Result,
    Seen,
    ServerView,
    Tenant,
    TenantResult,
)
from fedrec.simulations.report.served import FUSED, SERVED
from fedrec.simulations.report.training import curves_of, rounds_of

PLAIN = (
    "No noise was added and nothing was masked in this run: the server could read each tenant's sums. Rows, ids of "
    "users and per-user results stayed in the tenants' folders. Sums over few users can reveal them; no differential "
    "privacy is claimed."
)
MASKED = (
    "Every number left its tenant as a coordinate of a masked vector; the server could read the sums over tenants and "
    "nothing of any one tenant. No noise was added: what the sums themselves reveal, over rounds or to tenants that "
    "collude, is not limited, and no differential privacy is claimed."
)
TITLES = {
    "popularity": "Popularity",
    "markov": "Markov chain",
    "item_knn": "Item-kNN",
    "user_knn": "User-kNN",
    "ease": "EASE",
    "pca": "PCA",
    "als": "Implicit ALS",
    "content_knn": "Content-kNN",
    "content_pca": "Content-PCA",
    "content_map": "Content map",
    "content_factors": "Content factors",
    "mf": "MF",
    "neumf": "NeuMF",
    "gru": "GRU4Rec",
    "cnn": "Causal CNN",
    "sasrec": "SASRec",
    "autoencoder": "Autoencoder",
}


def assemble(
    config: Config,
    folder: Path,
    dataset: Dataset,
    stores: Sequence[TenantStore],
    holdout: Holdout,
    seconds: dict[str, float],
) -> Report:
    """The report of the run in `folder`."""
    server = json.loads((folder / "server" / RESULTS).read_text(encoding="utf-8"))
    events = read_events(folder / "server" / EVENTS)
    left_out = sum(store.split(holdout).left_out_of_test for store in stores)
    return Report(
        name=config.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=config.seed,
        command=_command(),
        versions=_versions(),
        headline=config.evaluation.headline,
        data=_data(config, dataset, len(stores), left_out),
        arms=[arm for arm in config.federation.arms if arm in server["results"]],
        models=[_card(card) for card in server["models"]],
        results=_results(server["results"]),
        chosen=server["chosen"],
        evaluations=config.tune.evaluations,
        tenants=[_tenant(store, holdout, config.evaluation.headline, server["chosen"]) for store in stores],
        rounds=rounds_of(events),
        training=[*curves_of(events, "federated"), *curves_of(read_events(folder / "pooled" / EVENTS), "pooled")],
        privacy=noised(_privacy(config, events, _server_view(events, stores, holdout)), config, stores),
        seconds=seconds,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _command() -> str:
    """How the run was started, as far as a program can know of itself."""
    name = Path(sys.argv[0]).name
    return " ".join(["fedrec", *sys.argv[1:]]) if name == "fedrec" else "fedrec.simulate(...) in Python"


def _versions() -> dict[str, str]:
    packages = ("fedrec", "flwr", "numpy", "scipy", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _data(config: Config, dataset: Dataset, tenants: int, left_out: int) -> Data:
    source = SOURCES.get(config.data.dataset or "")
    arguments = ", ".join(f"{key}={value}" for key, value in config.tenants.arguments.items())
    return Data(
        name=dataset.name,
        users=dataset.num_users,
        items=dataset.num_items,
        events=dataset.num_events,
        tenants=tenants,
        split=f"{config.tenants.split}({arguments})",
        holdout=config.evaluation.holdout,
        users_left_out=left_out,
        licence=source.licence if source else None,
    )


def _card(card: Mapping[str, Any]) -> ModelCard:
    candidates = [{**c["parameters"], "validation": c["validation"]} for c in card["candidates"]]
    return ModelCard(
        name=card["name"],
        title=TITLES.get(card["model"], card["model"]),
        scope=card["scope"],
        parameters=card["parameters"],
        candidates=candidates,
        margin=card.get("margin"),
    )


def _results(results: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    return [
        Result(arm=arm, model=label, slices={name: measures_of(part) for name, part in slices.items()})
        for arm, models in results.items()
        for label, slices in models.items()
    ]


def measures_of(part: Mapping[str, Mapping[str, Any]]) -> dict[str, Measure]:
    """Metric -> measure of one slice of a summary, without those of nobody."""
    return {metric: Measure(**figures) for metric, figures in part.items() if figures["mean"] is not None}


def _tenant(store: TenantStore, holdout: Holdout, headline: str, chosen: str) -> Tenant:
    dataset = store.dataset()
    results = [
        TenantResult(arm=arm, model=label, metrics=_means(result["slices"]["all"]))
        for arm, models in store.results().items()
        for label, result in models.items()
    ]
    local = _own_best(store, results)
    federated = next((r for r in results if (r.arm, r.model) == ("federated", chosen)), None)
    serving, served_by = store.choice() or (None, None)
    return Tenant(
        name=store.name,
        users=dataset.num_users,
        test_users=store.test_fold(holdout).num_users,
        events=dataset.num_events,
        results=results,
        best_local=local.model if local else None,
        best_federated=federated.model if federated else None,
        gain=_gain(local, federated, headline),
        best_personal=serving,
        served_by=served_by,
        served=_served(store),
    )


def _served(store: TenantStore) -> dict[str, float]:
    """Part of a fusion -> the share of the tenant's users for whom it weighs most."""
    fused = next(iter(store.results().get(FUSED, {}).values()), None)
    return {} if fused is None else _means(fused["slices"][SERVED])


def _means(part: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {metric: figures["mean"] for metric, figures in part.items() if figures["mean"] is not None}


def _own_best(store: TenantStore, results: Sequence[TenantResult]) -> TenantResult | None:
    """What the tenant would use alone: the recommender that did best on its own validation."""
    alone = store.results().get("local", {})
    if not alone:
        return None
    label = max(alone, key=lambda name: alone[name]["validation"])
    return next(r for r in results if (r.arm, r.model) == ("local", label))


def _gain(local: TenantResult | None, federated: TenantResult | None, headline: str) -> float | None:
    if local is None or federated is None or not local.metrics.get(headline) or headline not in federated.metrics:
        return None
    return federated.metrics[headline] / local.metrics[headline] - 1


def _privacy(config: Config, events: Sequence[Mapping[str, Any]], view: ServerView | None) -> Privacy:
    sums = [event for event in events if event["event"] == "secure-sum"]
    if not config.federation.secure_aggregation or not sums:
        return Privacy(noise="none", masks="none", statement=PLAIN)
    least = min(sums, key=lambda event: event["alive"])
    masks = (
        f"secure aggregation over {least['cohort']} tenants, {least['degree']} neighbours each, threshold "
        f"{least['threshold']}; the smallest sum was over {least['alive']}"
    )
    if config.federation.groups > 1:
        masks += f"; {config.federation.groups} groups, so a tenant hides among fewer"
    return Privacy(noise="none", masks=masks, statement=MASKED, masks_on=True, server_view=view)


def _server_view(
    events: Sequence[Mapping[str, Any]], stores: Sequence[TenantStore], holdout: Holdout
) -> ServerView | None:
    """The specimen that the server kept of its first round, beside what only the tenant knows."""
    seen = next((event for event in events if event["event"] == "server-view"), None)
    first = next((event["sent"][0]["block"] for event in events if event["event"] == "round-end"), "")
    if seen is None or first != "0/counts":  # only item counts can be put into words
        return None
    store = stores[seen["member"] - 1]
    histories = store.split(holdout).train
    counts = ItemCounts(histories.num_items, histories.num_items).contribute(histories).values["counts"]
    catalogue = store.dataset().catalogue
    rows = [
        Seen(item=catalogue.text[at] or catalogue.item_ids[at], seen=word, total=total, own=int(counts[at]))
        for at, word, total in zip(seen["coordinates"], seen["seen"], seen["total"], strict=True)
        if at < len(counts)  # in a small catalogue, other blocks follow within the specimen
    ]
    return ServerView(tenant=store.name, rows=rows)
