"""Small worlds of shown items: a hand-made one, and one whose clicks follow a rule that can be learnt."""

from __future__ import annotations

import pyarrow as pa

from fedrec.data import Dataset
from fedrec.models.ctr import WideDeep
from fedrec.rng import derive

DAY, HOUR = 86_400, 3_600
ITEMS = ["a", "b", "c", "d", "e", "f"]
CATEGORIES = ["x", "x|y", "y", "y|z|x|w|v", "", "z"]
TINY = WideDeep(click_at=4.0, dim=4, hidden=8, buckets=512, recent=3, dropout=0.0, held_out=1)

Shown = tuple[str, int, float]
"""Item, time, weight."""


def shop(rows: dict[str, list[Shown]], name: str = "shop") -> Dataset:
    """Events in the given order over the catalogue a-f."""
    events = [(user, *shown) for user, row in rows.items() for shown in row]
    columns = dict(
        zip(("user_id", "item_id", "timestamp", "weight"), map(list, zip(*events, strict=True)), strict=True)
    )
    catalogue = pa.table({"item_id": ITEMS, "categories": CATEGORIES})
    return Dataset.from_frame(pa.table(columns), catalogue, duplicates="drop").named(name)


def fans(num_users: int, seed: int = 0, name: str = "fans") -> Dataset:
    """Every second user clicks on the items of category `even`, the others on those of `odd`; nobody on anything else.

    Each user is shown all of twelve items, one an hour, in an order of the user's own.
    """
    rng = derive(seed, "fans", name)
    rows = [(user, int(item)) for user in range(num_users) for item in rng.permutation(12)]
    events = pa.table(
        {
            "user_id": [f"{name}-{user}" for user, _ in rows],
            "item_id": [f"item-{item}" for _, item in rows],
            "timestamp": [HOUR * (place % 12) for place in range(len(rows))],
            "weight": [5.0 if user % 2 == item % 2 else 1.0 for user, item in rows],
        }
    )
    kinds = ["odd" if item % 2 else "even" for item in range(12)]
    catalogue = pa.table({"item_id": [f"item-{item}" for item in range(12)], "categories": kinds})
    return Dataset.from_frame(events, catalogue).named(name)
