"""What the content tower of a gradient recommender costs where items are known, and does for those that are not.

Warm: SASRec on ML-100K, all rows in one place, by ids only and with the tower on hashed content, by the recipe of
`neural-models`. A network that can describe items is not to be worse for it.

Cold: the protocol of `benchmarks/cold_items.py`. The networks are trained on a catalogue without the cold items, which
arrive afterwards, and rank these by their towers.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.cold_items import CUT_OFF, KNN, Metrics, World
from benchmarks.figures import Row, at_most
from benchmarks.neural import NDCG, measure, recipe
from fedrec.client.training import LocalRows, train
from fedrec.config_content import ContentConfig, EncoderName
from fedrec.content.features import catalogue_features
from fedrec.data import fetch
from fedrec.models import ContentFactors, ItemFeatures, fit, pooled_sum
from fedrec.models.neural import SASRec
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import public_weights
from fedrec.models.protocols import ClosedForm

ENCODERS: dict[EncoderName, str] = {"none": "by ids only", "hashed": "with tower"}
COLD_EPOCHS = 10
MOST_LOST = 2.0  # per cent
ITEM_DROPOUT = 0.5
FACTORS = ContentFactors(half_life=None, window=None)


@dataclass(frozen=True)
class Network:
    """A SASRec of the cold rows, by the ways in which content enters it."""

    name: str
    item_dropout: float = 0.0
    fusion: str = "sum"


NETWORKS = (
    Network("SASRec with tower"),
    Network(f"SASRec with tower, item dropout {ITEM_DROPOUT:g}", ITEM_DROPOUT),
    Network(f"SASRec with gated tower, item dropout {ITEM_DROPOUT:g}", ITEM_DROPOUT, "gate"),
)


def warm(settings: Settings) -> Iterator[Row]:
    """Known items, means over seeds."""
    found = {
        encoder: [_warm(encoder, replace(settings, seeds=(seed,))) for seed in settings.seeds] for encoder in ENCODERS
    }
    means = {encoder: statistics.fmean(values) for encoder, values in found.items()}
    for encoder, name in ENCODERS.items():
        yield Row(
            f"ML-100K, pooled: SASRec {name} {NDCG}", means[encoder], "", None, settings.seeds, _by_seed(found[encoder])
        )
    lost = 100 * (1 - means["hashed"] / means["none"])
    title = f"ML-100K, pooled: SASRec, {NDCG} lost to the tower (negative: gained)"
    yield Row(title, lost, "%", at_most(MOST_LOST), settings.seeds)


def _warm(encoder: EncoderName, settings: Settings) -> float:
    config = recipe("gradient-models", settings, pooled=True)
    models = tuple(model for model in config.models if model.name == SASRec.name)
    content = ContentConfig(encoder=encoder)
    return measure(config.model_copy(update={"models": models, "content": content})).mean(NDCG)


def cold(settings: Settings) -> Iterator[Row]:
    """New items."""
    dataset = fetch("ml-100k" if settings.quick else "ml-1m")
    worlds = {seed: World.of(dataset, seed) for seed in settings.seeds}
    items = catalogue_features(dataset.catalogue)
    title = f"{dataset.name.upper()}, {len(next(iter(worlds.values())).cold)} cold items"
    for name, model in (("content kNN, hashed", KNN), ("ALS factors by content, hashed", FACTORS)):
        yield from _means(f"{title}: {name}", [_closed(model, items, world) for world in worlds.values()], settings)
    for network in NETWORKS:
        found = [_trained(network, items, world, seed, settings) for seed, world in worlds.items()]
        yield from _means(f"{title}: {network.name}", found, settings)


BENCHMARKS = (
    Benchmark("tower-warm", "what SASRec's content tower costs for known items", 2, warm),
    Benchmark("tower-cold", "what SASRec's content tower gives for new items", 17, cold),
)


def _means(title: str, found: list[Metrics], settings: Settings) -> Iterator[Row]:
    for index, metric in enumerate((f"Recall@{CUT_OFF}", f"NDCG@{CUT_OFF}")):
        values = [metrics[index] for metrics in found]
        yield Row(f"{title} {metric}", statistics.fmean(values), "", None, settings.seeds, _by_seed(values))


def _by_seed(values: list[float]) -> str | None:
    return f"{min(values):.4f} to {max(values):.4f} by seed" if len(values) > 1 else None


def _closed(model: ClosedForm, items: ItemFeatures, world: World) -> Metrics:
    return world.measure(_cold(model.scores(fit(model, items, pooled_sum([world.warm])), world.warm), world))


def _trained(network: Network, items: ItemFeatures, world: World, seed: int, settings: Settings) -> Metrics:
    """A SASRec that has never met the cold items, not even as negatives."""
    model = SASRec(fusion=network.fusion, dropout=0.3)
    is_warm = np.ones(items.num_items, np.bool_)
    is_warm[world.cold] = False
    plan = LocalTraining(
        epochs=1 if settings.quick else COLD_EPOCHS,
        learning_rate=2e-3,
        schedule="cosine",
        item_dropout=network.item_dropout,
    )
    built = model.build(items.num_items, items.widths.tolist(), seed)
    train(built, model, LocalRows(world.warm, items.content, is_warm), plan, Progress(seed))
    counts = np.bincount(world.warm.items, minlength=items.num_items)
    weights = arrays_of(built, tuple(built.state_dict())) | public_weights(items, counts)
    return world.measure(_cold(model.scores(weights, world.warm), world))


def _cold(scores: NDArray[np.floating], world: World) -> NDArray[np.floating]:
    """(num_users, num_cold)"""
    return np.asarray(scores[:, world.cold])
