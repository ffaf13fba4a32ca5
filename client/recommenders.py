"""A tenant's recommenders: as they came, as the tenant makes them alone, and what they do for its held-out users."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fedrec.client.content import features_of
from fedrec.client.fading import weighed
from fedrec.client.kept import keep_own_choice, kept_own_choice
from fedrec.client.store import TenantStore
from fedrec.data import Dataset, Fold, Histories
from fedrec.data.categories import category_vectors
from fedrec.messages import AnyArray, Holdout, ModelSpec, Params, ScoreBody, ranking_protocol
from fedrec.metrics import UserMetrics, evaluate
from fedrec.metrics.ranks import ScoreFn
from fedrec.models import ClosedForm, Weights, create, fit, localised, pooled_sum
from fedrec.models.protocols import Float64Array, Scoring


def own_choice(spec: ModelSpec, body: ScoreBody, counts: AnyArray, store: TenantStore) -> tuple[Params, Float64Array]:
    """The candidate that does best on the tenant's own validation, the earliest of equals, and what it reached for
    each user there. It is found once for the same rows and question, and kept."""
    question = _question(spec, body, store)
    reached = kept_own_choice(store, spec.label, question)
    if reached is None:
        reached = np.stack([_reached(spec, params, body, counts, store) for params in spec.candidates])
        keep_own_choice(store, spec.label, question, reached)
    best = int(np.argmax([values.mean() if len(values) else 0.0 for values in reached]))
    return spec.candidates[best], reached[best]


def fitted_alone(model: Scoring, rows: Histories, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as the tenant can make it without anyone else."""
    if not isinstance(model, ClosedForm):
        from fedrec.client.local_training import weights_alone  # torch, for runs that use it

        return weights_alone(cast(Any, model), rows, store, body)
    sums = pooled_sum([weighed(rows, body.holdout)])
    return localised(model, fit(model, features_of(store, body.encoder), sums), rows)


def received(model: Scoring, shared: Weights, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as it came, with what the tenant adds to it: private weights, or steps on its own rows."""
    rows = rows_of(body, store)
    if isinstance(model, ClosedForm):
        return localised(model, shared, rows)
    from fedrec.client.local_training import weights_tuned, with_private  # torch, for runs that use it

    weights = with_private(cast(Any, model), shared, store)
    return weights_tuned(cast(Any, model), weights, rows, store, body) if body.arm == "tuned" else weights


def rows_of(body: ScoreBody, store: TenantStore) -> Histories:
    """What the models of a phase are fitted on."""
    split = store.split(body.holdout)
    return split.train if body.phase == "choose" else split.fit


def scores_of(model: Scoring, weights: Weights, fold: Fold) -> ScoreFn:
    """The scores of a recommender for the users of a fold."""

    def scores(start: int, stop: int) -> NDArray[np.floating]:
        return model.scores(weights, fold.history.select(np.arange(start, stop)))

    return scores


def measure(scores: ScoreFn, fold: Fold, counts: AnyArray, store: TenantStore, holdout: Holdout) -> UserMetrics:
    """What a scorer does for the users of a fold, of what the tenant sells."""
    return evaluate(
        scores,
        fold.history,
        fold.targets,
        item_counts=counts,
        item_vectors=_categories(store.dataset()),
        candidates=store.assortment(),
        protocol=ranking_protocol(holdout),
    )


def _reached(spec: ModelSpec, params: Params, body: ScoreBody, counts: AnyArray, store: TenantStore) -> Float64Array:
    """(num_validation_users,) the headline metric of a candidate that was fitted on the training rows."""
    split, model = store.split(body.holdout), create(spec.name, params)
    weights = fitted_alone(model, split.train, store, body)
    scores = scores_of(model, weights, split.validation)
    return measure(scores, split.validation, counts, store, body.holdout).of(body.holdout.headline)


def _question(spec: ModelSpec, body: ScoreBody, store: TenantStore) -> str:
    """Names what `own_choice` rests on: equal for equal candidates, rows, training and rules of holding out."""
    model = create(spec.name, spec.candidates[0])
    training = None if isinstance(model, ClosedForm) else body.training
    encoder = body.encoder if model.uses_content else None
    asked = (spec.model_dump_json(), body.holdout.model_dump_json(), training, encoder, store.version)
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _categories(dataset: Dataset) -> NDArray[np.float32] | None:
    return category_vectors(dataset.catalogue)
