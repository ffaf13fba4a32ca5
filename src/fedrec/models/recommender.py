"""A fitted recommender in a notebook or a service: external ids in, external ids out, the same for every
model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ModelError, NotFitted, UnknownUser
from fedrec.models import saved, validate
from fedrec.models.fitting import fit, localised, pooled_sum
from fedrec.models.ids import Ids
from fedrec.models.protocols import (
    AnyArray,
    ClosedForm,
    EncoderId,
    Extendable,
    ItemFeatures,
    Scoring,
    Weights,
    parameters_of,
)

if TYPE_CHECKING:
    from fedrec.content import ItemEncoder
    from fedrec.data.catalogue import Catalogue
    from fedrec.data.dataset import Dataset

USERS_AT_A_TIME = 256

Id = str | int
"""An external id. The integer 7 and the text "7" are the same id."""


class Recommendation(NamedTuple):
    """An item and its score, comparable only within one list."""

    item_id: str
    score: float


class Share(NamedTuple):
    """What one item of a history adds to a score."""

    item_id: str
    share: float


class Explanation(NamedTuple):
    """Why an item has its score: `score` is `base` plus the sum of `shares`, the largest first."""

    item_id: str
    score: float
    base: float
    shares: tuple[Share, ...]


class Trainable(Protocol):
    """Gives a closed-form recommender its `fit`."""

    def fit(self: ClosedForm, dataset: Dataset, encoder: ItemEncoder | None = None) -> Recommender:
        """Fit on the rows of one dataset. encoder: of the items' content, where the recommender uses it."""
        from fedrec.content.features import catalogue_features

        if self.uses_content:
            items = catalogue_features(dataset.catalogue, encoder)
        else:
            items = ItemFeatures(dataset.catalogue.num_items)
        weights = fit(self, items, pooled_sum([dataset.histories()]))
        return Recommender(self, weights, dataset.catalogue.item_ids).attach(dataset)


