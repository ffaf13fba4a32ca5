"""Runs that follow others: events that fade, what was chosen is kept, and sums are made anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.data import Histories
from fedrec.data.decay import Decay
from fedrec.errors import ConfigError
from fedrec.messages import ARRAYS
from fedrec.models import EASE, PCA, ItemFeatures, fit, load, pooled_sum
from fedrec.models.popularity import Popularity
from fedrec.server.events import read_events
from fedrec.server.exchange import holdout_of
from fedrec.server.run import choose_only, run
from tests.federation import config_of, exchange_of, grid_of, two_tenants
from tests.server.following import PERIOD_S, Period, run_over, stores, tenant_rows

ONE, TWO, THREE = [Period()], [Period()] * 2, [Period()] * 3
DAY_S = 86_400


def test_sums_of_events_that_fade_are_the_pooled_ones_to_the_bit(tmp_path):
    tenants = two_tenants(tmp_path / "tenants")
    models = [{"name": "popularity"}, {"name": "ease", "l2": 1.0}, {"name": "pca", "rank": 2}, {"name": "markov"}]
    config = config_of(models=models, freshness={"half_life_days": 2.0, "as_of": 4 * DAY_S})
    run(exchange_of(grid_of(tenants), config, tmp_path), tenants[0].dataset().catalogue, tmp_path / "server")
    decay = Decay(2.0 * DAY_S, 4 * DAY_S)
    rows = [decay.weighed(store.split(holdout_of(config)).fit) for store in tenants]
    for model in (Popularity(), EASE(l2=1.0), PCA(rank=2)):
        pooled = fit(model, ItemFeatures(6), pooled_sum(rows))
        released = load(tmp_path / "server" / "models" / model.name).weights
        for name, value in pooled.items():
            np.testing.assert_array_equal(released[name], value)


def test_popularity_fades_by_hand(tmp_path):
    """Events are one a day, so that ann's a-b-c on days 0-2 weigh 1/4, (181/256)^2 and 1 two days after the first."""
    tenants = two_tenants(tmp_path / "tenants")
    config = config_of(models=[{"name": "popularity"}], freshness={"half_life_days": 1.0, "as_of": 2 * DAY_S})
    run(exchange_of(grid_of(tenants), config, tmp_path), tenants[0].dataset().catalogue, tmp_path / "server")
    found = load(tmp_path / "server" / "models" / "popularity").weights["popularity"]
    half = (181 / 256) ** 2
    fitted = ["abc", "bcd", "abc", "cde", "fed", "ace", "bd"]  # all but the last item of each
    weights = (1 / 4, half, 1.0)
    expected = [sum(weights[row.index(i)] for row in fitted if i in row) for i in "abcdef"]
    assert found.tolist() == expected


def test_a_moment_is_needed_and_gradients_are_refused(tmp_path):
    tenants = two_tenants(tmp_path / "tenants")
    for freshness, models, message in (
        ({"half_life_days": 1.0}, [{"name": "ease"}], "give freshness.as_of"),
        ({"half_life_days": 1.0, "as_of": 5}, [{"name": "mf"}], "'mf' is trained by gradients"),
    ):
        exchange = exchange_of(grid_of(tenants), config_of(models=models, freshness=freshness), tmp_path)
        with pytest.raises(ConfigError, match=message):
            run(exchange, tenants[0].dataset().catalogue, tmp_path / "server")


def test_a_run_that_follows_keeps_what_was_chosen_and_sums_all_rows_anew(tmp_path):
    first = run_over(tmp_path, stores(tmp_path / "early", ONE), "first", PERIOD_S)
    tenants = stores(tmp_path / "late", TWO)
    second = run_over(tmp_path, tenants, "second", 2 * PERIOD_S, freshness={"after": "first"})
    assert [card["parameters"] for card in second["models"]] == [card["parameters"] for card in first["models"]]
    assert (second["chosen"], second["after"], second["results"]) == (first["chosen"], "first", {})
    kept = next(card["parameters"] for card in first["models"] if card["name"] == "ease")
    pooled = fit(EASE(**kept), ItemFeatures(60), pooled_sum([s.dataset().histories() for s in tenants]))
    released = load(tmp_path / "second" / "models" / "ease").weights
    np.testing.assert_array_equal(released["item_weights"], pooled["item_weights"])


def test_a_run_that_follows_asks_for_no_choice_and_no_test(tmp_path):
    run_over(tmp_path, stores(tmp_path / "early", ONE), "first", PERIOD_S)
    tenants = stores(tmp_path / "late", TWO)
    for store in tenants:
        store.read_test()  # from the first run: what is chosen on validation is refused
    run_over(tmp_path, tenants, "second", 2 * PERIOD_S, freshness={"after": "first", "drift": False})
    actions = {e["action"] for e in read_events(tmp_path / "second" / "events.jsonl") if e["event"] == "round-start"}
    assert actions == {"sum item_gram", "sum item_counts"} or actions == {"sum item_counts, item_gram"}
    assert not any((store.folder / "results.json").exists() for store in tenants)


