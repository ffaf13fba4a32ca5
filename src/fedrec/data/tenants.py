"""Dividing one dataset among tenants, as a simulation does with a benchmark that has no owners of its own.

A split is a function `dataset, parameters -> tenant name -> Dataset`. Every tenant keeps the full catalogue
with its positions and has only its own users and events; no tenant is empty. Names can be file names. A
tenant of one user brings a `SmallTenant` warning, since a sum over its users is that user; only
`one_user_per_client` means it.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from fedrec.data.arrays import IntArray
from fedrec.data.dataset import Dataset
from fedrec.errors import ConfigError
from fedrec.rng import derive

Tenants = dict[str, Dataset]
_ATTEMPTS = 100
_LONGEST_NAME = 80
_Value = TypeVar("_Value")


class SmallTenant(UserWarning):
    """A tenant has one user only."""


def by_user_attribute(dataset: Dataset, attribute: str, prefix: int | None = None, min_users: int = 1) -> Tenants:
    """One tenant for each value of a user attribute, or for its first `prefix` characters (zip digit).

    Tenants are in the order of their values. Users without a value make the tenant "unknown". Tenants of
    fewer than `min_users` are left out, here and in the next two splits.

    Raises:
        ConfigError: the users have no such attribute, or `prefix` is not positive.
    """
    values = _attribute(dataset.user_attributes, attribute, "user")
    if prefix is not None and prefix < 1:
        raise ConfigError(f"Expected prefix={prefix} > 0.")
    groups, names = _grouped([value[:prefix] for value in values], attribute)
    return _large(_by_user(dataset, groups, names), min_users)


def by_item_category(dataset: Dataset, min_users: int = 1) -> Tenants:
    """One shop for each primary category with the events on its items: disjoint assortments, shared shoppers.

    A shopper of several shops is a user of each, under the same id. Items without a category make the shop
    "unknown".
    """
    primary = [name or "" for name in dataset.catalogue.primary_categories()]
    groups, names = _grouped(primary, "category")
    return _large(_by_event(dataset, groups[dataset.interactions.items], names), min_users)


def by_store(dataset: Dataset, attribute: str = "store", min_users: int = 1) -> Tenants:
    """One tenant for each label of an event attribute, with the events that bear it; shoppers may be shared.

    Raises:
        ConfigError: the events have no such attribute.
    """
    labels = _attribute(dataset.event_attributes, attribute, "event")
    groups, names = _grouped(labels.names, attribute)
    return _large(_by_event(dataset, groups[labels.codes], names), min_users)


def iid(dataset: Dataset, n: int, seed: int = 0) -> Tenants:
    """`n` tenants of equally many users (or one more), drawn at random.

    Raises:
        ConfigError: `n` is not between 1 and the number of users.
    """
    _check_count(dataset, n)
    groups = derive(seed, "tenants", "iid", n).permutation(dataset.num_users) % n
    return _warned(_by_user(dataset, groups, _numbered(n)))


def dirichlet(
    dataset: Dataset,
    n: int,
    alpha: float = 0.3,
    seed: int = 0,
    skew: Literal["category", "size"] = "category",
) -> Tenants:
    """`n` tenants that differ the more, the smaller `alpha` is.

    skew="category": users are grouped by the primary category of most of their events; each group is shared
    out among the tenants by proportions from Dirichlet(alpha), so that tenants differ in taste and, with it,
    in size. skew="size": one draw of proportions for all users; tenants differ in size only. The draw is
    repeated until no tenant is empty, 100 times at most.

    Raises:
        ConfigError: `n`, `alpha` or `skew` is out of range, or all draws left a tenant empty.
    """
    _check_count(dataset, n)
    if not 0 < alpha < np.inf:
        raise ConfigError(f"Expected 0 < alpha={alpha} < inf.")
    if skew not in ("category", "size"):
        raise ConfigError(f"Expected skew to be 'category' or 'size', got {skew!r}.")
    taste = _favourite_category(dataset) if skew == "category" else np.zeros(dataset.num_users, dtype=np.int64)
    stream = derive(seed, "tenants", "dirichlet", n, str(alpha), skew)
    for _ in range(_ATTEMPTS):
        groups = np.empty(dataset.num_users, dtype=np.int64)
        for group in np.unique(taste):
            users = np.flatnonzero(taste == group)
            groups[users] = stream.choice(n, size=len(users), p=stream.dirichlet(np.full(n, alpha)))
        if len(np.unique(groups)) == n:
            return _warned(_by_user(dataset, groups, _numbered(n)))
    raise ConfigError(
        f"{_ATTEMPTS} draws with {n=}, {alpha=} left a tenant empty; choose a larger alpha or fewer tenants."
    )


def one_user_per_client(dataset: Dataset) -> Tenants:
    """Each user alone, as on devices. Clients are numbered, since a user id may not be a file name."""
    return _by_user(dataset, np.arange(dataset.num_users), _numbered(dataset.num_users, "user"))


SPLITS: dict[str, Callable[..., Tenants]] = {
    split.__name__: split
    for split in (by_user_attribute, by_item_category, by_store, iid, dirichlet, one_user_per_client)
}


def _attribute(attributes: Mapping[str, _Value], name: str, of: str) -> _Value:
    if name not in attributes:
        raise ConfigError(f"Expected a {of} attribute among {sorted(attributes)}, got {name!r}.")
    return attributes[name]


def _check_count(dataset: Dataset, n: int) -> None:
    if not 1 <= n <= dataset.num_users:
        raise ConfigError(f"Expected {n=} between 1 and the {dataset.num_users} users: a tenant may not be empty.")


def _favourite_category(dataset: Dataset) -> IntArray:
    """(num_users,) number of the primary category that most events of the user have."""
    primary = dataset.catalogue.primary_categories()
    number = {name: i for i, name in enumerate(dict.fromkeys(primary))}
    of_item = np.array([number[name] for name in primary], dtype=np.int64)
    cells = dataset.interactions.users * len(number) + of_item[dataset.interactions.items]
    counts = np.bincount(cells, minlength=dataset.num_users * len(number))
    favourite: IntArray = counts.reshape(dataset.num_users, len(number)).argmax(axis=1)
    return favourite


def _by_user(dataset: Dataset, group_of_user: IntArray, names: Sequence[str]) -> Tenants:
    return _by_event(dataset, group_of_user[dataset.interactions.users], names)


def _by_event(dataset: Dataset, group_of_event: IntArray, names: Sequence[str]) -> Tenants:
    order = np.argsort(group_of_event, kind="stable")  # stable: rows keep the order of the source
    edges = np.searchsorted(group_of_event[order], np.arange(len(names) + 1))
    parts = {name: order[start:stop] for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True)}
    return {name: dataset.select_events(events, name) for name, events in parts.items() if len(events)}


def _large(tenants: Tenants, min_users: int) -> Tenants:
    kept = {name: tenant for name, tenant in tenants.items() if tenant.num_users >= min_users}
    if not kept:
        largest = max(tenant.num_users for tenant in tenants.values())
        raise ConfigError(f"Expected {min_users=} <= {largest}, the users of the largest tenant.")
    return _warned(kept)


def _warned(tenants: Tenants) -> Tenants:
    alone = [name for name, tenant in tenants.items() if tenant.num_users == 1]
    if alone:
        some = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        message = f"{len(alone)} tenants have one user, whose data their sums would be: {some}."
        warnings.warn(message, SmallTenant, stacklevel=4)
    return tenants


def _numbered(n: int, kind: str = "tenant") -> list[str]:
    width = len(str(n - 1))
    return [f"{kind}-{number:0{width}d}" for number in range(n)]


def _grouped(values: Sequence[str], attribute: str) -> tuple[IntArray, list[str]]:
    """The group of each value and the names of the groups, which are in the order of their values."""

    def rank(value: str) -> tuple[bool, float, str]:
        return value == "", float(value) if value.isdecimal() else np.inf, value

    distinct = sorted(set(values), key=rank)
    group = {value: number for number, value in enumerate(distinct)}
    codes = np.array([group[value] for value in values], dtype=np.int64)
    return codes, _file_names(distinct, attribute)


def _file_names(values: Sequence[str], attribute: str) -> list[str]:
    """For each of `values` another name, of small letters, digits and hyphens, that starts with a letter."""
    names: dict[str, None] = {}
    for value in values:
        plain = _plain(value or "unknown")
        base = plain if plain[:1].isalpha() else f"{_plain(attribute)}-{plain}".strip("-") or "tenant"
        name, count = base, 1
        while name in names:
            count += 1
            name = f"{base}-{count}"
        names[name] = None
    return list(names)


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower().replace("'", "")).strip("-")[:_LONGEST_NAME]
