"""Arm `fused`: a tenant's users are served by several recommenders at once, see `fedrec.models.blending`.

Of what others made the tenant receives at most two recommenders by ids, one by content and popularity; the best that it
makes alone joins them. In phase `choose` it measures every mix of the public grid on its own validation and sends sums
over its users, by which the federation agrees how good each mix is. On test it takes one mix and sends metric sums, and
how many users each part leads for. What a single user is shown, or is served by, stays here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.client.kept import keep_mixes, keep_test, keep_validation, kept_mixes, recommender_of
from fedrec.client.recommenders import fitted_alone, measure, own_choice, received, rows_of
from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution, joined
from fedrec.data import Fold, Histories
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, Params, ScoreBody, part, ranking_protocol
from fedrec.metrics import MetricSums
from fedrec.metrics.mixes import mix_values
from fedrec.models import Weights, create
from fedrec.models.blending import GRID, PARTS, Blend, Mix, Voice, blend
from fedrec.strategies.fused import FUSED, MixSums, ServedSums, roles_of

AGREED_USERS = 1_000
"""How many of a tenant's own validation users count as much as all tenants' agreement. Measured once, on validation of
the 18 shops of ML-1M, not by a benchmark: which of two mixes is better differs between shops with a standard deviation
of .002 to .006 of NDCG@10, between users with one of .07 to .13; a shop's mean is as good as the others' at the ratio
of their squares, in the middle 1,000 users."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """A tenant's parts, ready to score. columns: (num_sold,) what it sells. cold: (num_items,) what nobody has had."""

    voices: Mapping[str, Voice]
    columns: NDArray[np.int64]
    cold: NDArray[np.bool_]
    exclude_seen: bool

    def blend(self, histories: Histories) -> Blend:
        """The parts' scores of what the tenant sells."""
        return blend(self.voices, histories, self.columns, self.cold, seen=not self.exclude_seen)

    def scores(self, histories: Histories, mix: Mix) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(num_users, num_items) scores under a mix, and for each user the part that leads."""
        found = self.blend(histories)
        scores = np.full((histories.num_users, histories.num_items), -np.inf, np.float32)
        scores[:, self.columns] = found.scores(mix)
        return scores, found.leading(mix)


def score_fused(body: ScoreBody, arrays: Mapping[str, AnyArray], counts: AnyArray, store: TenantStore) -> Contribution:
    """Sums over the users of the phase: of each mix on validation, else of the tenant's own mix on test."""
    fusion = fusion_of(body, {spec.label: part(arrays, spec.label) for spec in body.models}, counts, store)
    if body.phase == "choose":
        return _measured(fusion, body, store)
    return _scored(fusion, mix_of(body, store), body, counts, store)


def fusion_of(body: ScoreBody, shared: Mapping[str, Weights], counts: AnyArray, store: TenantStore) -> Fusion:
    """The parts that `body` names, and the best of the tenant's own. Raises ProtocolError if popularity is missing."""
    specs = {role: body.models[at] for role, at in roles_of([spec.name for spec in body.models]).items()}
    models = {role: create(spec.name, spec.candidates[0]) for role, spec in specs.items()}
    voices = {
        role: Voice(models[role], received(models[role], shared[spec.label], store, body))
        for role, spec in specs.items()
    }
    if "popularity" not in voices:
        raise ProtocolError("Arm 'fused' ends with popularity; the instruction brings none.")
    own = _own(body, counts, store)
    if own is not None:
        voices["own"] = own
    sold = store.assortment()
    columns = np.arange(len(counts)) if sold is None else np.flatnonzero(sold)
    return Fusion(voices, columns, np.asarray(counts) <= 0, body.holdout.exclude_seen)


