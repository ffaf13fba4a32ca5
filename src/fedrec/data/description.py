"""What one should know of a dataset before a model is trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from fedrec.data.dataset import Dataset

_SHOWN_CATEGORIES = 8


@dataclass(frozen=True)
class Description:
    """Counts of a dataset; times are ISO 8601 in UTC.

    density: share of the user-item pairs that have an event. tied_at_the_end: users with several events in
    their last second, so that the order of the source decides what is held out. too_short: users with fewer
    than 3 distinct items, who cannot be tested. categories: items of each of the largest primary categories.
    """

    name: str
    users: int
    items: int
    items_with_events: int
    events: int
    density: float
    first: str
    last: str
    median_events_per_user: float
    tied_at_the_end: int
    too_short: int
    items_with_text: int
    items_with_price: int
    median_price: float | None
    num_categories: int
    categories: dict[str, int]
    user_attributes: tuple[str, ...]
    event_attributes: tuple[str, ...]


def describe(dataset: Dataset) -> Description:
    """The description of `dataset`."""
    events, catalogue = dataset.interactions, dataset.catalogue
    pairs = np.unique(events.users * dataset.num_items + events.items)
    distinct = np.bincount(pairs // dataset.num_items, minlength=dataset.num_users)
    sizes = Counter(name for name in catalogue.primary_categories() if name)
    prices = catalogue.prices[~np.isnan(catalogue.prices)]
    return Description(
        name=dataset.name,
        users=dataset.num_users,
        items=dataset.num_items,
        items_with_events=len(np.unique(events.items)),
        events=dataset.num_events,
        density=len(pairs) / (dataset.num_users * dataset.num_items),
        first=_iso(int(events.times.min())),
        last=_iso(int(events.times.max())),
        median_events_per_user=float(np.median(np.bincount(events.users, minlength=dataset.num_users))),
        tied_at_the_end=_tied_at_the_end(dataset),
        too_short=int((distinct < 3).sum()),
        items_with_text=sum(text is not None for text in catalogue.text),
        items_with_price=len(prices),
        median_price=float(np.median(prices)) if len(prices) else None,
        num_categories=len(sizes),
        categories=dict(sizes.most_common(_SHOWN_CATEGORIES)),
        user_attributes=tuple(dataset.user_attributes),
        event_attributes=tuple(dataset.event_attributes),
    )


def _tied_at_the_end(dataset: Dataset) -> int:
    events = dataset.interactions
    last = np.full(dataset.num_users, np.iinfo(np.int64).min)
    np.maximum.at(last, events.users, events.times)
    at_the_end = np.bincount(events.users[events.times == last[events.users]], minlength=dataset.num_users)
    return int((at_the_end > 1).sum())


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"  # before the year 1
