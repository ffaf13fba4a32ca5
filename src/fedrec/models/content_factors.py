"""Factors of a closed form for the items that somebody has had, and for all others what their content tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import content_space, validate
from fedrec.models.alignment import completed
from fedrec.models.als import ALS
from fedrec.models.pca import PCA
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Statistic, Weights
from fedrec.models.recommender import Trainable

FACTORS = {"als": "item_factors", "pca": "components"}
"""Closed form -> the weight that has a row for each item."""


@dataclass(frozen=True)
class ContentFactors(Trainable):
    """ALS or PCA, in which items that nobody has had have the factors that `alignment` finds for their content.

    It asks for the sums of its closed form and for no others, so a run that has both pays for them once; items that
    somebody has had keep the factors that they have there.

    base: "als" or "pca". rank: of its factors. align_l2: of the regression of factors onto content. half_life, window:
    recency at scoring time. max_items_per_user: only so many of a user's newest items count; None for all.
    """

    base: str = "als"
    rank: int = 64
    align_l2: float = 3.0
    half_life: float | None = 3.0
    window: int | None = 50
    max_items_per_user: int | None = None

    name: ClassVar[str] = "content_factors"
    shared: ClassVar[tuple[str, ...]] = (*dict.fromkeys((*ALS.shared, *PCA.shared)), "content", "encoder")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate.one_of("base", self.base, tuple(FACTORS))
        validate.positive("align_l2", self.align_l2)
        _ = self.closed_form

    @property
    def closed_form(self) -> ALS | PCA:
        """The recommender whose factors these are."""
        kind = ALS if self.base == "als" else PCA
        return kind(
            rank=self.rank,
            half_life=self.half_life,
            window=self.window,
            max_items_per_user=self.max_items_per_user,
        )

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`. Raises ModelError without content vectors."""
        content = content_space.content_of(items, "ContentFactors")
        return {**self.closed_form.begin(items), **content_space.named(items), "content": content}

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """See `ClosedForm.next_statistic`."""
        return self.closed_form.next_statistic(weights)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        content = weights["content"]
        known = {name: value for name, value in weights.items() if name in ("content", "encoder")}
        fitted = {**self.closed_form.absorb(weights, total), **known}
        if self.closed_form.next_statistic(fitted) is not None:
            return fitted
        name = FACTORS[self.base]
        whole = completed(content, fitted[name], fitted["popularity"], self.align_l2)
        return {**{key: value for key, value in fitted.items() if key != "content"}, name: whole}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array | Float64Array:
        """See `ClosedForm.scores`."""
        return self.closed_form.scores(weights, histories)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        return self.closed_form.attribution(weights, history, item)
