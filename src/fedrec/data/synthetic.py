"""A seeded marketplace with known structure, for demos and tests where no real data can be had.

Users have a taste over topics; items have a topic, popularity, price and a text whose words give the topic
away. The next item is either drawn by taste and the popularity of the moment, or it follows from the user's
last item, as a lens follows a camera. Popularity drifts, and items, users and whole tenants arrive late, so
that every cold start is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.data.arrays import BoolArray, FloatArray, IntArray
from fedrec.data.catalogue import Catalogue
from fedrec.data.dataset import Dataset
from fedrec.data.interactions import Interactions
from fedrec.data.tenants import Tenants, by_user_attribute
from fedrec.data.topic_words import COMMON_WORDS, topic
from fedrec.errors import ConfigError
from fedrec.rng import derive

_START_S = 1_704_067_200  # 2024-01-01
_DAY_S = 86_400
_EPOCHS = 10  # popularity and assortment are constant within a tenth of the period
_SUCCESSORS = np.array([0.6, 0.3, 0.1])  # chances of an item's three usual successors
_LONGEST = 5  # a user has at most this many times the mean number of events


@dataclass(frozen=True)
class Marketplace:
    """What the generated market is like. Shares are between 0 and 1.

    overlap: share of the items that all tenants sell; each of the others is sold by one tenant only.
    mean_events: per user, before a second event on the same item is dropped; at least 3 are drawn.
    popularity: exponent of the Zipf law of item popularity. taste: Dirichlet concentration of a user over
    topics; small is single-minded. sequence: share of the events that follow from the last one. drift: 0
    keeps popularity, 1 draws it anew from start to end. late_*: share that arrives in the second half of the
    period.

    Raises:
        ConfigError: a value is out of range.
    """

    num_tenants: int = 4
    num_users: int = 1000
    num_items: int = 400
    num_topics: int = 8
    mean_events: float = 30.0
    overlap: float = 1.0
    popularity: float = 0.8
    taste: float = 0.3
    sequence: float = 0.4
    drift: float = 0.3
    late_items: float = 0.1
    late_users: float = 0.1
    late_tenants: float = 0.0
    num_days: int = 360

    def __post_init__(self) -> None:
        for name in ("overlap", "sequence", "drift", "late_items", "late_users", "late_tenants"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"Expected 0 <= {name}={getattr(self, name)} <= 1.")
        for name in ("num_tenants", "num_topics", "num_days", "taste"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"Expected {name}={getattr(self, name)} > 0.")
        if not self.popularity >= 0:
            raise ConfigError(f"Expected popularity={self.popularity} >= 0.")
        if not self.mean_events >= 3:
            raise ConfigError(f"Expected mean_events={self.mean_events} >= 3.")
        if self.num_users < self.num_tenants:
            raise ConfigError(f"Expected at least one user per tenant, got {self.num_users} users.")
        if self.num_items < max(self.num_topics, 2 * self.num_tenants):
            raise ConfigError(f"Expected num_items={self.num_items} >= topics and >= 2 for each tenant.")


@dataclass(frozen=True)
class _Items:
    """topics: (num_items,) ascending. launch: (num_items,) epoch of arrival."""

    topics: IntArray
    launch: IntArray
    sold: BoolArray  # (num_tenants, num_items)
    successors: IntArray  # (num_items, 3)
    cumulative: FloatArray  # (num_tenants * _EPOCHS, 1 + num_items) of the items' chances, from 0 to 1


@dataclass(frozen=True)
class _Users:
    """tenants, lengths: (num_users,). arrival: (num_users,) share of the period."""

    tenants: IntArray
    arrival: FloatArray
    lengths: IntArray
    tastes: FloatArray  # (num_users, num_topics) cumulative


def marketplace(market: Marketplace | None = None, seed: int = 0) -> Dataset:
    """The whole market as one dataset; each user's tenant is the user attribute `tenant`."""
    market = market or Marketplace()
    items, users = _draw_items(market, seed), _draw_users(market, seed)
    events = _draw_events(market, items, users, seed)
    width = len(str(market.num_users - 1))
    attributes = {
        "tenant": tuple(_tenant_name(market, tenant) for tenant in users.tenants),
        "arrival": tuple("late" if share > 0 else "start" for share in users.arrival),
    }
    interactions = Interactions(
        tuple(f"user-{number:0{width}d}" for number in range(market.num_users)),
        _item_ids(market),
        *events,
        weights=np.ones(len(events[0])),
    )
    return Dataset("marketplace", interactions, _describe(market, items, seed), attributes)


