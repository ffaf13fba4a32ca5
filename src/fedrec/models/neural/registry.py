"""Every neural recommender by the name under which configurations, messages and files know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from fedrec.errors import ConfigError
from fedrec.models.neural.autoencoder import Autoencoder
from fedrec.models.neural.cnn import CNN
from fedrec.models.neural.gru import GRU4Rec
from fedrec.models.neural.mf import MF
from fedrec.models.neural.neumf import NeuMF
from fedrec.models.neural.protocol import NeuralModel
from fedrec.models.neural.sasrec import SASRec

NEURAL: dict[str, type[NeuralModel]] = {kind.name: kind for kind in (MF, NeuMF, GRU4Rec, CNN, SASRec, Autoencoder)}
"""Name -> class."""


def create_neural(name: str, parameters: Mapping[str, Any]) -> NeuralModel:
    """The recommender `name` with hyper-parameters. Raises ConfigError for an unknown name, key or value."""
    if name not in NEURAL:
        raise ConfigError(f"There is no neural recommender '{name}'; there are {', '.join(NEURAL)}.")
    known = [field.name for field in fields(cast(Any, NEURAL[name]))]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ConfigError(f"{name} has no hyper-parameter '{unknown[0]}'; it has {', '.join(known)}.")
    return NEURAL[name](**parameters)
