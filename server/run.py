"""The server's course through one run: choose on validation, fit for good, score each arm on test once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrec.config import Arm, ModelConfig
from fedrec.content.features import catalogue_features
from fedrec.data import Catalogue
from fedrec.files import write_text
from fedrec.messages import ModelSpec, Phase
from fedrec.models import ClosedForm, ItemFeatures, Popularity, Weights
from fedrec.server.choosing import Candidate, Chosen, best, candidates_of
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.server.neural import train_weights
from fedrec.server.scoring import score_arm
from fedrec.server.store import load_models, save_model

RESULTS = "server.json"
POPULARITY = Popularity.name
Models = dict[str, tuple[Candidate, Weights]]


def run(exchange: Exchange, catalogue: Catalogue, out: Path, pooled: Path | None = None) -> None:
    """Run the configuration of `exchange`; models and `server.json` go to `out`.

    pooled: a run on all rows in one place, whose models are scored as arm `pooled` (only a simulation has one).
    """
    config = exchange.config
    exchange.events.emit("run-start", name=config.name, seed=config.seed, models=[m.name for m in config.models])
    items = catalogue_features(catalogue)
    options = {model.name: candidates_of(model) for model in _with_floor(config.models)}
    chosen = _choose(exchange, items, options, out)
    final = [choice.candidate for choice in chosen]
    federated = [candidate for candidate in final if not candidate.algorithm.private]
    weights = _fitted(exchange, federated, items, "final", out)
    models = {c.label: (c, weights[c.label]) for c in federated}
    counts = weights[POPULARITY]["popularity"]
    results: dict[str, Any] = {}
    for arm in config.federation.arms:
        scored = _arm_models(arm, models, pooled)
        specs = _local_specs(final, options) if arm == "local" else specs_of(scored)
        if specs:
            results[arm] = score_arm(exchange, arm, specs, scored, counts, "final")
    for label, (candidate, fitted) in models.items():
        save_model(out / "models" / label, candidate, fitted, catalogue)
    _write_results(out, chosen, results)
    exchange.events.emit("run-end")


def _with_floor(models: Sequence[ModelConfig]) -> Sequence[ModelConfig]:
    """The configured recommenders, and popularity if it is not among them."""
    named = any(model.name == POPULARITY for model in models)
    return models if named else (ModelConfig(name=POPULARITY), *models)


def specs_of(models: Models) -> list[ModelSpec]:
    """Models with fixed hyper-parameters."""
    return [ModelSpec(label=label, name=c.model, candidates=(c.params,)) for label, (c, _) in models.items()]


def _arm_models(arm: Arm, models: Models, pooled: Path | None) -> Models:
    if arm == "floor":
        return {POPULARITY: models[POPULARITY]}
    if arm == "federated":
        return models
    return load_models(pooled / "models") if arm == "pooled" and pooled is not None else {}


def _local_specs(final: Sequence[Candidate], options: Mapping[str, tuple[Candidate, ...]]) -> list[ModelSpec]:
    """Each tenant chooses for itself: its own arm is as strong as it can be."""
    return [
        ModelSpec(label=c.label, name=c.model, candidates=tuple(option.params for option in options[c.model]))
        for c in final
    ]


def _fitted(
    exchange: Exchange, candidates: Sequence[Candidate], items: ItemFeatures, phase: Phase, out: Path
) -> dict[str, Weights]:
    """Label -> weights: sums for the closed forms, then rounds for each neural recommender."""
    closed = {c.label: c.algorithm for c in candidates if isinstance(c.algorithm, ClosedForm)}
    weights = fit_federated(exchange, closed, items, phase)
    counts = next(w["popularity"] for label, w in weights.items() if "popularity" in w)
    for candidate in candidates:
        if candidate.label not in closed:
            folder = out / "training" / f"{phase}-{candidate.label.replace(':', '-')}"
            weights[candidate.label] = train_weights(exchange, candidate.algorithm, items, counts, phase, folder)
    return weights


def _choose(
    exchange: Exchange, items: ItemFeatures, options: Mapping[str, tuple[Candidate, ...]], out: Path
) -> list[Chosen]:
    """The best candidate of each recommender on validation. Tenant-local recommenders are chosen by each tenant."""
    federated = [c for several in options.values() for c in several if not c.algorithm.private]
    weights = _fitted(exchange, federated, items, "choose", out)
    models = {c.label: (c, weights[c.label]) for c in federated}
    counts = weights[options[POPULARITY][0].label]["popularity"]
    scores = score_arm(exchange, "federated", specs_of(models), models, counts, "choose")
    metric = exchange.config.evaluation.headline
    headline = {label: float(summary["all"][metric]["mean"] or 0.0) for label, summary in scores.items()}
    return [best(several, headline) for several in options.values()]


def _write_results(out: Path, chosen: Sequence[Chosen], results: dict[str, Any]) -> None:
    cards = [
        {
            "name": choice.candidate.label,
            "model": choice.candidate.model,
            "scope": "tenant" if choice.candidate.algorithm.private else "federated",
            "parameters": choice.candidate.params,
            "candidates": [{"parameters": params, "validation": score} for params, score in choice.scores],
        }
        for choice in chosen
    ]
    federated = [choice for choice in chosen if choice.scores]
    winner = max(federated, key=lambda choice: choice.validation).candidate.label
    write_text(out / RESULTS, json.dumps({"models": cards, "chosen": winner, "results": results}, indent=1))
