"""A tenant that takes the federation's model and serves with it before it has trained anything.

ML-1M by occupation, 21 tenants. Three are held out in turn, by a rule of their sizes: the tenant at the first quarter
of the order by users, that in the middle, and the largest. The others fit and choose on their own validation; what they
choose ranks for the held-out tenant's users (last discovery out), from their own histories. It is set against the best
that the tenant can do alone, chosen among more recommenders on its own validation and fitted on all its data, and
against the same recommender fitted by all 21. Sums are of whole numbers, so those without a tenant are exact.

Then some of the tenant's users join: drawn by each seed, the same recommender is fitted with their data, too, and ranks
for all users of the tenant. Only these rows depend on a seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row, at_least
from benchmarks.one_place import NDCG, chosen, ndcg, recommenders
from fedrec.content.features import catalogue_features
from fedrec.data import Dataset, Fold, Histories, fetch, leave_last_out
from fedrec.data.tenants import by_user_attribute
from fedrec.models import ALS, EASE, ClosedForm, ContentKNN, ItemFeatures, UserKNN, Weights, localised, pooled_sum
from fedrec.models.fitting import fit, fit_all
from fedrec.rng import derive

PLACES = {"small": 0.25, "medium": 0.5, "large": 1.0}  # of the order by users
ALONE, ALONE_STRETCH = 100.0, 120.0
MEMBER, MEMBER_STRETCH = 90.0, 97.0
JOINING = (1, 10, 100)
NOTHING = 1e-3  # NDCG@10 of a random order on ML-1M
LOCAL_L2 = (100.0, 1000.0)


@dataclass(frozen=True, eq=False)
class Rows:
    """One tenant's rows: for fits that are compared on `validation`, and for those that are tested."""

    name: str
    train: Histories
    fit: Histories
    validation: Fold
    test: Fold

    @staticmethod
    def of(name: str, dataset: Dataset) -> Rows:
        """The rows of a tenant, whose test is opened here for good."""
        split = leave_last_out(dataset.histories())
        return Rows(name, split.train, split.fit, split.validation, split.open_test())


def rows(settings: Settings) -> Iterator[Row]:
    """Two rows with bars for each of three tenants, then those of users who join."""
    dataset = fetch("ml-100k" if settings.quick else "ml-1m")
    tenants = [Rows.of(name, tenant) for name, tenant in by_user_attribute(dataset, "occupation").items()]
    items = catalogue_features(dataset.catalogue)
    for size, place in held_out([tenant.fit.num_users for tenant in tenants]).items():
        others = [tenant for index, tenant in enumerate(tenants) if index != place]
        yield from _rows_of(f"{dataset.name.upper()}, {size} tenant", tenants[place], others, items, settings)


BENCHMARK = Benchmark(
    "new-tenant", "ML-1M by occupation: the model of the others at a tenant that never trained", 6, rows
)


def held_out(sizes: Sequence[int]) -> dict[str, int]:
    """Which tenants are held out. sizes: users of each; equal ones are in the order of the tenants."""
    order = sorted(range(len(sizes)), key=lambda index: sizes[index])
    return {size: order[round(share * (len(order) - 1))] for size, share in PLACES.items()}


def _rows_of(title: str, tenant: Rows, others: list[Rows], items: ItemFeatures, settings: Settings) -> Iterator[Row]:
    name, model = _federations_choice(others, items)
    known = [other.fit for other in others]
    reached = ndcg(model, fit(model, items, pooled_sum(known)), tenant.test)
    own, alone = _alone(tenant, items)
    member = ndcg(model, fit(model, items, pooled_sum([*known, tenant.fit])), tenant.test)
    users = f"{tenant.name}, {tenant.fit.num_users} users, by {name} of the others"
    said = f"{users}; {NDCG} {reached:.4f}, alone {alone:.4f} by {own}; stretch {ALONE_STRETCH:g}"
    yield Row(f"{title}, never trained: of its best alone", _share(reached, alone), "%", at_least(ALONE), note=said)
    said = f"{users}; {NDCG} {reached:.4f} of {member:.4f}; stretch {MEMBER_STRETCH:g}"
    yield Row(
        f"{title}, never trained: of the same as a member", _share(reached, member), "%", at_least(MEMBER), note=said
    )
    for count in JOINING:
        if count < tenant.fit.num_users:
            after = [_joined(model, items, known, tenant, count, seed) for seed in settings.seeds]
            said = f"{users}; means of {len(after)} draws"
            figure = f"{title}, after the data of {count} user{'s' if count > 1 else ''}: of the same as a member"
            yield Row(figure, _share(statistics.fmean(after), member), "%", None, settings.seeds, said)


def _share(reached: float, of: float) -> float:
    """In per cent; of what is next to nothing, as on little data, of that."""
    return 100 * reached / max(of, NOTHING)


def _federations_choice(others: list[Rows], items: ItemFeatures) -> tuple[str, ClosedForm]:
    """The recommender that is best on the validation of all users who take part. ALS, which is never near, is out."""
    models = recommenders(quick=True)
    weights = fit_all(models, items, pooled_sum([other.train for other in others]))
    name = chosen(models, weights, [other.validation for other in others])
    return name, models[name]


def _alone(tenant: Rows, items: ItemFeatures) -> tuple[str, float]:
    """The best that the tenant can do with its own rows only: chosen on its validation, fitted on all, and tested."""
    models = _own_candidates()
    name = chosen(models, _localised(models, items, tenant.train), [tenant.validation])
    weights = _localised({name: models[name]}, items, tenant.fit)
    return name, ndcg(models[name], weights[name], tenant.test)


def _own_candidates() -> dict[str, ClosedForm]:
    strengths: dict[str, ClosedForm] = {f"ease l2={l2:g}": EASE(l2=l2) for l2 in LOCAL_L2}
    return (
        recommenders(quick=True) | strengths | {"user_knn": UserKNN(), "content_knn": ContentKNN(), "als": ALS(32, 4)}
    )


def _localised(models: Mapping[str, ClosedForm], items: ItemFeatures, own: Histories) -> dict[str, Weights]:
    weights = fit_all(models, items, pooled_sum([own]))
    return {name: localised(model, weights[name], own) for name, model in models.items()}


def _joined(
    model: ClosedForm, items: ItemFeatures, known: list[Histories], tenant: Rows, count: int, seed: int
) -> float:
    """NDCG@10 of all the tenant's users, `count` of whom take part."""
    users = np.sort(derive(seed, "new-tenant", tenant.name).permutation(tenant.fit.num_users)[:count])
    weights = fit(model, items, pooled_sum([*known, tenant.fit.select(users)]))
    return ndcg(model, weights, tenant.test)