@dataclass(frozen=True, eq=False)
class Recommender:
    """An algorithm, its weights and the ids of the items, position by position.

    histories, user_ids: of the users it can recommend to by id, in memory only. Made by
    `EASE().fit(dataset)`, by `load`, or from federated weights, then `attach`.
    """

    algorithm: Scoring
    weights: Weights
    item_ids: Sequence[str]
    user_ids: Sequence[str] = ()
    histories: Histories | None = None
    _items: Ids = field(init=False, repr=False)
    _users: Ids = field(init=False, repr=False)

    def __post_init__(self) -> None:
        popularity = self.weights.get("popularity")
        if popularity is None or popularity.shape != (len(self.item_ids),):
            raise NotFitted(
                f"Expected fitted weights for {len(self.item_ids)} items; "
                f"fit {self.algorithm.name} on this catalogue first."
            )
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        object.__setattr__(self, "_items", Ids("item", tuple(self.item_ids)))
        object.__setattr__(self, "_users", Ids("user", tuple(self.user_ids)))

    def attach(self, dataset: Dataset) -> Recommender:
        """The same recommender for the users of `dataset`, whose histories it keeps in memory."""
        if tuple(dataset.catalogue.item_ids) != tuple(self.item_ids):
            raise ModelError(
                "The items of the dataset are not those of the recommender, or in another order; use one catalogue."
            )
        histories = dataset.histories()
        weights = localised(self.algorithm, self.weights, histories)
        user_ids = tuple(dataset.interactions.user_ids)
        return replace(self, weights=weights, user_ids=user_ids, histories=histories)

    @property
    def encoder(self) -> EncoderId | None:
        """Which encoder described the items; None if their content plays no part, or nobody said."""
        return EncoderId.of(self.weights)

    def over(self, catalogue: Catalogue, encoder: ItemEncoder | None = None) -> Recommender:
        """The same recommender for the items of another catalogue: new ones can be recommended at once, by content.

        encoder: by default the one that the recommender was fitted with. It has no users until `attach`. Raises
        ModelError if it knows items by their ids only, or was fitted with another encoder.
        """
        from fedrec.content.features import catalogue_features
        from fedrec.content.registry import encoder_named

        if not isinstance(self.algorithm, Extendable):
            raise ModelError(f"{self.algorithm.name} knows items by their ids; use content_map or content_knn, or fit.")
        chosen = encoder or (encoder_named(self.encoder.name) if self.encoder else None)
        counts = dict(zip(self.item_ids, self.weights["popularity"].tolist(), strict=True))
        popularity = np.array([counts.get(item, 0.0) for item in catalogue.item_ids])
        weights = self.algorithm.over(self.weights, catalogue_features(catalogue, chosen), popularity)
        return Recommender(self.algorithm, weights, catalogue.item_ids)

    def recommend(
        self, user: Id, n: int = 10, exclude_seen: bool = True, candidates: Iterable[Id] | None = None
    ) -> list[Recommendation]:
        """The best `n` items for a user, best first; ties by popularity, then by position.

        candidates: rank only these. Raises UnknownUser, UnknownItem.
        """
        history = self._history(user)
        return self._lists(history, n, exclude_seen, candidates)[0]

    def recommend_many(
        self,
        users: Iterable[Id] | None = None,
        n: int = 10,
        exclude_seen: bool = True,
        candidates: Iterable[Id] | None = None,
    ) -> dict[str, list[Recommendation]]:
        """As `recommend`, for several users at once, by user id; None is everyone."""
        chosen = [str(user) for user in (self.user_ids if users is None else users)]
        allowed = None if candidates is None else list(candidates)
        positions = self._positions_of_users(chosen)
        lists: list[list[Recommendation]] = []
        for start in range(0, len(chosen), USERS_AT_A_TIME):
            part = self._attached().select(positions[start : start + USERS_AT_A_TIME])
            lists += self._lists(part, n, exclude_seen, allowed)
        return dict(zip(chosen, lists, strict=True))

    def recommend_to_items(
        self,
        item_ids: Iterable[Id],
        n: int = 10,
        exclude_seen: bool = True,
        candidates: Iterable[Id] | None = None,
    ) -> list[Recommendation]:
        """As `recommend`, for someone whose history is `item_ids`, oldest first: a visitor, a basket."""
        return self._lists(self._history_of(item_ids), n, exclude_seen, candidates)[0]

    def similar(self, item_id: Id, n: int = 10) -> list[Recommendation]:
        """The items recommended to someone who has had only `item_id`."""
        return self.recommend_to_items([item_id], n)

    def explain(self, user_or_items: Id | Sequence[Id], item_id: Id) -> Explanation:
        """Exact shares of the history in the score of an item. A text or integer is a user, a list is a
        history."""
        if isinstance(user_or_items, str | int):
            history = self._history(user_or_items)
        else:
            history = self._history_of(user_or_items)
        item = int(self._items.positions([item_id])[0])
        why = self.algorithm.attribution(self.weights, history, item)
        order = np.argsort(-why.shares, kind="stable")
        shares = tuple(Share(self.item_ids[why.items[i]], float(why.shares[i])) for i in order)
        return Explanation(self.item_ids[item], why.base + float(why.shares.sum()), why.base, shares)

    def save(self, directory: str | Path, include_private: bool = False) -> None:
        """Write the shared weights and item ids to `directory`, which then holds the old model or the new
        one, never a mix.

        Histories, user ids and private weights are written only if `include_private`, and readable only by
        their owner.
        """
        private = self._private_arrays() if include_private else None
        shared = {name: self.weights[name] for name in self.algorithm.shared if name in self.weights}
        users = tuple(self.user_ids) if include_private else ()
        model = saved.Saved(
            self.algorithm.name, parameters_of(self.algorithm), shared, tuple(self.item_ids), private, users
        )
        saved.write(Path(directory), model)

    def _private_arrays(self) -> Mapping[str, AnyArray]:
        arrays = {name: self.weights[name] for name in self.algorithm.private if name in self.weights}
        if self.histories is not None:
            arrays |= {saved.STARTS: self.histories.indptr, saved.EVENTS: self.histories.items}
        return arrays

    def _attached(self) -> Histories:
        if self.histories is None:
            raise UnknownUser(
                "The recommender has no users; attach(dataset) gives it some, recommend_to_items(...) needs none."
            )
        return self.histories

    def _positions_of_users(self, users: Sequence[Id]) -> IntArray:
        self._attached()
        return self._users.positions(users)

    def _history(self, user: Id) -> Histories:
        return self._attached().select(self._positions_of_users([user]))

    def _history_of(self, item_ids: Iterable[Id]) -> Histories:
        items = self._items.positions(item_ids)
        return Histories(np.array([0, len(items)]), items, len(self.item_ids))

    def _lists(
        self, histories: Histories, n: int, exclude_seen: bool, candidates: Iterable[Id] | None
    ) -> list[list[Recommendation]]:
        validate.whole("n", n)
        scores = self.algorithm.scores(self.weights, histories)
        allowed = np.ones(len(self.item_ids), dtype=np.bool_)
        if candidates is not None:
            allowed[:] = False
            allowed[self._items.positions(candidates)] = True
        return [
            self._best(row, n, _without(allowed, histories.row(user)) if exclude_seen else allowed)
            for user, row in enumerate(scores)
        ]

    def _best(self, scores: AnyArray, n: int, allowed: AnyArray) -> list[Recommendation]:
        open_items = np.flatnonzero(allowed & (scores > -np.inf))  # what a model does not know is not recommended
        values = scores[open_items]
        if len(values) > n:  # sort only what can be among the first n, with all its ties
            least = np.partition(values, -n)[-n]
            open_items, values = open_items[values >= least], values[values >= least]
        order = np.lexsort((open_items, -self.weights["popularity"][open_items], -values))[:n]
        return [Recommendation(self.item_ids[open_items[i]], float(values[i])) for i in order]


def _without(allowed: AnyArray, seen: IntArray) -> AnyArray:
    mask = allowed.copy()
    mask[seen] = False
    return mask