def test_what_is_newer_than_the_moment_is_left_to_the_next_run(tmp_path):
    """An event from the future, by a tenant's wrong clock, is not learnt from before it can be measured on."""
    run_over(tmp_path, stores(tmp_path / "early", ONE), "first", PERIOD_S)
    three = stores(tmp_path / "late", THREE)
    two = stores(tmp_path / "two", TWO)
    run_over(tmp_path, three, "second", 2 * PERIOD_S, freshness={"after": "first", "drift": False})
    pooled = fit(Popularity(), ItemFeatures(60), pooled_sum([s.dataset().histories() for s in two]))
    released = load(tmp_path / "second" / "models" / "popularity").weights
    np.testing.assert_array_equal(released["popularity"], pooled["popularity"])


def test_training_begins_at_the_weights_of_the_run_before_for_few_rounds(tmp_path):
    tenants = two_tenants(tmp_path / "tenants")
    catalogue, sent = tenants[0].dataset().catalogue, []

    def watched(message):
        if message.metadata.message_type == "train.local" and ARRAYS in message.content:
            sent.append({name: array.numpy() for name, array in message.content[ARRAYS].items()})
        return False

    def config(name: str, **freshness: object):
        mf = [{"name": "mf", "dim": 3}]
        return config_of({"arms": ["federated"]}, name=name, models=mf, training={"rounds": 7}, freshness=freshness)

    run(exchange_of(grid_of(tenants), config("first", as_of=9), tmp_path), catalogue, tmp_path / "first")
    follow = config("second", as_of=10 * DAY_S, after="first")
    run(exchange_of(grid_of(tenants, watched), follow, tmp_path), catalogue, tmp_path / "second")
    released = load(tmp_path / "first" / "models" / "mf").weights
    assert len(sent) == 2  # one round, a fifth of seven, at two tenants
    for name, value in sent[0].items():
        np.testing.assert_array_equal(value, released[name])
    now = load(tmp_path / "second" / "models" / "mf").weights
    assert any((now[name] != released[name]).any() for name in sent[0])


def test_a_run_that_was_interrupted_goes_on_with_what_it_follows(tmp_path):
    run_over(tmp_path, stores(tmp_path / "early", ONE), "first", PERIOD_S)
    tenants, freshness = stores(tmp_path / "late", TWO), {"after": "first"}
    whole = run_over(tmp_path, tenants, "second", 2 * PERIOD_S, freshness=freshness)
    (tmp_path / "second" / "server.json").unlink()
    assert run_over(tmp_path, tenants, "second", 2 * PERIOD_S, freshness=freshness) == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freshness": {"after": "third"}}, "there is no finished run"),
        ({"freshness": {"after": "second"}}, "there is no finished run"),
        ({"freshness": {"after": "first", "as_of": 1000}}, "is not later than 1000"),
        ({"models": [{"name": "item_knn"}]}, "'item_knn' was not in the run 'first'"),
        ({"models": [{"name": "ease", "l2": 3.0}]}, "'ease' has other hyper-parameters"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, changes, message):
    run_over(tmp_path, stores(tmp_path / "early", ONE, users=10), "first", PERIOD_S)
    changes["freshness"] = {"after": "first", **changes.get("freshness", {})}
    with pytest.raises(ConfigError, match=message):
        run_over(tmp_path, stores(tmp_path / "late", TWO, users=10), "second", 2 * PERIOD_S, **changes)


def test_other_items_cannot_be_followed(tmp_path):
    run_over(tmp_path, stores(tmp_path / "early", ONE, users=10), "first", PERIOD_S)
    with pytest.raises(ConfigError, match="of other items than the catalogue"):
        run_over(tmp_path, two_tenants(tmp_path / "others"), "second", 2 * PERIOD_S, freshness={"after": "first"})


def test_nothing_is_chosen_in_a_run_that_follows(tmp_path):
    tenants = two_tenants(tmp_path / "tenants")
    config = config_of(freshness={"as_of": 5, "after": "first"})
    with pytest.raises(ConfigError, match="chooses nothing"):
        choose_only(exchange_of(grid_of(tenants), config, tmp_path), tenants[0].dataset().catalogue, tmp_path / "out")


def test_rows_of_a_dataset_know_their_times():
    rows = tenant_rows("north", ONE, users=2)
    histories = rows.histories()
    assert isinstance(histories, Histories)
    assert histories.times is not None
    for user in range(2):
        own = histories.times[histories.indptr[user] : histories.indptr[user + 1]]
        assert (np.diff(own) >= 0).all()
    assert sorted(histories.times) == sorted(rows.interactions.times)


def test_the_run_that_was_followed_is_on_record(tmp_path: Path):
    run_over(tmp_path, stores(tmp_path / "early", ONE, users=10), "first", PERIOD_S)
    run_over(tmp_path, stores(tmp_path / "late", TWO, users=10), "second", 2 * PERIOD_S, freshness={"after": "first"})
    events = [json.loads(line) for line in (tmp_path / "second" / "events.jsonl").read_text().splitlines()]
    assert events[0]["after"] == "first"
