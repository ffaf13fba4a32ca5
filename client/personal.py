"""Arm `personal`: each tenant is served by what did best for its own users. It sees nothing but what the tenant kept.

The choice is made on validation users, by models that never saw their held-out items, and then the final model of the
chosen arm counts on test. Neither the choice nor what it rests on leaves the tenant: what does are metric sums, as
under any other arm. (A server that sees the sums of single tenants can tell their choices by comparing them.)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from fedrec.client.kept import kept_test, kept_validation, recommender_of
from fedrec.client.store import TenantStore
from fedrec.errors import Refusal
from fedrec.messages import AnyArray, ModelSpec, ScoreBody, part, ranking_protocol
from fedrec.metrics import MetricSums
from fedrec.models.protocols import Float64Array

ALONE = "local"
SERVING = ("federated", "tuned", "fused", ALONE)
"""The arms that can serve a tenant, in the order in which equals are preferred: what others helped to make is first."""

K = TypeVar("K", bound=Hashable)
Reached = dict[str, Float64Array]
"""Arm -> the headline metric of each validation user: the same users for every arm."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What the tenant kept of an arm; see `fedrec.client.kept`."""

    validation: Mapping[str, AnyArray]
    test: Mapping[str, AnyArray]


@dataclass(frozen=True, eq=False)
class Personal:
    """What serves a tenant with one recommender: the arm, its mean on validation, its sums on test."""

    arm: str
    validation: float
    sums: MetricSums


def personal(body: ScoreBody, store: TenantStore) -> dict[str, Personal]:
    """Label -> what serves the tenant with that recommender.

    Which one the tenant is served by is kept, too: the federation's, chosen by the users of all tenants, or the one
    that the tenant would use alone. Raises Refusal for a recommender of which nothing was kept.
    """
    kept = {arm: Kept(kept_validation(store, arm), kept_test(store, arm)) for arm in SERVING}
    reached = {spec.label: _reached(spec, kept) for spec in body.models}
    first = body.models[0].label
    options = {(first, arm): values for arm, values in reached[first].items() if arm != ALONE}
    options |= {(label, "fused"): of["fused"] for label, of in reached.items() if "fused" in of}
    options |= {(label, ALONE): reached[label][ALONE] for label in store.results().get(ALONE, {}) if label in reached}
    store.keep_choice(*choose(options))
    return {label: _personal(label, of, kept, body) for label, of in reached.items()}


def choose(options: Mapping[K, Float64Array]) -> K:
    """The key of the highest mean over validation users, the earliest of equals.

    Where an arm is truly worse than another by d, and its lead on validation is normal with standard deviation s, it is
    taken for the better one with probability Phi(-d / s). That costs d Phi(-d / s) on average, and so at most 0.17 s.
    """
    return max(options, key=lambda key: _mean(options[key]))


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _reached(spec: ModelSpec, kept: Mapping[str, Kept]) -> Reached:
    """What each arm reached that was both measured on validation and scored on test, in the order of `SERVING`."""
    reached = {}
    for arm, of in kept.items():
        values = of.validation.get(recommender_of(spec, arm))
        if values is not None and part(of.test, spec.label):
            reached[arm] = values
    if not reached:
        raise Refusal("nothing-kept", f"the tenant kept no validation and test of {spec.label} under one arm")
    return reached


def _personal(label: str, reached: Reached, kept: Mapping[str, Kept], body: ScoreBody) -> Personal:
    arm = choose(reached)
    values = part(kept[arm].test, label)
    sums = MetricSums(ranking_protocol(body.holdout), len(values["exposure"]), values)
    return Personal(arm, _mean(reached[arm]), sums)
