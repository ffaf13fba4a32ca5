"""What the recommenders share when they score histories and explain scores."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fedrec.data.histories import CsrMatrix, Histories
from fedrec.errors import ModelError, NotFitted
from fedrec.models.protocols import AnyArray, Attribution, Float64Array, Weights


def need(weights: Weights, names: Collection[str], model: str) -> None:
    """Refuse to score without these weights."""
    missing = sorted(set(names) - set(weights))
    if missing:
        raise NotFitted(f"{model} has no weights {', '.join(missing)} yet; fit it first.")


def check_catalogue(weights: Weights, histories: Histories) -> None:
    """Refuse histories over another catalogue."""
    expected = len(weights["popularity"])
    if histories.num_items != expected:
        raise ModelError(
            f"The recommender knows {expected} items, the histories are over {histories.num_items}; use one catalogue."
        )


def popular_where_empty(scores: AnyArray, histories: Histories, weights: Weights) -> AnyArray:
    """`scores` (num_users, num_items), changed in place: users without any event get the items'
    popularity."""
    scores[histories.lengths == 0] = weights["popularity"]
    return scores


def linear_attribution(profile: CsrMatrix, column: Float64Array, weights: Weights, item: int) -> Attribution:
    """Shares of score `profile @ column`. profile: (1, num_items). column: the weight (num_items,) of each
    item."""
    return shares_of(profile, profile.data * column[profile.indices], weights, item)


def shares_of(profile: CsrMatrix, shares: AnyArray, weights: Weights, item: int) -> Attribution:
    """Shares in the order of the entries of `profile` (1, num_items); the popularity of `item` if it is
    empty."""
    base = 0.0 if profile.nnz else float(weights["popularity"][item])
    return Attribution(base, profile.indices.astype(np.int64), shares.astype(np.float64))
