"""Small worlds for the neural recommenders: histories with an order that can be learnt, and tiny models."""

from __future__ import annotations

from fedrec.data.histories import Histories
from fedrec.models.neural import CNN, MF, Autoencoder, GRU4Rec, NeuMF, NeuralModel, SASRec
from fedrec.rng import derive

NUM_ITEMS = 12
MODELS: list[NeuralModel] = [
    MF(dim=8, max_length=10),
    MF(dim=8, max_length=10, half_life=None),
    NeuMF(dim=8, hidden=8, max_length=10),
    NeuMF(dim=8, hidden=8, layers=1, half_life=None, max_length=10),
    GRU4Rec(dim=8, hidden=16, max_length=10),
    CNN(dim=8, blocks=2, max_length=10),
    Autoencoder(dim=8, hidden=8, max_length=10),
    SASRec(dim=8, blocks=1, heads=2, max_length=10),
]


def label(model: NeuralModel) -> str:
    changed = [f"{key}={value}" for key, value in vars(model).items() if value != getattr(type(model), key)]
    return f"{model.name}({', '.join(changed)})"


def circles(num_users: int, length: int, seed: int = 0) -> Histories:
    """Everyone goes round the items, each from a place of their own: what comes next is certain."""
    starts = derive(seed, "starts").integers(NUM_ITEMS, size=num_users)
    rows = [[int(start + step) % NUM_ITEMS for step in range(length)] for start in starts]
    return Histories.from_lists(rows, NUM_ITEMS)


def tastes(num_users: int, length: int, seed: int = 0) -> Histories:
    """Every second user has items of the first half, the others of the second half, in any order."""
    rng, half = derive(seed, "tastes"), NUM_ITEMS // 2
    rows = [(rng.permutation(half)[:length] + half * (user % 2)).tolist() for user in range(num_users)]
    return Histories.from_lists(rows, NUM_ITEMS)
