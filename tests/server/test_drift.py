"""Alarms of a run that follows another one: none without cause, and one for each cause there can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flwr.app import Message
from scipy.stats import binom

from fedrec.data import Dataset
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ContributionError
from fedrec.messages import SECAGG
from fedrec.metrics.drifting import by_chance, divergence, groups_of, surely_less
from fedrec.models.statistics import PeriodShares
from fedrec.rng import derive
from fedrec.server.events import read_events
from fedrec.simulations.tenancy import create_roster
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import grid_of
from tests.server.following import PERIOD_S, Period, run_over, stores

GROUPS = np.array([0, 0, 1])
SHARES = PeriodShares(GROUPS, 2, since=10, until=20)
RANKING = {"ks": [5], "headline": "NDCG@5", "bootstrap": 100}


def test_each_user_adds_the_shares_of_its_own_events_by_hand():
    """The first user had items 0, 1, 2 up to 10 and item 2 after; the second nothing up to 10, item 1 after, and item 0
    when the next period had begun."""
    rows = Histories(np.array([0, 4, 6]), np.array([0, 1, 2, 2, 1, 0]), 3, np.array([1, 2, 10, 11, 20, 21]))
    values = SHARES.contribute(rows).values
    np.testing.assert_allclose(values["then"], [2 / 3, 1 / 3])
    assert values["now"].tolist() == [1.0, 1.0]
    assert values["users"].tolist() == [1.0, 2.0]


def test_periods_need_times_and_groups():
    with pytest.raises(ContributionError, match="without times"):
        SHARES.contribute(Histories.from_lists([[0]], 3))
    for change in ({"since": 20}, {"num_groups": 1}, {"groups": np.array([0.5])}):
        with pytest.raises(ConfigError):
            PeriodShares(**{"groups": GROUPS, "num_groups": 2, "since": 10, "until": 20} | change)


def test_divergence_by_hand():
    """Of (1, 0) and (1/2, 1/2): half of log2(4/3), and half of (log2(2/3) + log2(2)) / 2."""
    one, half = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert divergence(one, one) == 0
    assert divergence(one, one[::-1]) == pytest.approx(1)
    assert divergence(one, half) == pytest.approx((np.log2(4 / 3) + (np.log2(2 / 3) + 1) / 2) / 2)


def catalogue(categories: list[str | None]):
    ids = [str(index) for index in range(len(categories))]
    events = pa.table({"user_id": ["u"], "item_id": ["0"], "timestamp": [1]})
    return Dataset.from_frame(events, pa.table({"item_id": ids, "categories": categories})).catalogue


def test_groups_are_categories_by_how_often_they_are_had():
    counts = np.array([1.0, 5.0, 1.0, 2.0, 0.0])
    assert groups_of(catalogue(["a", "b", "a", "c", None]), counts).tolist() == [1, 0, 1, 2, 3]
    assert groups_of(catalogue(["a", "b", "a", "c", None]), counts, most=2).tolist() == [1, 0, 1, 1, 1]


def test_without_categories_each_frequent_item_is_a_group():
    assert groups_of(catalogue([None] * 4), np.array([1.0, 3.0, 0.0, 2.0]), most=3).tolist() == [2, 0, 2, 1]


def test_samples_of_one_population_exceed_the_threshold_as_seldom_as_stated():
    """Users' shares over four groups, each user's own mean of six choices. 300 pairs of samples at a rate of 5 %: more
    alarms than the bound come with probability below 1e-6."""
    rng, alarms = derive(3, "pairs"), 0
    for seed in range(300):
        users = rng.dirichlet(np.full(4, 0.3), size=160)
        shares = np.array([rng.multinomial(6, taste) for taste in users]) / 6
        then, now = shares[:100].sum(axis=0), shares[100:].sum(axis=0)
        alarms += divergence(then / 100, now / 60) > by_chance(then + now, (100, 60), 0.05, seed)
    assert alarms <= binom.isf(1e-6, 300, 0.05)


def test_a_mean_is_surely_less_only_beyond_the_widths_of_both_intervals():
    def figure(mean: float, users: float = 100.0) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.0196, "high": mean + 0.0196, "users": users}  # deviation 0.01

    assert not surely_less(figure(0.50), figure(0.53), 0.01)  # 2.33 * 0.0141 = 0.0329
    assert surely_less(figure(0.50), figure(0.534), 0.01)
    assert not surely_less(figure(0.50, users=29.0), figure(0.60), 0.01)
    assert not surely_less({"mean": 0.5, "users": 100.0}, figure(0.9), 0.01)


def chain(folder: Path, periods: list[Period], **changes: Any) -> list[dict[str, Any]]:
    """A run at the end of each period, each after the one before; what each found."""
    found = []
    for number in range(1, len(periods) + 1):
        freshness = {"after": f"run{number - 1}"} if number > 1 else {}
        tenants = stores(folder / f"tenants{number}", periods[:number])
        options = {"evaluation": RANKING, "freshness": freshness | changes}
        found.append(run_over(folder, tenants, f"run{number}", PERIOD_S * number, **options))
    return [one.get("drift") for one in found]


def test_where_nothing_changes_nothing_is_called_a_drift(tmp_path):
    """Three tests at a false-alarm rate of 0.1 % each, the seed fixed: a chance of 0.3 % that this market was unlucky."""
    _, second, third = chain(tmp_path, [Period()] * 3, false_alarms=0.001)
    assert second["alarms"] == third["alarms"] == []
    assert second["popularity"]["users_then"] == second["popularity"]["users_now"] == 120
    assert second["quality"]["ease"]["mean"] > second["quality"]["popularity"]["mean"]
    assert second["then"] is None  # a last item left out is not a window of time
    assert third["then"] == second["quality"]["ease"]


def test_users_who_choose_other_categories_are_told(tmp_path):
    _, found = chain(tmp_path, [Period(), Period((0.9, 0.05, 0.05))])
    assert found["alarms"][0].startswith("users choose other things")
    assert found["popularity"]["divergence"] > 2 * found["popularity"]["threshold"]
    (event,) = (e for e in read_events(tmp_path / "run2" / "events.jsonl") if e["event"] == "drift")
    assert event["alarms"] == found["alarms"]
    assert event["after"] == "run1"


def test_a_model_that_became_bad_is_told_though_shares_are_what_they_were(tmp_path):
    *_, found = chain(tmp_path, [Period(), Period(), Period(turn=1)])
    assert any("'ease' became worse: NDCG@5" in alarm for alarm in found["alarms"])
    assert any("'ease' is worse than popularity" in alarm for alarm in found["alarms"])
    assert not any("other things" in alarm for alarm in found["alarms"])


def test_a_test_that_was_split_off_by_time_is_measured_alike(tmp_path):
    split = RANKING | {"holdout": "time", "starts": [300, 450]}
    first = run_over(tmp_path, stores(tmp_path / "one", [Period()]), "run1", PERIOD_S, evaluation=split)
    second = run_over(
        *(tmp_path, stores(tmp_path / "two", [Period()] * 2), "run2", 2 * PERIOD_S),
        evaluation=split,
        freshness={"after": "run1"},
    )
    tested = first["results"]["federated"]["ease"]["all"]["NDCG@5"]
    assert second["drift"]["then"] == {key: tested[key] for key in ("mean", "low", "high", "users")}


def test_under_masks_the_same_is_found_and_nothing_else_crosses_the_wire(tmp_path):
    run_over(tmp_path, stores(tmp_path / "one", [Period()]), "run1", PERIOD_S, evaluation=RANKING)
    follow: dict[str, Any] = {"evaluation": RANKING, "freshness": {"after": "run1", "half_life_days": 0.01}}
    plain = run_over(tmp_path, stores(tmp_path / "two", [Period()] * 2), "run2", 2 * PERIOD_S, **follow)
    late, wire = stores(tmp_path / "masked", [Period()] * 2), []
    roster = create_roster(late, tmp_path / "roster.txt")

    def watched(message: Message) -> bool:
        wire.append(message)
        return False

    grid = SecureGrid(grid_of(late, watched), roster)
    found = run_over(tmp_path, late, "run3", 2 * PERIOD_S, grid, **follow)
    assert found == plain
    assert found["drift"]["quality"]["ease"]["users"] == 120
    replies = [one.content for one in wire if one.metadata.reply_to_message_id]
    assert {frozenset(content) for content in replies} == {frozenset({SECAGG})}


def test_few_users_raise_no_alarm_and_that_is_said(tmp_path):
    run_over(tmp_path, stores(tmp_path / "one", [Period()], users=9), "run1", PERIOD_S)
    late = stores(tmp_path / "two", [Period(), Period((0.9, 0.05, 0.05))], users=9)
    found = run_over(tmp_path, late, "run2", 2 * PERIOD_S, freshness={"after": "run1"})["drift"]
    assert found["alarms"] == []
    assert found["why_not"] == "27 users did something new, of 30 needed"


def test_a_run_goes_on_where_new_events_were_scored_before(tmp_path):
    """Tenants answer one such question about the same rows; another window is another question."""
    run_over(tmp_path, stores(tmp_path / "one", [Period()]), "run1", PERIOD_S, evaluation=RANKING)
    late, follow = stores(tmp_path / "two", [Period()] * 2), {"evaluation": RANKING, "freshness": {"after": "run1"}}
    assert run_over(tmp_path, late, "run2", 2 * PERIOD_S, **follow)["drift"]["why_not"] is None
    drift = run_over(tmp_path, late, "run3", 2 * PERIOD_S - 100, **follow)["drift"]
    assert drift["why_not"].startswith("new events were not scored")
    assert "arm-already-scored" in drift["why_not"]
    assert drift["popularity"] is not None


def test_a_tenant_that_measured_drift_takes_part_in_no_choice_afterwards(tmp_path):
    run_over(tmp_path, stores(tmp_path / "one", [Period()]), "run1", PERIOD_S)
    late = stores(tmp_path / "two", [Period()] * 2)
    run_over(tmp_path, late, "run2", 2 * PERIOD_S, freshness={"after": "run1"})
    with pytest.raises(Exception, match="test-already-read"):
        run_over(tmp_path, late, "run3", 2 * PERIOD_S)


def test_drift_can_be_left_out(tmp_path):
    run_over(tmp_path, stores(tmp_path / "one", [Period()], users=9), "run1", PERIOD_S)
    late = stores(tmp_path / "two", [Period()] * 2, users=9)
    found = run_over(tmp_path, late, "run2", 2 * PERIOD_S, freshness={"after": "run1", "drift": False})
    assert "drift" not in found
    assert "drift" not in json.loads((tmp_path / "run2" / "course.json").read_text())
