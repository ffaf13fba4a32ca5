"""The share of benchmark `new-users` for gradient models, on ML-100K in one place by the recipe of `neural-models`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import exchange_over, scratch
from benchmarks.figures import Row
from benchmarks.neural import recipe
from benchmarks.new_users import World, share_row
from benchmarks.one_place import ndcg
from fedrec.config import Config
from fedrec.data import Dataset
from fedrec.models import Popularity, Weights
from fedrec.models.protocols import Scoring
from fedrec.server.choosing import candidates_of
from fedrec.server.content import items_of
from fedrec.server.fitting import fit_federated
from fedrec.server.neural import train_weights
from fedrec.simulations.tenancy import load_dataset

MODELS = ("mf", "gru")  # a fold-in solved from the history, and an encoder that reads it


def rows(settings: Settings) -> Iterator[Row]:
    """One row for each model."""
    for name in MODELS:
        pairs = [_pair(name, replace(settings, seeds=(seed,))) for seed in settings.seeds]
        yield share_row(f"ML-100K: {name}", pairs, settings, None, None)


BENCHMARK = Benchmark(
    "new-users-neural", "ML-100K: the share of `new-users` for a fold-in by MF and for a GRU", 5, rows
)


def _pair(name: str, settings: Settings) -> tuple[float, float]:
    """NDCG@10 of the users that were left out, by the model trained without them and with them."""
    config = recipe("gradient-models", settings, pooled=True)
    config = config.model_copy(update={"models": tuple(model for model in config.models if model.name == name)})
    dataset = load_dataset(config.data, config.seed)
    world = World.of(dataset, config.seed)
    without = ndcg(*_trained(config, dataset.select_users(world.members)), world.test)
    return without, ndcg(*_trained(config, dataset), world.test)


def _trained(config: Config, dataset: Dataset) -> tuple[Scoring, Weights]:
    """The only recommender of `config`, trained for good on all that these users had before their test."""
    with scratch() as folder:
        exchange = exchange_over(config, dataset, folder)
        items, candidate = items_of(config, dataset.catalogue), candidates_of(config.models[-1])[0]
        counts = fit_federated(exchange, {"floor": Popularity()}, items, "final")["floor"]["popularity"]
        weights = train_weights(exchange, candidate.algorithm, items, counts, "final", folder / "training")
        return candidate.algorithm, weights
