"""Rank for the tenant's own held-out users and add up the metrics. Per-user results stay in the tenant's folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fedrec.client.store import TenantStore
from fedrec.content.features import catalogue_features
from fedrec.contribution import Contribution, joined
from fedrec.data import Dataset, Fold, Histories
from fedrec.data.categories import category_vectors
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, Holdout, ModelSpec, Params, ScoreBody, part, ranking_protocol
from fedrec.metrics import MetricSums, UserMetrics, evaluate
from fedrec.models import ClosedForm, ItemFeatures, Weights, create, fit, localised, pooled_sum
from fedrec.models.protocols import Scoring


def score(body: ScoreBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """Metric sums of every model that `body` names, under its label.

    Phase `choose` ranks the validation items with models that saw training rows only. Otherwise the test items are
    ranked, which ends all choosing in this run, here.
    """
    if body.phase == "choose":
        store.check_choosing_allowed()
    else:
        store.read_test(body.arm)
    counts = arrays.get("counts")
    if counts is None or counts.shape != (store.dataset().num_items,):
        raise ProtocolError("Expected 'counts', one for each item of the catalogue.")
    scored = {spec.label: _model_sums(body, spec, part(arrays, spec.label), counts, store) for spec in body.models}
    if body.phase != "choose":
        own = {label: {"validation": value, "slices": sums.summary()} for label, (sums, value) in scored.items()}
        store.add_results(body.arm, own)
    return joined({label: sums.contribution() for label, (sums, _) in scored.items()})


def _model_sums(
    body: ScoreBody, spec: ModelSpec, shared: Mapping[str, AnyArray], counts: AnyArray, store: TenantStore
) -> tuple[MetricSums, float | None]:
    """The sums of one model and, where the tenant chose it, what it reached on the tenant's validation."""
    split = store.split(body.holdout)
    choosing = body.phase == "choose"
    fold = split.validation if choosing else store.test_fold(body.holdout)
    rows = split.train if choosing else split.fit
    validation = None
    if body.arm == "local":
        params, validation = _own_choice(spec, body, counts, store)
        model = create(spec.name, params)
        weights = _fitted_alone(model, rows, store, body)
    else:
        model = create(spec.name, spec.candidates[0])
        weights = localised(model, dict(shared), rows)
    metrics = _measure(model, weights, fold, counts, store, body.holdout)
    return MetricSums.of(metrics, tenant=store.name, positions=fold.users), validation


def _own_choice(spec: ModelSpec, body: ScoreBody, counts: AnyArray, store: TenantStore) -> tuple[Params, float]:
    """The candidate that does best on the tenant's own validation, the earliest of equals, and what it reached."""
    holdout = body.holdout
    split = store.split(holdout)
    reached = []
    for params in spec.candidates:
        model = create(spec.name, params)
        weights = _fitted_alone(model, split.train, store, body)
        values = _measure(model, weights, split.validation, counts, store, holdout).of(holdout.headline)
        reached.append(float(values.mean()) if len(values) else 0.0)
    best = int(np.argmax(reached))
    return spec.candidates[best], reached[best]


def _fitted_alone(model: Scoring, rows: Histories, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as the tenant can make it without anyone else."""
    if not isinstance(model, ClosedForm):
        from fedrec.client.local_training import weights_alone  # torch, for runs that use it

        return weights_alone(cast(Any, model), rows, store, body)
    return localised(model, fit(model, _features(store), pooled_sum([rows])), rows)


def _measure(
    model: Scoring, weights: Weights, fold: Fold, counts: AnyArray, store: TenantStore, holdout: Holdout
) -> UserMetrics:
    def scores(start: int, stop: int) -> NDArray[np.floating]:
        return model.scores(weights, fold.history.select(np.arange(start, stop)))

    return evaluate(
        scores,
        fold.history,
        fold.targets,
        item_counts=counts,
        item_vectors=_categories(store.dataset()),
        candidates=store.assortment(),
        protocol=ranking_protocol(holdout),
    )


def _features(store: TenantStore) -> ItemFeatures:
    return _features_of(store.dataset())


@lru_cache(maxsize=64)
def _features_of(dataset: Dataset) -> ItemFeatures:
    return catalogue_features(dataset.catalogue)


@lru_cache(maxsize=64)
def _categories(dataset: Dataset) -> NDArray[np.float32] | None:
    return category_vectors(dataset.catalogue)
