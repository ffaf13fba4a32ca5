"""Closed-form recommenders fitted and ranked in one place: their sums are exact, so a federation has the same ones.

That a federation's weights equal these to the bit is measured by the benchmark `parity`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedrec.data import Fold, Histories
from fedrec.metrics import RankingProtocol, evaluate
from fedrec.models import ALS, EASE, PCA, ClosedForm, ContentMap, ItemKNN, Markov, Popularity, Weights
from fedrec.models.protocols import Scoring

NDCG = "NDCG@10"
PROTOCOL = RankingProtocol(ks=(10,), num_bootstrap=0)
Scores = Callable[[int, int], NDArray[np.floating]]


def recommenders(quick: bool = False, als_seed: int = 0) -> dict[str, ClosedForm]:
    """By name, with their defaults but for EASE, whose l2 is what the benchmark `quality` chooses on ML-1M.

    quick: without ALS, which takes longer than all others together.
    """
    models: list[ClosedForm] = [Popularity(), Markov(), ItemKNN(), EASE(l2=500.0), PCA(), ContentMap()]
    return {model.name: model for model in (models if quick else [*models, ALS(seed=als_seed)])}


def ndcg(model: Scoring, weights: Weights, fold: Fold, known: Histories | None = None) -> float:
    """Mean NDCG@10 over a fold, ranked over the catalogue without the items of the fold's histories.

    known: what the model is told of the same users; None for all of it.
    """
    told = fold.history if known is None else known

    def scores(start: int, stop: int) -> NDArray[np.floating]:
        return model.scores(weights, told.select(np.arange(start, stop)))

    return mean_ndcg(scores, fold)


def mean_ndcg(scores: Scores, fold: Fold) -> float:
    """As `ndcg`, of any scores: `scores(start, stop)` of these rows of the fold (stop - start, num_items)."""
    counts = np.zeros(fold.history.num_items)  # for novelty and slices, which play no part here
    found = evaluate(scores, fold.history, fold.targets, item_counts=counts, protocol=PROTOCOL)
    return float(found.of(NDCG).mean())


def chosen(models: Mapping[str, ClosedForm], weights: Mapping[str, Weights], validation: Sequence[Fold]) -> str:
    """The name of the model that is best on validation, over all users of the folds."""
    users = np.array([fold.num_users for fold in validation])
    reached = {
        name: float(np.array([ndcg(model, weights[name], fold) for fold in validation]) @ users)
        for name, model in models.items()
    }
    return max(reached, key=reached.__getitem__)
