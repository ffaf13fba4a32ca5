"""Users whom nobody has trained on, served from their own histories: how much of their quality is lost.

A fifth of the users is drawn by each seed and left out of every sum. The recommenders are fitted on the others, chosen
on the others' validation, and rank the last discovery of the users that were left out, whose histories they see for
the first time then. The same users' quality by the same recommender fitted on everybody is the 100 %.

The curve is about the chosen recommender: it is told only the newest events of a history, while the targets and the
items that are not ranked (all that the user had) stay the same. An interest is simulated by the three categories that
are commonest in the user's history, which the user states and nobody trains on; a real answer may say more or less. It
is ranked by the content map alone, and by popularity within the quarter of the catalogue that is nearest to it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Bar, Row, at_least
from benchmarks.one_place import NDCG, chosen, mean_ndcg, ndcg, recommenders
from fedrec.content.features import catalogue_features
from fedrec.data import Catalogue, Dataset, Fold, Histories, Split, fetch, leave_last_out
from fedrec.models import ClosedForm, ContentMap, ItemFeatures, Weights, pooled_sum
from fedrec.models.fitting import fit_all
from fedrec.rng import derive

LEFT_OUT = 5  # one user in so many
FEWEST_EVENTS = 5
BAR, STRETCH = 95.0, 98.0
TOLD = (0, 1, 2, 5)
STATED = 3  # categories
NEAREST = 0.25  # of the catalogue
CHOICE = "the federation's choice"


@dataclass(frozen=True, eq=False)
class World:
    """One draw. members, strangers: positions of users; test: of the strangers."""

    split: Split
    members: np.ndarray[tuple[int], np.dtype[np.int64]]
    strangers: np.ndarray[tuple[int], np.dtype[np.int64]]
    validation: Fold
    test: Fold

    @staticmethod
    def of(dataset: Dataset, seed: int) -> World:
        """The world of a seed."""
        histories = dataset.histories()
        long = np.flatnonzero(histories.lengths >= FEWEST_EVENTS)
        strangers = np.sort(derive(seed, "new-users").permutation(long)[: dataset.num_users // LEFT_OUT])
        members = np.setdiff1d(np.arange(dataset.num_users), strangers)
        split = leave_last_out(histories)
        return World(split, members, strangers, _of(split.validation, members), _of(split.open_test(), strangers))


def _of(fold: Fold, users: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Fold:
    rows = np.flatnonzero(np.isin(fold.users, users))
    return Fold(fold.history.select(rows), fold.targets.select(rows), fold.users[rows])


@dataclass(frozen=True, eq=False)
class Found:
    """What one draw gave. shares: model -> (NDCG@10 left out, NDCG@10 in training). curve: what is told -> NDCG@10."""

    choice: str
    shares: Mapping[str, tuple[float, float]]
    curve: Mapping[str, float]


def rows(settings: Settings) -> Iterator[Row]:
    """The share of each recommender, with a bar for the one that the federation chooses, and the curve."""
    dataset = fetch("ml-100k" if settings.quick else "ml-1m")
    found = [_found(dataset, recommenders(settings.quick, seed), seed) for seed in settings.seeds]
    title = dataset.name.upper()
    for name in found[0].shares:
        note = "the choice at every seed" if all(one.choice == name for one in found) else None
        yield share_row(f"{title}: {name}", [one.shares[name] for one in found], settings, None, note)
    names = ", ".join(sorted({one.choice for one in found}))
    best = [one.shares[one.choice] for one in found]
    yield share_row(f"{title}: {CHOICE}", best, settings, at_least(BAR), f"chosen: {names}")
    for told in found[0].curve:
        value = statistics.fmean(one.curve[told] for one in found)
        yield Row(f"{title}: new users, {told}: {NDCG}", value, "", None, settings.seeds)


def share_row(of: str, pairs: list[tuple[float, float]], settings: Settings, bar: Bar | None, note: str | None) -> Row:
    """The mean share over seeds. pairs: (NDCG@10 left out, NDCG@10 in training) at each seed."""
    shares = [100 * new / known for new, known in pairs]
    new, known = (statistics.fmean(column) for column in zip(*pairs, strict=True))
    by_seed = ", ".join(f"{share:.1f}" for share in shares)
    said = f"{NDCG} {new:.4f} of {known:.4f}; by seed {by_seed}; stretch {STRETCH:g}" + (f"; {note}" if note else "")
    return Row(
        f"{of}, new users of what they reach in training", statistics.fmean(shares), "%", bar, settings.seeds, said
    )


def _found(dataset: Dataset, models: Mapping[str, ClosedForm], seed: int) -> Found:
    world, items = World.of(dataset, seed), catalogue_features(dataset.catalogue)
    choice = chosen(models, _fitted(models, items, world.split.train.select(world.members)), [world.validation])
    members = _fitted(models, items, world.split.fit.select(world.members))
    everyone = _fitted(models, items, world.split.fit)
    shares = {
        name: (ndcg(model, members[name], world.test), ndcg(model, everyone[name], world.test))
        for name, model in models.items()
    }
    return Found(choice, shares, _curve(dataset, world, models, members, choice))


def _fitted(models: Mapping[str, ClosedForm], items: ItemFeatures, rows: Histories) -> dict[str, Weights]:
    return fit_all(models, items, pooled_sum([rows]))


def _curve(
    dataset: Dataset, world: World, models: Mapping[str, ClosedForm], weights: Mapping[str, Weights], choice: str
) -> dict[str, float]:
    """What is told of a user -> NDCG@10."""
    fold = world.test
    floor = {"nothing known, popularity": ndcg(models[choice], weights[choice], fold, fold.history.newest(0))}
    stated = _by_interest(dataset.catalogue, weights[ContentMap.name], fold)
    told = {
        f"after {count} event{'s' if count > 1 else ''}, {choice}": ndcg(
            models[choice], weights[choice], fold, fold.history.newest(count)
        )
        for count in TOLD
        if count
    }
    full = {f"after all events, {choice}": ndcg(models[choice], weights[choice], fold)}
    return floor | stated | told | full


def _by_interest(catalogue: Catalogue, weights: Weights, fold: Fold) -> dict[str, float]:
    """The content map, told one item that nobody has: of the categories that are commonest in a history."""
    scores = _scores_by_interest(catalogue, weights, fold)
    nearest = np.argsort(np.argsort(-scores, axis=1), axis=1) < NEAREST * catalogue.num_items
    popular = np.where(nearest, weights["popularity"], -1.0)
    return {
        "nothing had, an interest stated": mean_ndcg(lambda start, stop: scores[start:stop], fold),
        "nothing had, an interest stated, the popular first": mean_ndcg(lambda start, stop: popular[start:stop], fold),
    }


def _scores_by_interest(catalogue: Catalogue, weights: Weights, fold: Fold) -> NDArray[np.floating]:
    """(num_users, num_items) of the interest of each user of the fold."""
    stated = [_commonest(catalogue, fold.history.row(user)) for user in range(fold.num_users)]
    distinct = {categories: place for place, categories in enumerate(dict.fromkeys(stated))}
    described = _with(catalogue, tuple(distinct))
    popularity = np.concatenate([weights["popularity"], np.zeros(len(distinct))])
    model = ContentMap()
    wider = model.over(weights, catalogue_features(described), popularity)
    said = np.array([catalogue.num_items + distinct[categories] for categories in stated], np.int64)
    histories = Histories(np.arange(len(said) + 1), said, described.num_items)
    return model.scores(wider, histories)[:, : catalogue.num_items]


def _commonest(catalogue: Catalogue, items: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[str, ...]:
    counts = Counter(name for item in items for name in catalogue.categories[item])
    return tuple(sorted(sorted(counts), key=lambda name: -counts[name])[:STATED])


def _with(catalogue: Catalogue, interests: tuple[tuple[str, ...], ...]) -> Catalogue:
    """The catalogue with an item for each interest behind its own."""
    wider = catalogue.extended([f"interest: {', '.join(names)}" for names in interests])
    return replace(wider, categories=catalogue.categories + interests)


BENCHMARK = Benchmark(
    "new-users", "ML-1M: users that nobody trained on, as a share of their quality in training", 6, rows
)
