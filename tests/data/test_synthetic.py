import numpy as np
import pytest

from fedrec.data import Dataset, Marketplace, leave_last_out, marketplace
from fedrec.data.synthetic import tenants
from fedrec.errors import ConfigError


def hit_rate(dataset: Dataset, scores_of) -> float:
    """HR@10 on validation, seen items removed, ties broken against the target."""
    split = leave_last_out(dataset.histories())
    fold, hits = split.validation, 0
    score = scores_of(split.train)
    for row in range(fold.num_users):
        seen, target = fold.history.row(row), fold.targets.row(row)[0]
        scores = score(seen).astype(float)
        scores[seen] = -np.inf
        hits += int((scores >= scores[target]).sum() <= 10)
    return hits / fold.num_users


def popularity(train):
    counts = np.bincount(train.items, minlength=train.num_items)
    return lambda seen: counts


def transitions(train):
    counts = np.zeros((train.num_items, train.num_items))
    within = train.rows[1:] == train.rows[:-1]
    np.add.at(counts, (train.items[:-1][within], train.items[1:][within]), 1)
    return lambda seen: counts[seen[-1]]


def popularity_among_alike(dataset: Dataset):
    """Popularity, by how many words of its text an item shares with what the user has."""
    words = [set(text.split()) for text in dataset.catalogue.text]
    alike = np.array([[len(a & b) for b in words] for a in words])
    return lambda train: lambda seen: alike[seen].sum(axis=0) * popularity(train)(seen)


def test_the_same_seed_gives_the_same_market_and_another_seed_another():
    one, again, other = (marketplace(seed=seed).interactions.items for seed in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_every_user_has_events_and_every_item_a_text_category_and_price():
    dataset = marketplace(Marketplace(num_users=50, num_items=40, num_tenants=3))
    assert (dataset.num_users, dataset.num_items) == (50, 40)
    assert np.bincount(dataset.interactions.users, minlength=50).min() > 0
    assert all(dataset.catalogue.text)
    assert all(dataset.catalogue.categories)
    assert (dataset.catalogue.prices > 0).all()


def test_sequences_tell_more_than_popularity():
    dataset = marketplace(seed=0)
    assert hit_rate(dataset, transitions) > 3 * hit_rate(dataset, popularity)


def test_without_sequence_signal_the_last_item_tells_little():
    dataset = marketplace(Marketplace(sequence=0.0))
    assert hit_rate(dataset, transitions) < 0.6 * hit_rate(marketplace(), transitions)


def test_texts_tell_what_a_user_likes():
    dataset = marketplace(seed=0)
    assert hit_rate(dataset, popularity_among_alike(dataset)) > 1.4 * hit_rate(dataset, popularity)


def test_popularity_is_skewed_by_its_exponent():
    def share_of_top_tenth(exponent: float) -> float:
        dataset = marketplace(Marketplace(popularity=exponent, sequence=0.0))
        counts = np.sort(np.bincount(dataset.interactions.items, minlength=400))[::-1]
        return float(counts[:40].sum() / counts.sum())

    assert share_of_top_tenth(1.2) > 2 * share_of_top_tenth(0.0)


def test_drift_changes_what_is_popular():
    def agreement(drift: float) -> float:
        dataset = marketplace(Marketplace(drift=drift, sequence=0.0, late_items=0.0, num_users=3000))
        events = dataset.interactions
        early = events.times < np.quantile(events.times, 0.2)
        late = events.times > np.quantile(events.times, 0.8)
        counts = [np.bincount(events.items[part], minlength=400) for part in (early, late)]
        return float(np.corrcoef(counts)[0, 1])

    assert agreement(0.0) > 0.8
    assert agreement(1.0) < 0.4


def test_disjoint_tenants_share_no_item():
    shops = tenants(Marketplace(overlap=0.0, num_tenants=3, late_items=0.0), seed=4)
    sold = [set(shop.interactions.items.tolist()) for shop in shops.values()]
    assert list(shops) == ["tenant-0", "tenant-1", "tenant-2"]
    assert sum(map(len, sold)) == len(set.union(*sold))


def test_late_items_users_and_tenants_come_in_the_second_half():
    shops = tenants(Marketplace(late_tenants=0.5, late_users=0.3, late_items=0.3))
    dataset = marketplace(Marketplace(late_tenants=0.5, late_users=0.3, late_items=0.3))
    events = dataset.interactions
    middle = (events.times.min() + events.times.max()) / 2
    first_of_user, first_of_item = np.full(dataset.num_users, np.inf), np.full(dataset.num_items, np.inf)
    np.minimum.at(first_of_user, events.users, events.times)
    np.minimum.at(first_of_item, events.items, events.times)
    late = np.array(dataset.user_attributes["arrival"]) == "late"
    assert (first_of_user[late] > middle).all()
    assert late.mean() > 0.3
    assert (first_of_item > middle).sum() > 60
    openings = [shop.interactions.times.min() > middle for shop in shops.values()]
    assert openings == [False, False, True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap": 1.5}, {"sequence": -0.1}, {"num_tenants": 0}, {"taste": 0}, {"popularity": -1},
        {"mean_events": 2}, {"num_users": 3}, {"num_items": 5}, {"drift": float("nan")},
    ],
)  # fmt: skip
def test_impossible_market_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)).replace("num_users", "users")):
        Marketplace(**wrong)
