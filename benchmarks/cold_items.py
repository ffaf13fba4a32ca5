"""Items that nobody has had yet, recommended by their content, and how fast content is encoded.

The protocol of the cold-item rows that the project started from: a random fifth of the catalogue is cold, and every
event on it is taken out of every history before anything is fitted. For each user who had a cold item, the cold items
are ranked among themselves by what is left of its history, all of it and without regard to age; those that it had are
the targets. Recall@20 is the share of a user's targets among the first 20, NDCG@20 has min(targets, 20) at the top as
its ideal; both are means over users. Ties are broken by position. The content of cold items is known, as it would be;
no interaction with them is used. One TF-IDF row is measured beside, to compare with figures measured elsewhere.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Bar, Row, at_least, at_most
from benchmarks.timing import median, spread
from fedrec.content import HashedEncoder, minilm_encoder
from fedrec.content.features import catalogue_features
from fedrec.content.minilm import PACKAGE
from fedrec.contribution import Total
from fedrec.data import Catalogue, Dataset, Histories, fetch
from fedrec.models import ClosedForm, ContentKNN, ContentMap, ItemFeatures, Statistic, fit, pooled_sum
from fedrec.models.fitting import SumOverClients
from fedrec.privacy.accountant import multiplier_for
from fedrec.privacy.budget import weight_of
from fedrec.rng import derive

KEPT = 0.98  # of the quality without noise
COLD_SHARE = 5  # one item in so many
CUT_OFF = 20
DELTA = 1e-5
RELEASES = 4.0  # the weights of the map's two releases together: item counts 1, profiles 3
ENCODED = 100_000
REPEATS = 3

KNN = ContentKNN(half_life=None, window=None)
LEARNT = ContentMap(half_life=None, window=None)
LEARNT_OF_USERS = ContentMap(whitening="users", half_life=None, window=None)
DEFAULT_BARS, TEXT_BARS = (0.144, 0.218), (0.180, 0.283)  # TF-IDF kNN, and whitened MiniLM kNN
Metrics = tuple[float, float]


@dataclass(frozen=True, eq=False)
class World:
    """One choice of cold items. cold: (num_cold,) positions. warm: histories without them. targets: (num_users,
    num_cold) whether a user had one."""

    dataset: Dataset
    cold: NDArray[np.int64]
    warm: Histories
    targets: NDArray[np.bool_]

    @staticmethod
    def of(dataset: Dataset, seed: int) -> World:
        """The world of a seed."""
        order = derive(seed, "cold-items").permutation(dataset.num_items)
        cold = np.sort(order[: dataset.num_items // COLD_SHARE])
        is_cold = np.zeros(dataset.num_items, np.bool_)
        is_cold[cold] = True
        histories = dataset.histories()
        targets = histories.binary()[:, cold].toarray() > 0
        return World(dataset, cold, histories.keep(~is_cold[histories.items]), targets)

    def measure(self, scores: NDArray[np.floating]) -> Metrics:
        """Recall and NDCG at 20 of scores (num_users, num_cold)."""
        asked = self.targets.any(axis=1)
        targets, top = self.targets[asked], np.argsort(-scores[asked], axis=1, kind="stable")[:, :CUT_OFF]
        hits, having = np.take_along_axis(targets, top, axis=1), targets.sum(axis=1)
        gains = 1 / np.log2(np.arange(CUT_OFF) + 2)
        ideal = np.cumsum(gains)[np.minimum(having, CUT_OFF) - 1]
        return float((hits.sum(axis=1) / having).mean()), float((hits @ gains / ideal).mean())


def rows(settings: Settings) -> Iterator[Row]:
    """Each recommender over the cold items of each seed, then the time to encode a large catalogue."""
    dataset = fetch("ml-100k" if settings.quick else "ml-1m")
    worlds = {seed: World.of(dataset, seed) for seed in settings.seeds}
    features = catalogue_features(dataset.catalogue)
    yield from _rows("random order", worlds, _random, None)
    yield from _rows("TF-IDF and SVD, kNN", worlds, _tfidf, None)
    yield from _rows("content kNN, hashed", worlds, _fitted(KNN, features), None)
    exact = list(_rows("content map, hashed", worlds, _fitted(LEARNT, features), DEFAULT_BARS))
    yield from exact
    whitened = _fitted(LEARNT_OF_USERS, features)
    yield from _rows("content map, hashed, whitened by users", worlds, whitened, DEFAULT_BARS)
    noised = _fitted(LEARNT, features, epsilon=1.0)
    yield from _rows("content map, hashed, epsilon 1", worlds, noised, _just_below(exact))
    if find_spec(PACKAGE) and find_spec("transformers"):
        features = catalogue_features(dataset.catalogue, minilm_encoder())
        yield from _rows("content kNN, MiniLM", worlds, _fitted(KNN, features), TEXT_BARS)
        exact = list(_rows("content map, MiniLM", worlds, _fitted(LEARNT, features), TEXT_BARS))
        yield from exact
        noised = _fitted(LEARNT, features, epsilon=1.0)
        yield from _rows("content map, MiniLM, epsilon 1", worlds, noised, _just_below(exact))
    yield from _encoding_rows(dataset.catalogue, settings)


BENCHMARK = Benchmark("cold-items", "cold items of ML-1M by their content, and the speed of encoding", 3, rows)

Score = Callable[[World, int], NDArray[np.floating]]


def _rows(name: str, worlds: Mapping[int, World], score: Score, bars: Metrics | None) -> Iterator[Row]:
    """Two rows, means over the seeds. bars: for Recall and NDCG, to be exceeded."""
    world = next(iter(worlds.values()))
    found = [world.measure(score(world, seed)) for seed, world in worlds.items()]
    for index, metric in enumerate((f"Recall@{CUT_OFF}", f"NDCG@{CUT_OFF}")):
        values = [metrics[index] for metrics in found]
        bar: Bar | None = None if bars is None else at_least(bars[index])
        note = f"{min(values):.4f} to {max(values):.4f} by seed" if len(values) > 1 else None
        figure = f"{world.dataset.name.upper()}, {len(world.cold)} cold items: {name} {metric}"
        yield Row(figure, statistics.fmean(values), "", bar, tuple(worlds), note)


def _just_below(exact: Sequence[Row]) -> Metrics:
    """What noise may leave of Recall and NDCG."""
    recall, ndcg = (KEPT * row.value for row in exact)
    return recall, ndcg


def _fitted(model: ClosedForm, items: ItemFeatures, epsilon: float | None = None) -> Score:
    def score(world: World, seed: int) -> NDArray[np.floating]:
        total = pooled_sum([world.warm])
        weights = fit(model, items, total if epsilon is None else _noised(total, epsilon, seed))
        return np.asarray(model.scores(weights, world.warm)[:, world.cold])

    return score


def _noised(total: SumOverClients, epsilon: float, seed: int) -> SumOverClients:
    """Sums with simulated Gaussian noise, the budget split as a private run splits it."""
    multiplier = multiplier_for(epsilon, DELTA)

    def noised(statistic: Statistic) -> Total:
        exact, values, noise = total(statistic), {}, {}
        for block in exact.layout.blocks:
            std = multiplier * math.sqrt(RELEASES / weight_of(statistic)) * block.user_l2
            drawn = derive(seed, "noise", statistic.name, block.name).normal(0.0, std, block.shape)
            values[block.name], noise[block.name] = exact.values[block.name] + drawn, std
        return Total(exact.layout, values, exact.num_clients, noise)

    return noised


def _random(world: World, seed: int) -> NDArray[np.floating]:
    return derive(seed, "random order").random(world.targets.shape)


def _tfidf(world: World, seed: int) -> NDArray[np.floating]:
    """Cosine of 64 standardised SVD directions of TF-IDF words."""
    catalogue = world.dataset.catalogue
    documents = [f"{text} {' '.join(names)}" for text, names in zip(catalogue.text, catalogue.categories, strict=True)]
    reduced = TruncatedSVD(64, random_state=0).fit_transform(TfidfVectorizer(min_df=2).fit_transform(documents))
    vectors = (reduced - reduced.mean(0)) / (reduced.std(0) + 1e-6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray((world.warm.binary() @ vectors) @ vectors[world.cold].T)


def _encoding_rows(catalogue: Catalogue, settings: Settings) -> Iterator[Row]:
    size = 5_000 if settings.quick else ENCODED
    large = _repeated(catalogue, size)
    taken = [_processor_seconds(large) for _ in range(1 if settings.quick else REPEATS)]
    bar = None if settings.quick else at_most(20)
    yield Row(f"encoding of {size:,} items, hashed, processor time", median(taken), "s", bar, note=spread(taken))


def _processor_seconds(catalogue: Catalogue) -> float:
    """What one core takes that does nothing else, also where others keep it busy."""
    started = time.process_time()
    HashedEncoder().encode(catalogue)
    return time.process_time() - started


def _repeated(catalogue: Catalogue, size: int) -> Catalogue:
    """A catalogue of `size` items: the given ones over and over, their texts numbered, with prices."""
    places = np.arange(size) % catalogue.num_items
    return Catalogue(
        tuple(f"{catalogue.item_ids[place]} {copy}" for copy, place in enumerate(places)),
        tuple(f"{catalogue.text[place]}, edition {copy}" for copy, place in enumerate(places)),
        tuple(catalogue.categories[place] for place in places),
        np.arange(size) % 500 + np.float64(1.0),
    )
