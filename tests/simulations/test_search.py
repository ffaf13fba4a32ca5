"""A search of functions whose best values are known."""

from __future__ import annotations

import math

import pytest

from fedrec.errors import ConfigError, RoundFailed
from fedrec.simulations.search import MAX_FAILURES, Limits, Search, open_study
from fedrec.tune_config import Range

SPACE = {"x": Range(low=1e-4, high=1.0, log=True), "n": Range(low=1, high=4), "kind": ("flat", "steep")}
NAME = "a-search"


def hill(values) -> float:
    """Highest at x = 0.01, n = 3, steep."""
    return -abs(math.log10(values["x"]) + 2) - abs(values["n"] - 3) + (values["kind"] == "steep")


def searched(trials: int, measure=hill, study=None, seed: int = 0) -> Search:
    search = Search(seed, SPACE, study or open_study(NAME))
    search.run(measure, Limits(trials))
    return search


def values_of(search: Search):
    return [(dict(trial.values), trial.score) for trial in search.trials]


def test_values_lie_in_the_space_and_whole_numbers_stay_whole():
    for values, _ in values_of(searched(12)):
        assert 1e-4 <= values["x"] <= 1.0
        assert values["n"] in (1, 2, 3, 4)
        assert isinstance(values["n"], int)
        assert values["kind"] in ("flat", "steep")


def test_a_search_follows_from_its_seed():
    assert values_of(searched(5)) == values_of(searched(5))
    assert values_of(searched(5)) != values_of(searched(5, seed=1))


def test_later_trials_are_better_than_the_first_random_ones():
    """The seed is fixed, so this cannot fail by chance."""
    scores = [score for _, score in values_of(searched(30))]
    assert sum(scores[-10:]) / 10 > sum(scores[:10]) / 10 + 0.5


def test_an_interrupted_search_goes_on_as_one_that_was_not(tmp_path):
    """It stops within its sixth trial, as a killed process does; that trial is made again and counted twice."""
    calls = []

    def stop(values) -> float:
        calls.append(values)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return hill(values)

    with pytest.raises(KeyboardInterrupt):
        searched(13, stop, open_study(NAME, tmp_path / "s.sqlite"))
    again = searched(13, hill, open_study(NAME, tmp_path / "s.sqlite", resume=True))
    assert values_of(again) == values_of(searched(13))
    assert (len(again.trials), again.evaluations) == (13, 14)


def test_a_trial_counts_before_anybody_is_asked():
    seen = []
    search = Search(0, SPACE, open_study(NAME))

    def count(values) -> float:
        seen.append(search.evaluations)
        return 0.0

    search.run(count, Limits(3))
    assert seen == [1, 2, 3]


def test_a_trial_that_fails_is_kept_with_its_reason_and_the_search_goes_on():
    def steep_only(values) -> float:
        if values["kind"] == "flat":
            raise RoundFailed("too\nflat")
        return hill(values)

    search = searched(8, steep_only)
    failed = [trial for trial in search.trials if trial.score is None]
    assert len(search.trials) == search.evaluations == 8
    assert 0 < len(failed) < 8
    assert {trial.reason for trial in failed} == {"too flat"}
    assert {trial.values["kind"] for trial in failed} == {"flat"}


def test_a_search_gives_up_when_too_many_trials_fail_in_a_row():
    def fail(values) -> float:
        raise RoundFailed("never")

    search = Search(0, SPACE, open_study(NAME))
    with pytest.raises(RoundFailed, match="never"):
        search.run(fail, Limits(20))
    assert len(search.trials) == MAX_FAILURES


def test_an_error_that_is_no_failure_of_a_trial_ends_the_search():
    def wrong(values) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        searched(3, wrong)


def test_no_trial_begins_after_the_timeout():
    search = Search(0, SPACE, open_study(NAME))
    search.run(hill, Limits(1000, timeout_s=1e-9))
    assert search.trials == []


def test_who_asks_is_told_after_each_trial():
    told = []
    Search(0, SPACE, open_study(NAME)).run(hill, Limits(3), lambda search: told.append(len(search.trials)))
    assert told == [1, 2, 3]


def test_a_kept_search_is_gone_on_with_only_if_asked_and_only_with_the_same(tmp_path):
    path = tmp_path / "deep" / "s.sqlite"
    searched(1, study=open_study(NAME, path))
    with pytest.raises(ConfigError, match="go on with --resume"):
        open_study(NAME, path)
    with pytest.raises(ConfigError, match="of another configuration"):
        open_study("another", path, resume=True)
    assert len(Search(0, SPACE, open_study(NAME, path, resume=True)).trials) == 1


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install fedrec\[tune\]"):
        open_study(NAME)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"timeout_s": 0.0}, {"timeout_s": -1.0}])
def test_limits_under_which_nothing_could_be_tried_are_refused(wrong):
    with pytest.raises(ConfigError, match="Expected trials="):
        Limits(**wrong)
