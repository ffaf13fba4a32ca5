"""Bounds that are checked, layouts that can be joined and taken apart, streams that do not meet."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Block, Contribution, Layout, Total, joined
from fedrec.errors import ContributionError
from fedrec.privacy.release import release_of
from fedrec.rng import derive

COUNTS = Layout((Block("counts", (3,), user_l2=2.0, user_max=1.0),))


def counts(*values: float, users: int = 4) -> Contribution:
    return Contribution(COUNTS, {"counts": np.array(values)}, users)


@pytest.mark.parametrize(
    ("user_l2", "user_max", "resolution"), [(0, 1, 1), (1, 2, 1), (np.inf, 1, 1), (1, 1, 0), (1, -1, 1)]
)
def test_a_block_without_a_true_bound_is_refused(user_l2, user_max, resolution):
    with pytest.raises(ContributionError):
        Block("b", (1,), user_l2, user_max, resolution)


def test_a_coordinate_beyond_what_the_users_can_add_is_refused():
    assert counts(4, 0, 0).num_users == 4
    with pytest.raises(ContributionError, match="exceeds the bound 4"):
        counts(5, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(ContributionError):
        counts(bad, 0, 0)


def test_blocks_must_be_the_layouts_and_of_its_shapes():
    with pytest.raises(ContributionError, match="blocks"):
        Contribution(COUNTS, {"other": np.zeros(3)}, 1)
    with pytest.raises(ContributionError, match="shape"):
        Contribution(COUNTS, {"counts": np.zeros(4)}, 1)
    with pytest.raises(ContributionError, match="differ"):
        Layout(COUNTS.blocks + COUNTS.blocks)


def test_joined_contributions_come_apart_again():
    both = joined({"a": counts(1, 2, 3), "b": counts(4, 0, 0)})
    total = Total(both.layout, both.values, 2)
    assert total.part("b").values["counts"].tolist() == [4, 0, 0]
    assert total.part("a").layout == COUNTS
    assert both.layout.size == 6


def test_a_release_opens_the_exact_sum_of_counts():
    release = release_of(COUNTS, max_clients=10, max_users=100)
    words = release.prepare(counts(1, 2, 3))
    assert release.open(words, 1).values["counts"].tolist() == [1, 2, 3]
    assert release.words == (3, 0, 1.0)


def test_two_paths_have_different_streams_and_one_path_always_the_same():
    draws = [
        derive(*path).integers(1 << 62)
        for path in ((0, "a"), (0, "b"), (1, "a"), (0, "a", 1), (0, "a1"), (0, "a", "1"))
    ]
    assert len(set(draws)) == len(draws)
    assert derive(0, "a").integers(1 << 62) == draws[0]
