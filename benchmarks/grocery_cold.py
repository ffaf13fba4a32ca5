"""Groceries that did not exist before: new items of the Complete Journey at their first shoppers, by content alone.

The stores with at least 100 households are tenants, 36 of 457; each has only its own lines. All of the year before its
last fifth is known, the same moment everywhere. An item is cold if no store at all sold it before. For each household
of a store that bought there before and bought a cold item there after, the cold items that the store sells by the end
of the year are ranked among themselves by what the household had in that store, without regard to age; those that it
bought are the targets. Recall@20 and NDCG@20 as in `cold-items`, means over the households of all stores.

What a tenant has without a federation is content-kNN, whitened by its own goods; the content map that it learns from
its own rows only is shown beside. A federation gives it a map learnt from sums over all stores, whitened by users so
that no tenant tells its range of goods, and the tenant may blend its own content-kNN with it. Settings of both, and how
much of its own is blended in, are chosen a fifth of the year earlier: among the items that were new then, by what was
known before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.cold_items import CUT_OFF, KNN, LEARNT, LEARNT_OF_USERS, Metrics, World
from benchmarks.figures import Bar, Row, at_least
from fedrec.content.features import catalogue_features
from fedrec.data import Dataset, Histories, fetch
from fedrec.data.tenants import by_store
from fedrec.models import ClosedForm, ContentKNN, ContentMap, ItemFeatures, Weights, fit, pooled_sum
from fedrec.rng import derive

FIFTHS = 5
MIN_USERS = 100
QUICK_STORES = 3
USERS_AT_A_TIME = 256
NEIGHBOURS = tuple(replace(KNN, rank=rank) for rank in (96, 160, 240))
MAPS = tuple(
    replace(LEARNT_OF_USERS, shrinkage=shrinkage, l2=l2, bias=bias, rank=rank)
    for shrinkage, l2, bias in ((0.5, 1.0, 0.15), (0.005, 100.0, 0.02))
    for rank in (80, 160)
)
OWN_WEIGHTS = (0.0, 0.5, 1.0, 2.0)
TINY = 1e-9
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Period:
    """What came new between two moments, in unix seconds: from `start` on and before `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Store:
    """One tenant. known: what its households bought before the period. asked: (n,) those of them with a target.
    targets: (n, num_cold). sold: (num_cold,) whether the store sells a cold item at all."""

    known: Histories
    asked: NDArray[np.int64]
    targets: NDArray[np.bool_]
    sold: NDArray[np.bool_]

    @staticmethod
    def of(tenant: Dataset, period: Period, cold: NDArray[np.int64]) -> Store:
        """A tenant's rows, before the period and in it."""
        times = tenant.interactions.times[tenant.interactions.chronological()]
        histories = tenant.histories()
        known = histories.keep(times < period.start)
        later = histories.keep((times >= period.start) & (times < period.stop))
        targets = later.binary()[:, cold].toarray() > 0
        asked = np.flatnonzero(targets.any(axis=1) & (known.lengths > 0))
        return Store(known, asked, targets[asked], np.asarray(targets.any(axis=0)))


@dataclass(frozen=True, eq=False)
class Season:
    """A period at all stores. everyone: their households, one after the other, for one mean."""

    items: ItemFeatures
    stores: list[Store]
    cold: NDArray[np.int64]
    everyone: World

    @staticmethod
    def of(dataset: Dataset, tenants: list[Dataset], period: Period) -> Season:
        """The period at these tenants."""
        cold = cold_items(dataset, period)
        stores = [Store.of(tenant, period, cold) for tenant in tenants]
        return Season(catalogue_features(dataset.catalogue), stores, cold, _together(dataset, stores, cold))

    def alone(self, model: ContentKNN | ContentMap) -> Scores:
        """(num_asked, num_cold) of each store's own model."""
        return np.vstack([_of_sold(_own(model, self.items, store, self.cold), store) for store in self.stores])

    def federated(self, model: ContentMap) -> Scores:
        """The same of one model, from sums over all stores."""
        weights = fit(model, self.items, pooled_sum([store.known for store in self.stores]))
        asked = [store.known.select(store.asked) for store in self.stores]
        scores = [_in_blocks(model, weights, histories, self.cold) for histories in asked]
        return np.vstack([_of_sold(part, store) for part, store in zip(scores, self.stores, strict=True)])

    def ndcg(self, scores: Scores) -> float:
        """What settings are chosen by."""
        return self.everyone.measure(scores)[1]


def rows(settings: Settings) -> Iterator[Row]:
    """What is cold, then two rows for each recommender, the federated one against the best without a federation."""
    dataset = fetch("complete-journey")
    tenants = list(by_store(dataset, min_users=MIN_USERS).values())[: QUICK_STORES if settings.quick else None]
    earlier, last = (Season.of(dataset, tenants, period_of(dataset, fifth)) for fifth in (FIFTHS - 1, FIFTHS))
    yield _what_is_cold(dataset, last)
    neighbours = max(NEIGHBOURS, key=lambda model: earlier.ndcg(earlier.alone(model)))
    learnt, weight = _choice(earlier, neighbours)
    measure, of = last.everyone.measure, f"groceries, {len(last.cold):,} cold items, {len(tenants)} stores"
    own = last.alone(neighbours)
    yield from _pair(f"{of}: random order", measure(_random(last)), None)
    yield from _pair(f"{of}: content kNN, each tenant's own", measure(own), None, f"rank {neighbours.rank}")
    yield from _pair(f"{of}: content map, each tenant's own", measure(last.alone(LEARNT)), None)
    told = f"rank {learnt.rank}, shrinkage {learnt.shrinkage:g}, l2 {learnt.l2:g}, {weight:g} of own content kNN"
    found = measure(_blend(last.federated(learnt), own, weight))
    yield from _pair(f"{of}: content map, federated", found, measure(own), told)


BENCHMARK = Benchmark("grocery-cold", "Complete Journey: new items of the last fifth of the year, by content", 6, rows)


def period_of(dataset: Dataset, fifth: int) -> Period:
    """A fifth of the time between the first and the last event, the first one being 1; the last has the last event."""
    first, last = int(dataset.interactions.times.min()), int(dataset.interactions.times.max())
    start, stop = (first + round(part / FIFTHS * (last - first)) for part in (fifth - 1, fifth))
    return Period(start, stop + (fifth == FIFTHS))


def cold_items(dataset: Dataset, period: Period) -> NDArray[np.int64]:
    """Positions of the items whose first event is in the period."""
    first = np.full(dataset.num_items, np.iinfo(np.int64).max)
    np.minimum.at(first, dataset.interactions.items, dataset.interactions.times)
    return np.flatnonzero((first >= period.start) & (first < period.stop))


def _choice(season: Season, neighbours: ContentKNN) -> tuple[ContentMap, float]:
    """The map, and the weight of a tenant's own content-kNN beside it, that are best together."""
    own = season.alone(neighbours)
    reached: dict[tuple[ContentMap, float], float] = {}
    for model in MAPS:
        scores = season.federated(model)
        reached |= {(model, weight): season.ndcg(_blend(scores, own, weight)) for weight in OWN_WEIGHTS}
    return max(reached, key=reached.__getitem__)


def _blend(scores: Scores, own: Scores, weight: float) -> Scores:
    """Both in standard deviations over what a user could be shown, added up."""
    return _standard(scores) + weight * _standard(own) if weight else scores


def _standard(scores: Scores) -> Scores:
    shown = np.isfinite(scores)
    known = np.where(shown, scores, np.nan)
    mean, std = np.nanmean(known, axis=1, keepdims=True), np.nanstd(known, axis=1, keepdims=True)
    return np.where(shown, (scores - mean) / np.maximum(std, TINY), -np.inf)


def _what_is_cold(dataset: Dataset, season: Season) -> Row:
    after = dataset.interactions.times >= period_of(dataset, FIFTHS).start
    share = np.isin(dataset.interactions.items[after], season.cold).mean()
    return Row("groceries: lines of the last fifth of the year that are on cold items", 100 * float(share), "%")


def _together(dataset: Dataset, stores: list[Store], cold: NDArray[np.int64]) -> World:
    """The households of all stores, one after the other, for one mean."""
    rows = [store.known.row(user).tolist() for store in stores for user in store.asked]
    warm = Histories.from_lists(rows, dataset.num_items)
    return World(dataset, cold, warm, np.vstack([store.targets for store in stores]))


def _pair(name: str, found: Metrics, beaten: Metrics | None, note: str | None = None) -> Iterator[Row]:
    for index, metric in enumerate((f"Recall@{CUT_OFF}", f"NDCG@{CUT_OFF}")):
        bar: Bar | None = None if beaten is None else at_least(beaten[index])
        yield Row(f"{name} {metric}", found[index], "", bar, note=note)


def _random(season: Season) -> Scores:
    drawn = derive(0, "random order").random(season.everyone.targets.shape)
    parts = np.split(drawn, np.cumsum([len(store.asked) for store in season.stores])[:-1])
    return np.vstack([_of_sold(part, store) for part, store in zip(parts, season.stores, strict=True)])


def _of_sold(scores: Scores, store: Store) -> Scores:
    """(n, num_cold) with what the store does not sell behind all that it does."""
    return np.where(store.sold, scores, -np.inf)


def _own(model: ContentKNN | ContentMap, items: ItemFeatures, store: Store, cold: NDArray[np.int64]) -> Scores:
    """Fitted on the goods and rows of one store, then over the cold items, too."""
    sold = np.unique(store.known.items)
    weights = fit(model, _part(items, sold), pooled_sum([_among(store.known, sold)]))
    known = np.concatenate([sold, cold])  # a cold item is sold by nobody, so the two have nothing in common
    wider = model.over(weights, _part(items, known), np.zeros(len(known)))
    asked = _among(store.known.select(store.asked), known)
    return _in_blocks(model, wider, asked, len(sold) + np.arange(len(cold)))


def _part(items: ItemFeatures, chosen: NDArray[np.int64]) -> ItemFeatures:
    assert items.content is not None  # catalogue_features gives them
    return ItemFeatures(len(chosen), items.content[chosen], items.fields, items.encoder)


def _among(histories: Histories, chosen: NDArray[np.int64]) -> Histories:
    """Histories over the items `chosen`, of which all their items are."""
    place = np.full(histories.num_items, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    return Histories(histories.indptr.copy(), place[histories.items], len(chosen))


def _in_blocks(model: ClosedForm, weights: Weights, histories: Histories, cold: NDArray[np.int64]) -> Scores:
    """(num_users, num_cold) scores; the other columns are let go block by block."""
    blocks = []
    for start in range(0, histories.num_users, USERS_AT_A_TIME):
        users = np.arange(start, min(start + USERS_AT_A_TIME, histories.num_users))
        blocks.append(model.scores(weights, histories.select(users))[:, cold])
    return np.vstack(blocks)