def tenants(market: Marketplace | None = None, seed: int = 0) -> Tenants:
    """The market by tenant, over one catalogue."""
    return by_user_attribute(marketplace(market, seed), "tenant")


def _tenant_name(market: Marketplace, tenant: int) -> str:
    return f"tenant-{tenant:0{len(str(market.num_tenants - 1))}d}"


def _item_ids(market: Marketplace) -> tuple[str, ...]:
    width = len(str(market.num_items - 1))
    return tuple(f"item-{number:0{width}d}" for number in range(market.num_items))


def _draw_items(market: Marketplace, seed: int) -> _Items:
    stream = derive(seed, "marketplace", "items")
    num_items = market.num_items
    topics = np.sort(np.arange(num_items) % market.num_topics)
    late = stream.random(num_items) < market.late_items
    launch = np.where(late, stream.integers(_EPOCHS // 2, _EPOCHS, num_items), 0)
    owner = stream.permutation(num_items) % market.num_tenants
    shared = stream.random(num_items) < market.overlap
    sold = shared | (owner == np.arange(market.num_tenants)[:, None])
    anywhere = stream.integers(0, num_items, (num_items, len(_SUCCESSORS)))
    starts, sizes = np.searchsorted(topics, topics), np.bincount(topics)[topics]
    nearby = starts[:, None] + stream.integers(0, 1 << 30, anywhere.shape) % sizes[:, None]
    successors = np.where(stream.random(anywhere.shape) < 0.8, nearby, anywhere)
    return _Items(topics, launch, sold, successors, _cumulate(market, launch, sold, stream))


def _cumulate(market: Marketplace, launch: IntArray, sold: BoolArray, stream: np.random.Generator) -> FloatArray:
    """(num_tenants * _EPOCHS, 1 + num_items) cumulative chances of the items in each tenth of the period."""
    early, late = (-market.popularity * np.log(stream.permutation(market.num_items) + 1.0) for _ in range(2))
    turned = market.drift * np.linspace(0, 1, _EPOCHS)[:, None]
    weights = np.exp((1 - turned) * early + turned * late) * (launch <= np.arange(_EPOCHS)[:, None])
    chances = (sold[:, None, :] * (weights + 1e-12)).reshape(-1, market.num_items)  # so that no row is empty
    cumulative = np.concatenate([np.zeros((len(chances), 1)), chances.cumsum(axis=1)], axis=1)
    normed: FloatArray = cumulative / cumulative[:, -1:]
    return normed


def _draw_users(market: Marketplace, seed: int) -> _Users:
    stream = derive(seed, "marketplace", "users")
    sizes = stream.dirichlet(np.full(market.num_tenants, 5.0))
    owners = stream.choice(market.num_tenants, size=market.num_users, p=sizes)
    owners[: market.num_tenants] = np.arange(market.num_tenants)  # no tenant is empty
    num_late = round(market.late_tenants * market.num_tenants)
    opening = np.where(np.arange(market.num_tenants) >= market.num_tenants - num_late, 0.6, 0.0)
    late = stream.random(market.num_users) < market.late_users
    arrival = np.maximum(opening[owners], np.where(late, stream.uniform(0.5, 0.9, market.num_users), 0.0))
    extra = stream.gamma(1.5, (market.mean_events - 3) / 1.5, market.num_users)
    lengths = 3 + np.minimum(np.floor(extra + 0.5), _LONGEST * market.mean_events).astype(np.int64)
    tastes = stream.dirichlet(np.full(market.num_topics, market.taste), market.num_users).cumsum(axis=1)
    return _Users(owners, arrival, lengths, tastes)


def _draw_events(market: Marketplace, items: _Items, users: _Users, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """Users, items and times of all events in the order of time; of a user's events on an item the first."""
    stream = derive(seed, "marketplace", "events")
    who = np.repeat(np.arange(market.num_users), users.lengths)
    share = users.arrival[who] + (1 - users.arrival[who]) * stream.random(len(who))
    share = share[np.lexsort((share, who))]
    starts = np.cumsum(users.lengths) - users.lengths
    what = np.empty(len(who), dtype=np.int64)
    for step in range(int(users.lengths.max())):
        active = np.flatnonzero(users.lengths > step)
        now = starts[active] + step
        epoch = np.minimum((share[now] * _EPOCHS).astype(np.int64), _EPOCHS - 1)
        what[now] = _by_taste(items, users, active, epoch, stream)
        if step:
            follow, next_items = _by_sequence(items, users.tenants[active], epoch, what[now - 1], stream)
            follow &= stream.random(len(active)) < market.sequence
            what[now[follow]] = next_items[follow]
    first = np.sort(np.unique(who * market.num_items + what, return_index=True)[1])
    first = first[np.argsort(share[first], kind="stable")]
    times = _START_S + np.floor(share[first] * market.num_days * _DAY_S).astype(np.int64)
    return who[first], what[first], times


def _by_taste(items: _Items, users: _Users, active: IntArray, epoch: IntArray, stream: np.random.Generator) -> IntArray:
    """An item for each active user: a topic by taste, then one of its items by popularity."""
    drawn, within = stream.random((2, len(active)))
    wanted = np.minimum((users.tastes[active] < drawn[:, None]).sum(axis=1), users.tastes.shape[1] - 1)
    row = users.tenants[active] * _EPOCHS + epoch
    low = items.cumulative[row, np.searchsorted(items.topics, wanted)]
    high = items.cumulative[row, np.searchsorted(items.topics, wanted, side="right")]
    missing = high - low < 1e-9  # the tenant sells nothing of the topic now: any of its items
    low, high = np.where(missing, 0.0, low), np.where(missing, 1.0, high)
    ends = items.cumulative[:, 1:] + np.arange(len(items.cumulative))[:, None]  # one ascending array for all rows
    place = np.searchsorted(ends.ravel(), row + low + within * (high - low), side="right")
    drawn_items: IntArray = np.minimum(place - row * len(items.topics), len(items.topics) - 1)
    return drawn_items


def _by_sequence(
    items: _Items, tenants: IntArray, epoch: IntArray, last: IntArray, stream: np.random.Generator
) -> tuple[BoolArray, IntArray]:
    """A usual successor of each user's last item, and whether the tenant sells it by now."""
    chosen = items.successors[last, stream.choice(len(_SUCCESSORS), size=len(last), p=_SUCCESSORS)]
    return items.sold[tenants, chosen] & (items.launch[chosen] <= epoch), chosen


def _describe(market: Marketplace, items: _Items, seed: int) -> Catalogue:
    """Text of four words of the item's topic and a common one; a third have a second topic with two words."""
    stream = derive(seed, "marketplace", "texts")
    named = [topic(number) for number in range(market.num_topics)]
    second = np.where(
        stream.random(market.num_items) < 1 / 3,
        stream.integers(0, market.num_topics, market.num_items),
        items.topics,
    )
    texts, categories = [], []
    for first, other in zip(items.topics, second, strict=True):
        words = [str(stream.choice(COMMON_WORDS)), *stream.choice(named[first][1], 4)]
        if other != first:
            words += list(stream.choice(named[other][1], 2))
        texts.append(" ".join(dict.fromkeys(words)))
        categories.append(tuple(dict.fromkeys((named[first][0], named[other][0]))))
    level = stream.normal(3.0, 0.7, market.num_topics)[items.topics]
    prices: FloatArray = np.exp(level + stream.normal(0.0, 0.4, market.num_items)).round(2)
    return Catalogue(_item_ids(market), tuple(texts), tuple(categories), prices)
