"""What is searched: values for keys of a configuration, the defaults for each recommender, and how a choice is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedrec.config import Config, ModelConfig, parse
from fedrec.config_training import Value
from fedrec.errors import ConfigError
from fedrec.models import ALGORITHMS
from fedrec.tune_config import Choice, Range, Space

HALF_LIVES: Choice = (0.5, 1.0, 2.0, 4.0, 8.0, "none")
WIDTHS: Choice = (32, 64, 128)
DROPOUT = Range(low=0.0, high=0.5)

TRAINING: Space = {"training.local.learning_rate": Range(low=3e-4, high=1e-2, log=True)}
"""Searched with every recommender that is trained."""
CLOSED: dict[str, Space] = {
    "markov": {"shrinkage": Range(low=0.5, high=50.0, log=True), "half_life": HALF_LIVES, "window": (1, 3, 5, 10)},
    "item_knn": {"neighbours": Range(low=10, high=200, log=True), "shrinkage": Range(low=1.0, high=100.0, log=True)},
    "ease": {"l2": Range(low=10.0, high=3000.0, log=True), "half_life": HALF_LIVES},
    "pca": {"rank": (16, 32, 64, 128), "half_life": HALF_LIVES},
    "als": {
        "rank": (16, 32, 64),
        "l2": Range(low=3.0, high=300.0, log=True),
        "alpha": Range(low=1.0, high=40.0, log=True),
    },
    "content_knn": {"half_life": HALF_LIVES, "window": (10, 50, "none")},
}
TRAINED: dict[str, Space] = {
    "mf": {"dim": WIDTHS, "l2": Range(low=1.0, high=100.0, log=True), "half_life": HALF_LIVES},
    "neumf": {"dim": WIDTHS, "hidden": (16, 32, 64), "dropout": DROPOUT},
    "gru": {"dim": WIDTHS, "hidden": (64, 128, 256), "dropout": DROPOUT},
    "cnn": {"dim": WIDTHS, "blocks": Range(low=1, high=4), "dropout": DROPOUT},
    "sasrec": {"dim": WIDTHS, "blocks": Range(low=1, high=3), "heads": (1, 2, 4), "dropout": DROPOUT},
    "autoencoder": {"dim": WIDTHS, "hidden": (128, 256, 512), "dropout": Range(low=0.2, high=0.8)},
}


def space_of(config: Config, model: str) -> Space:
    """What is searched for the recommender `model`: what `[tune.space]` says of it and of the training that it needs,
    or its default; and the hyper-parameters that the configuration itself gives as lists.

    Raises:
        ConfigError: nothing is left to search.
    """
    scopes = (f"models.{model}.",) if model in ALGORITHMS else (f"models.{model}.", "training.")
    mine = {key: values for key, values in config.tune.space.items() if key.startswith(scopes)}
    lists = {f"models.{model}.{key}": tuple(values) for key, values in _listed(config, model).items()}
    space = {**(mine or default_space(model)), **lists}
    if not space:
        raise ConfigError(
            f"There is nothing to tune of {model}; say in [tune.space] what may change, and between what."
        )
    return space


def default_space(model: str) -> Space:
    """What is searched where the configuration does not say."""
    own = CLOSED.get(model) or TRAINED.get(model, {})
    return {f"models.{model}.{key}": values for key, values in own.items()} | (TRAINING if model in TRAINED else {})


def one_of_each(space: Space) -> dict[str, Value]:
    """A value for each key, by which keys can be checked."""
    return {key: values.low if isinstance(values, Range) else values[0] for key, values in space.items()}


def with_values(config: Config, values: Mapping[str, Value]) -> Config:
    """The configuration with other values for some keys. Raises ConfigError if there is no such key or value."""
    raw = config.model_dump(mode="json", exclude_none=True)
    models = {model["name"]: model for model in raw["models"]}
    for key, value in values.items():
        *path, last = key.split(".")
        section = models[path[1]] if path[0] == "models" else _below(raw, path)
        section[last] = value
    return parse(raw, "tune.space")


def first_values(model: ModelConfig) -> ModelConfig:
    """The recommender with the first value of every list: what others are measured beside, or begin from."""
    values = {key: value[0] if isinstance(value, list) else value for key, value in model.parameters.items()}
    return ModelConfig.model_validate({"name": model.name, **values})


def _listed(config: Config, model: str) -> dict[str, list[Value]]:
    found = next((one.parameters for one in config.models if one.name == model), {})
    return {key: value for key, value in found.items() if isinstance(value, list)}


def _below(raw: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path:
        raw = raw[part]
    return raw
