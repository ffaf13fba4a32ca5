"""Rank for the tenant's own held-out users and add up the metrics. Per-user results stay in the tenant's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fedrec.client.kept import keep_test, keep_validation, recommender_of
from fedrec.client.personal import SERVING, personal
from fedrec.client.store import TenantStore
from fedrec.content.features import catalogue_features
from fedrec.contribution import Contribution, joined
from fedrec.data import Dataset, Fold, Histories
from fedrec.data.categories import category_vectors
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, Holdout, ModelSpec, Params, ScoreBody, part, ranking_protocol
from fedrec.metrics import MetricSums, UserMetrics, evaluate
from fedrec.models import ClosedForm, ItemFeatures, Weights, create, fit, localised, pooled_sum
from fedrec.models.protocols import Float64Array, Scoring


@dataclass(frozen=True, eq=False)
class Scored:
    """One recommender on the users that were ranked. validation: the headline metric of each validation user, where
    those were ranked, too."""

    sums: MetricSums
    validation: Float64Array | None


def score(body: ScoreBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """Metric sums of every model that `body` names, under its label.

    Phase `choose` ranks the validation items with models that saw training rows only. Otherwise the test items are
    ranked, which ends all choosing in this run, here; arm `personal` then ranks nothing and chooses between the others
    by what they reached on validation.
    """
    if body.phase == "choose":
        store.check_choosing_allowed()
    else:
        store.read_test()
    if body.arm == "personal":
        return _personal(body, store)
    counts = arrays.get("counts")
    if counts is None or counts.shape != (store.dataset().num_items,):
        raise ProtocolError("Expected 'counts', one for each item of the catalogue.")
    scored = {spec.label: _scored(body, spec, part(arrays, spec.label), counts, store) for spec in body.models}
    _keep(body, scored, store)
    return joined({label: one.sums.contribution() for label, one in scored.items()})


def _personal(body: ScoreBody, store: TenantStore) -> Contribution:
    if body.phase == "choose":
        raise ProtocolError("Arm 'personal' rests on what was kept in phase 'choose'; it is scored on test.")
    found = personal(body, store)
    own = {
        label: {"arm": one.arm, "validation": one.validation, "slices": one.sums.summary()}
        for label, one in found.items()
    }
    store.add_results(body.arm, own)
    return joined({label: one.sums.contribution() for label, one in found.items()})


def _keep(body: ScoreBody, scored: Mapping[str, Scored], store: TenantStore) -> None:
    """Keep what arm `personal` chooses by, and on test what the tenant may want to know."""
    named = {recommender_of(spec, body.arm): scored[spec.label].validation for spec in body.models}
    validation = {name: values for name, values in named.items() if values is not None}
    if validation:
        keep_validation(store, body.arm, validation)
    if body.phase == "choose":
        return
    if body.arm in SERVING:
        keep_test(store, body.arm, {label: one.sums for label, one in scored.items()})
    own = {label: {"validation": _mean(one), "slices": one.sums.summary()} for label, one in scored.items()}
    store.add_results(body.arm, own)


def _mean(one: Scored) -> float | None:
    if one.validation is None:
        return None
    return float(one.validation.mean()) if len(one.validation) else 0.0


def _scored(
    body: ScoreBody, spec: ModelSpec, shared: Mapping[str, AnyArray], counts: AnyArray, store: TenantStore
) -> Scored:
    """One model on the users of the phase; under arm `local` also on the validation users by whom it was chosen."""
    choosing = body.phase == "choose"
    fold = store.split(body.holdout).validation if choosing else store.test_fold(body.holdout)
    reached: Float64Array | None = None
    if body.arm == "local":
        params, reached = _own_choice(spec, body, counts, store)
        model = create(spec.name, params)
        weights = _fitted_alone(model, _rows(body, store), store, body)
    else:
        model = create(spec.name, spec.candidates[0])
        weights = _received(model, shared, store, body)
    metrics = _measure(model, weights, fold, counts, store, body.holdout)
    sums = MetricSums.of(metrics, tenant=store.name, positions=fold.users)
    return Scored(sums, metrics.of(body.holdout.headline) if choosing else reached)


def _own_choice(spec: ModelSpec, body: ScoreBody, counts: AnyArray, store: TenantStore) -> tuple[Params, Float64Array]:
    """The candidate that does best on the tenant's own validation, the earliest of equals, and what it reached for
    each user there."""
    holdout = body.holdout
    split = store.split(holdout)
    reached = []
    for params in spec.candidates:
        model = create(spec.name, params)
        weights = _fitted_alone(model, split.train, store, body)
        reached.append(_measure(model, weights, split.validation, counts, store, holdout).of(holdout.headline))
    best = int(np.argmax([values.mean() if len(values) else 0.0 for values in reached]))
    return spec.candidates[best], reached[best]


def _fitted_alone(model: Scoring, rows: Histories, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as the tenant can make it without anyone else."""
    if not isinstance(model, ClosedForm):
        from fedrec.client.local_training import weights_alone  # torch, for runs that use it

        return weights_alone(cast(Any, model), rows, store, body)
    return localised(model, fit(model, _features(store), pooled_sum([rows])), rows)


def _received(model: Scoring, shared: Weights, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as it came, with what the tenant adds to it: private weights, or steps on its own rows."""
    rows = _rows(body, store)
    if isinstance(model, ClosedForm):
        return localised(model, shared, rows)
    from fedrec.client.local_training import weights_tuned, with_private  # torch, for runs that use it

    weights = with_private(cast(Any, model), shared, store)
    return weights_tuned(cast(Any, model), weights, rows, store, body) if body.arm == "tuned" else weights


def _rows(body: ScoreBody, store: TenantStore) -> Histories:
    """What the models of a phase are fitted on."""
    split = store.split(body.holdout)
    return split.train if body.phase == "choose" else split.fit


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
