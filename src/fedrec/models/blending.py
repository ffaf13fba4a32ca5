"""One list from several recommenders: their scores in common units, added with weights, and what steps in where one of
them has nothing to go by.

Scores of different recommenders cannot be added as they are. So each user's scores of a recommender are standardised
over the items that the user could be shown: mean 0, standard deviation 1. A recommender that says the same of all items
says nothing, and has no weight. The chain is collaborative, content, popularity:

- a user without a history, or one whom no other part can say anything about, is served by popularity;
- the weight of collaborative parts that do not know a single item of the user's history goes to content;
- an item that nobody has had yet has the score of its content in the place of collaborative ones, where content counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.data.histories import Histories, IntArray
from fedrec.models.protocols import AnyArray, Float32Array, Float64Array, Scoring, Weights

BoolArray = NDArray[np.bool_]
Mix = tuple[float, ...]
"""A weight for each of `PARTS`."""

PARTS = ("collaborative", "second", "own", "content", "popularity")
"""What a list is made of: two recommenders by ids that the federation learnt, one that the tenant made alone, one by
content, and popularity."""
_CONTENT, _POPULARITY = PARTS.index("content"), PARTS.index("popularity")
_ROUNDING = 1e-5  # of the largest score: less is no difference
_LARGEST = 10.0  # standard deviations: one item must not outweigh all parts


def _public_grid() -> tuple[Mix, ...]:
    pure = (tuple(float(part == one) for one in PARTS) for part in PARTS)
    led = itertools.product((1.0,), (0.0, 0.5, 1.0), (0.0, 0.5), (0.0, 0.1, 0.4), (0.0, 0.1))
    alone = itertools.product((0.0,), (0.0,), (1.0,), (0.0, 0.1, 0.4), (0.0, 0.1))
    return tuple(dict.fromkeys([*pure, *led, *alone, (0.0, 0.0, 0.0, 1.0, 0.3)]))


GRID = _public_grid()
"""The mixes that tenants choose from, the same for all: each part alone, and mixes led by the federation's recommender,
by the tenant's own or by content. Without any validation the first is taken: the federation's recommender, with what
steps in for it."""


@dataclass(frozen=True, eq=False)
class Voice:
    """One part: a recommender with its weights. known: (num_items,) which items were had when it was fitted."""

    model: Scoring
    weights: Weights

    @property
    def known(self) -> BoolArray:
        """See above."""
        known: BoolArray = np.asarray(self.weights["popularity"]) > 0
        return known


@dataclass(frozen=True, eq=False)
class Blend:
    """Several users' standardised scores for some items: (num_parts, num_users, num_columns), whether a part has
    something to say (num_parts, num_users), and which of the items are cold (num_columns,)."""

    standard: Float32Array
    active: BoolArray
    cold: BoolArray

    def weights(self, mix: Mix) -> Float64Array:
        """(num_parts, num_users) what each part weighs for each user; 1 together."""
        asked = np.array(mix)[:, None]
        weights = np.where(self.active, asked, 0.0)
        speechless = ~weights[:_CONTENT].any(axis=0) & self.active[_CONTENT]
        weights[_CONTENT] += np.where(speechless, asked[:_CONTENT].sum(), 0.0)
        weights[_POPULARITY] += np.where(weights.any(axis=0), 0.0, 1.0)
        shares: Float64Array = weights / weights.sum(axis=0)
        return shares

    def scores(self, mix: Mix) -> Float32Array:
        """(num_users, num_columns) the list of each user under a mix."""
        weights = self.weights(mix).astype(np.float32)
        total = np.zeros(self.standard.shape[1:], np.float32)
        for part, weight in enumerate(weights):
            if weight.any():
                total += weight[:, None] * self.standard[part]
        if self.cold.any() and weights[_CONTENT].any():
            total[:, self.cold] += self._content_for_cold(weights)
        return total

    def leading(self, mix: Mix) -> NDArray[np.int64]:
        """(num_users,) the part that weighs most for each user, the earlier of equals."""
        leading: NDArray[np.int64] = self.weights(mix).argmax(axis=0)
        return leading

    def _content_for_cold(self, weights: Float32Array) -> Float32Array:
        """(num_users, num_cold) what the scores of cold items change by."""
        by_ids, cold = weights[:_CONTENT], self.cold
        described = np.where(weights[_CONTENT] > 0, by_ids.sum(axis=0), 0.0)[:, None] * self.standard[_CONTENT][:, cold]
        guessed = np.einsum("pu,pui->ui", by_ids * (weights[_CONTENT] > 0), self.standard[:_CONTENT][:, :, cold])
        change: Float32Array = described - guessed
        return change


def blend(voices: Mapping[str, Voice], histories: Histories, columns: IntArray, cold: BoolArray, seen: bool) -> Blend:
    """The parts' scores for the users of `histories` in common units, of the items at `columns`.

    voices: some of `PARTS`, `popularity` among them. cold: (num_items,) items that nobody has had. seen: whether what a
    user has had can be shown again.
    """
    allowed = np.ones((histories.num_users, histories.num_items), np.bool_)
    allowed[histories.rows, histories.items] = seen
    allowed = allowed[:, columns]
    standard = np.zeros((len(PARTS), *allowed.shape), np.float32)
    active = np.zeros((len(PARTS), histories.num_users), np.bool_)
    for index, part in enumerate(PARTS):
        if part in voices:
            voice = voices[part]
            standard[index] = standardised(voice.model.scores(voice.weights, histories)[:, columns], allowed)
            active[index] = standard[index].any(axis=1) & _heard(part, voice, histories)
    return Blend(standard, active, cold[columns])


def standardised(scores: AnyArray, allowed: BoolArray) -> Float32Array:
    """(num_users, num_items) scores in standard deviations above the mean of what is allowed, within 10; 0 where that
    is constant, and for what is not allowed."""
    usable = allowed & np.isfinite(scores)
    count = np.maximum(np.count_nonzero(usable, axis=1), 1)[:, None]
    values = np.where(usable, scores, 0.0)
    centred = np.where(usable, values - values.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt(np.einsum("ui,ui->u", centred, centred)[:, None] / count)
    varies = spread > _ROUNDING * np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    units = centred * np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
    units[allowed & (scores == -np.inf)] = -_LARGEST
    clipped: Float32Array = np.clip(units, -_LARGEST, _LARGEST).astype(np.float32)
    return clipped


def _heard(part: str, voice: Voice, histories: Histories) -> BoolArray:
    """(num_users,) whether the history says something to the part: popularity needs none, content takes any, the others
    go by items that they know."""
    if part == "popularity":
        return np.ones(histories.num_users, np.bool_)
    told = np.ones(histories.num_events, np.bool_) if part == "content" else voice.known[histories.items]
    heard: BoolArray = np.bincount(histories.rows[told], minlength=histories.num_users) > 0
    return heard
