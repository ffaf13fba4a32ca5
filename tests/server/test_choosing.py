"""How values of a configuration become candidates."""

from __future__ import annotations

from fedrec.config import ModelConfig
from fedrec.server.choosing import Candidate, best, candidates_of


def test_no_residual_is_a_choice_and_no_limit_is_null() -> None:
    bare, shared = candidates_of(ModelConfig.model_validate({"name": "mf", "residual": ["none", "shared"]}))
    assert (bare.params["residual"], shared.params["residual"]) == ("none", "shared")
    (limitless,) = candidates_of(ModelConfig.model_validate({"name": "popularity", "max_items_per_user": "none"}))
    assert limitless.params["max_items_per_user"] is None


OPTIONS = tuple(Candidate(f"ease:{index}", "ease", {"l2": float(index)}) for index in range(3))


def test_of_candidates_that_noise_leaves_open_the_first_is_taken() -> None:
    headline = {"ease:0": 0.10, "ease:1": 0.14, "ease:2": 0.15}
    assert best(OPTIONS, headline).candidate.params == {"l2": 2.0}
    assert best(OPTIONS, headline, 0.02).candidate.params == {"l2": 1.0}
    assert best(OPTIONS, headline, 0.06).candidate.params == {"l2": 0.0}
    assert [best(OPTIONS, headline, margin).told_apart for margin in (0.0, 0.005, 0.02)] == [True, True, False]


def test_the_earlier_of_equals_is_taken_without_noise_too() -> None:
    assert best(OPTIONS, {"ease:0": 0.1, "ease:1": 0.2, "ease:2": 0.2}).candidate.params == {"l2": 1.0}


def test_what_was_not_scored_is_left_to_the_tenants_and_has_no_margin() -> None:
    found = best(OPTIONS, {}, 0.5)
    assert (found.candidate.params, found.scores, found.margin) == ({}, (), 0.0)
