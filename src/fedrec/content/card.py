"""What the content of a catalogue is worth: which fields are known, how much they vary, and which tell what users take
next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedrec.contribution import Total
from fedrec.models.fitting import SumOverClients
from fedrec.models.protocols import EncoderId, Float32Array, ItemFeatures
from fedrec.models.statistics import FieldRelevance

CHANCE = 0.5
ERRORS_ABOVE_CHANCE = 3.0


@dataclass(frozen=True)
class FieldCard:
    """One field.

    known: share of the items that have it. variety: 1 - |mean|^2 of the field's unit vectors over those items, 0 if all
    are alike. users: how many could be asked, or with noise about so many. relevance: how often a user's newest item is
    more like its older ones, in this field alone, than another item of the catalogue is; 0.5 is chance. spread: variety
    within a user's older items, on average.
    """

    name: str
    known: float
    variety: float
    users: float
    relevance: float
    spread: float

    @property
    def helps(self) -> bool:
        """Whether the relevance is above chance by more than 3 standard errors, that of one user being at most 1/2."""
        return (self.relevance - CHANCE) * math.sqrt(max(self.users, 0.0)) > ERRORS_ABOVE_CHANCE * CHANCE


@dataclass(frozen=True)
class ContentCard:
    """What a model card says of content. Prints as a table."""

    encoder: EncoderId | None
    items: int
    fields: tuple[FieldCard, ...]

    @property
    def useful(self) -> tuple[str, ...]:
        """The fields that help, for `HashedEncoder.keeping`."""
        return tuple(field.name for field in self.fields if field.helps)

    def __str__(self) -> str:
        lines = [
            f"content of {self.items:,} items, encoder {self.encoder or 'unknown'}",
            f"{'field':<12}{'known':>8}{'variety':>9}{'users':>10}{'relevance':>11}{'spread':>8}  helps",
        ]
        lines += [
            f"{field.name:<12}{field.known:>8.0%}{field.variety:>9.2f}{field.users:>10,.0f}{field.relevance:>11.3f}"
            f"{field.spread:>8.2f}  {'yes' if field.helps else 'no'}"
            for field in self.fields
        ]
        return "\n".join(lines)


def content_card(items: ItemFeatures, sum_over_clients: SumOverClients, max_items_per_user: int = 50) -> ContentCard:
    """The card of `items`, from one sum over users; only the newest items of a user count.

    sum_over_clients: `pooled_sum` of histories in one place, or a secure sum over tenants.
    """
    if items.content is None:
        return ContentCard(items.encoder, items.num_items, ())
    total = sum_over_clients(FieldRelevance(items.content, items.widths, max_items_per_user))
    return card_of(items, items.content, total)


def card_of(items: ItemFeatures, content: Float32Array, total: Total) -> ContentCard:
    """The card that follows from a released sum of `FieldRelevance`."""
    asked = total.values["asked"]
    share = np.maximum(asked, 1.0)
    relevance, spread = total.values["ahead"] / share, total.values["spread"] / share
    cards = []
    for index, (name, (known, variety)) in enumerate(zip(items.slices, _variety(items, content), strict=True)):
        heard = asked[index] >= 1.0
        cards.append(
            FieldCard(
                name=name,
                known=known,
                variety=variety,
                users=float(asked[index]),
                relevance=float(relevance[index]) if heard else CHANCE,
                spread=float(spread[index]) if heard else 0.0,
            )
        )
    return ContentCard(items.encoder, items.num_items, tuple(cards))


def _variety(items: ItemFeatures, content: Float32Array) -> list[tuple[float, float]]:
    """For each field the share of items that have it, and how much it varies among them."""
    found = []
    for where, known in zip(items.slices.values(), items.present.T, strict=True):
        part = content[known, where].astype(np.float64)
        mean = (part / np.linalg.norm(part, axis=1, keepdims=True)).sum(axis=0) / max(len(part), 1)
        found.append((float(known.mean()), float(1.0 - mean @ mean) if known.any() else 0.0))
    return found
