import re
import warnings

import numpy as np
import pytest

from fedrec.data import SPLITS, Dataset, Marketplace, SmallTenant, marketplace
from fedrec.data.tenants import (
    by_item_category,
    by_store,
    by_user_attribute,
    dirichlet,
    iid,
    one_user_per_client,
)
from fedrec.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore::fedrec.data.tenants.SmallTenant")


def town() -> Dataset:
    rows = {
        "user_id": ["u", "v", "u", "w", "v", "x"],
        "item_id": ["a", "b", "c", "a", "a", "d"],
        "timestamp": [9, 2, 3, 4, 5, 6],
        "store": ["12", "7", "7", "12", "12", None],
    }
    items = {"item_id": list("abcd"), "categories": ["Toys|Games", "Children's", "Toys", ""]}
    people = {"user_id": list("uvw"), "job": ["K-12 student", "Écrivain", "K 12 Student"], "zip": ["10115", "98107-2102", "1"]}  # fmt: skip
    return Dataset.from_frame(rows, items, people, event_attributes=["store"])


def users(tenants: dict[str, Dataset]) -> dict[str, str]:
    return {name: "".join(tenant.interactions.user_ids) for name, tenant in tenants.items()}


def test_attribute_split_has_readable_names_for_files():
    assert users(by_user_attribute(town(), "job")) == {
        "k-12-student": "w",
        "k-12-student-2": "u",
        "ecrivain": "v",
        "unknown": "x",
    }


def test_attribute_prefix_groups_zip_codes():
    assert users(by_user_attribute(town(), "zip", prefix=1)) == {"zip-1": "uw", "zip-9": "v", "unknown": "x"}


def test_category_split_has_disjoint_assortments_and_shared_shoppers():
    tenants = by_item_category(town())
    assert users(tenants) == {"childrens": "v", "toys": "uvw", "unknown": "x"}
    assert tenants["toys"].interactions.items.tolist() == [0, 2, 0, 0]


def test_store_split_follows_the_events():
    tenants = by_store(town())
    assert users(tenants) == {"store-7": "uv", "store-12": "uvw", "unknown": "x"}
    assert tenants["store-12"].interactions.times.tolist() == [9, 4, 5]


def test_small_tenants_can_be_left_out():
    assert list(by_store(town(), min_users=2)) == ["store-7", "store-12"]
    with pytest.raises(ConfigError, match="min_users=9 <= 3"):
        by_store(town(), min_users=9)


def test_one_user_per_client():
    assert users(one_user_per_client(town())) == {"user-0": "u", "user-1": "v", "user-2": "w", "user-3": "x"}


def market() -> Dataset:
    return marketplace(Marketplace(num_users=200, num_items=100), seed=3)


EVERY_SPLIT = {
    "by_user_attribute": {"attribute": "tenant"},
    "by_item_category": {},
    "by_store": {"attribute": "store"},
    "iid": {"n": 7, "seed": 1},
    "dirichlet": {"n": 7, "alpha": 0.5, "seed": 1},
    "one_user_per_client": {},
}


def test_every_split_is_tried_below():
    assert set(EVERY_SPLIT) == set(SPLITS)


@pytest.mark.parametrize("split", EVERY_SPLIT)
def test_every_split_hands_out_each_event_once_over_the_same_catalogue(split):
    dataset = town() if split == "by_store" else market()
    tenants = SPLITS[split](dataset, **EVERY_SPLIT[split])

    def triples(part: Dataset) -> list[tuple[str, int, int]]:
        e = part.interactions
        return list(zip([e.user_ids[u] for u in e.users], e.items.tolist(), e.times.tolist(), strict=True))

    assert sorted(t for tenant in tenants.values() for t in triples(tenant)) == sorted(triples(dataset))
    for name, tenant in tenants.items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        assert tenant.name == name
        assert tenant.catalogue is dataset.catalogue
        assert np.bincount(tenant.interactions.users, minlength=tenant.num_users).min() > 0


@pytest.mark.parametrize("split", [iid, dirichlet])
def test_seeded_splits_repeat_and_differ(split):
    dataset = market()
    one, again, other = (users(split(dataset, n=4, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_iid_tenants_are_equally_large():
    assert sorted(t.num_users for t in iid(market(), n=6).values()) == [33, 33, 33, 33, 34, 34]


def test_dirichlet_taste_is_the_more_uneven_the_smaller_alpha_is():
    dataset = marketplace(Marketplace(num_users=600, num_items=100), seed=3)
    primary = {name: i for i, name in enumerate(dict.fromkeys(dataset.catalogue.primary_categories()))}
    of_item = np.array([primary[name] for name in dataset.catalogue.primary_categories()])

    def spread(alpha: float) -> float:
        tenants = dirichlet(dataset, n=5, alpha=alpha, seed=0).values()
        shares = [np.bincount(of_item[t.interactions.items], minlength=len(primary)) / t.num_events for t in tenants]
        return float(np.std(shares, axis=0).mean())

    assert spread(0.1) > 2 * spread(100.0)


def test_dirichlet_size_skew_leaves_tastes_alone_and_sizes_uneven():
    sizes = [t.num_users for t in dirichlet(market(), n=5, alpha=0.5, seed=0, skew="size").values()]
    assert max(sizes) > 3 * min(sizes)


@pytest.mark.parametrize(
    ("split", "arguments", "message"),
    [
        (
            by_user_attribute,
            {"attribute": "age"},
            "Expected a user attribute among \\['job', 'zip'\\], got 'age'",
        ),
        (by_user_attribute, {"attribute": "job", "prefix": 0}, "prefix=0 > 0"),
        (by_store, {"attribute": "shop"}, "Expected a event attribute among \\['store'\\]"),
        (iid, {"n": 5}, "n=5 between 1 and the 4 users: a tenant may not be empty"),
        (dirichlet, {"n": 0}, "n=0"),
        (dirichlet, {"n": 2, "alpha": 0}, "alpha=0"),
        (dirichlet, {"n": 2, "skew": "taste"}, "skew"),
        (dirichlet, {"n": 4, "alpha": 1e-3}, "choose a larger alpha or fewer tenants"),
    ],
)
def test_impossible_split_is_explained(split, arguments, message):
    with pytest.raises(ConfigError, match=message):
        split(town(), **arguments)


def test_tenant_of_one_user_is_flagged():
    with pytest.warns(SmallTenant, match="2 tenants have one user, whose data their sums would be: childrens, unknown"):
        by_item_category(town())


def test_one_user_per_client_is_not_flagged():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_user_per_client(town())
