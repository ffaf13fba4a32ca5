"""Recommenders that are trained by gradients: one network, several encoders of a history."""

from __future__ import annotations

from fedrec.models.neural.autoencoder import Autoencoder
from fedrec.models.neural.cnn import CNN
from fedrec.models.neural.gru import GRU4Rec
from fedrec.models.neural.mf import MF
from fedrec.models.neural.network import Network
from fedrec.models.neural.neumf import NeuMF
from fedrec.models.neural.protocol import NeuralModel
from fedrec.models.neural.registry import NEURAL, create_neural
from fedrec.models.neural.sasrec import SASRec

__all__ = [
    "CNN",
    "MF",
    "NEURAL",
    "Autoencoder",
    "GRU4Rec",
    "Network",
    "NeuMF",
    "NeuralModel",
    "SASRec",
    "create_neural",
]
