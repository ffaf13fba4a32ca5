"""Rank for the tenant's own held-out users and add up the metrics. Per-user results stay in the tenant's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedrec.client.fusing import score_fused
from fedrec.client.kept import keep_test, keep_validation, recommender_of
from fedrec.client.personal import SERVING, personal
from fedrec.client.recommenders import fitted_alone, measure, own_choice, received, rows_of, scores_of
from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution, joined
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, ModelSpec, ScoreBody, part
from fedrec.metrics import MetricSums
from fedrec.models import create
from fedrec.models.protocols import Float64Array


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
    if body.arm == "fused":
        return score_fused(body, arrays, counts, store)
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
        params, reached = own_choice(spec, body, counts, store)
        model = create(spec.name, params)
        weights = fitted_alone(model, rows_of(body, store), store, body)
    else:
        model = create(spec.name, spec.candidates[0])
        weights = received(model, shared, store, body)
    metrics = measure(scores_of(model, weights, fold), fold, counts, store, body.holdout)
    sums = MetricSums.of(metrics, tenant=store.name, positions=fold.users)
    return Scored(sums, metrics.of(body.holdout.headline) if choosing else reached)