def mix_of(body: ScoreBody, store: TenantStore) -> int:
    """Which mix of the grid serves the tenant: the best by its own validation and what all tenants agreed on, weighed
    by users; the earliest of equals. A tenant without validation takes what was agreed on."""
    if len(body.agreed) != len(GRID):
        raise ProtocolError(f"Expected what was agreed of {len(GRID)} mixes, got {len(body.agreed)}.")
    reached, agreed = kept_mixes(store), np.array(body.agreed)
    if reached is None or not reached.shape[1]:
        return int(agreed.argmax())
    users = reached.shape[1]
    return int(((users * reached.mean(axis=1) + AGREED_USERS * agreed) / (users + AGREED_USERS)).argmax())


def _own(body: ScoreBody, counts: AnyArray, store: TenantStore) -> Voice | None:
    """What does best on validation of what the tenant makes alone; None if it is to make nothing."""
    best: tuple[float, str, Params] | None = None
    for spec in body.own:
        params, reached = own_choice(spec, body, counts, store)
        value = float(reached.mean()) if len(reached) else 0.0
        if best is None or value > best[0]:
            best = value, spec.name, params
    if best is None:
        return None
    model = create(best[1], best[2])
    return Voice(model, fitted_alone(model, rows_of(body, store), store, body))


def _measured(fusion: Fusion, body: ScoreBody, store: TenantStore) -> Contribution:
    fold, protocol = store.split(body.holdout).validation, ranking_protocol(body.holdout)

    def mixes(start: int, stop: int) -> list[NDArray[np.float32]]:
        found = fusion.blend(fold.history.select(np.arange(start, stop)))
        return [found.scores(mix) for mix in GRID]

    reached = mix_values(mixes, len(GRID), _sold(fold, fusion.columns), protocol, body.holdout.headline)
    keep_mixes(store, reached)
    return joined({FUSED: MixSums(reached.shape[1], reached.sum(axis=1)).contribution()})


def _scored(fusion: Fusion, at: int, body: ScoreBody, counts: AnyArray, store: TenantStore) -> Contribution:
    fold, lead = store.test_fold(body.holdout), body.models[0]
    led: list[NDArray[np.int64]] = []

    def scores(start: int, stop: int) -> NDArray[np.float32]:
        found, leading = fusion.scores(fold.history.select(np.arange(start, stop)), GRID[at])
        led.append(leading)
        return found

    metrics = measure(scores, fold, counts, store, body.holdout)
    sums = MetricSums.of(metrics, tenant=store.name, positions=fold.users)
    leading = np.concatenate([np.zeros(0, np.int64), *led])[metrics.users]
    served = ServedSums(np.bincount(leading, minlength=len(PARTS)).astype(np.float64))
    _keep(sums, served, at, body, store)
    return joined({lead.label: sums.contribution(), FUSED: served.contribution()})


def _keep(sums: MetricSums, served: ServedSums, at: int, body: ScoreBody, store: TenantStore) -> None:
    """Keep what arm `personal` chooses by, and what the tenant may want to know."""
    lead, reached = body.models[0], kept_mixes(store)
    keep_test(store, body.arm, {lead.label: sums})
    value: float | None = None
    if reached is not None:
        keep_validation(store, body.arm, {recommender_of(lead, body.arm): reached[at]})
        value = float(reached[at].mean()) if reached.shape[1] else 0.0
    mix = dict(zip(PARTS, GRID[at], strict=True))
    slices = sums.summary() | {"served": served.summary()}
    told = {"validation": value, "mix": mix, "parts": [spec.label for spec in body.models], "slices": slices}
    store.add_results(body.arm, {lead.label: told})


def _sold(fold: Fold, columns: NDArray[np.int64]) -> Fold:
    """The fold over what the tenant sells only, in the order of `columns`; events on other items are left out."""
    places = np.full(fold.history.num_items, -1, np.int64)
    places[columns] = np.arange(len(columns))

    def over(rows: Histories) -> Histories:
        kept = rows.keep(places[rows.items] >= 0)
        return Histories(kept.indptr, places[kept.items], len(columns))

    return Fold(over(fold.history), over(fold.targets), fold.users)
