"""Sums over events that fade: by hand, against slow twins, within the bounds, and the same whoever adds them up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.data.decay import Decay
from fedrec.data.histories import Histories
from fedrec.errors import ContributionError
from fedrec.models import Statistic, triangle
from fedrec.models.fitting import fading
from fedrec.models.statistics import AlsSweep, GramProduct, ItemCounts, ItemGram, Transitions
from fedrec.privacy.mechanisms import Skellam
from fedrec.privacy.policy import Distributed
from fedrec.privacy.release import noised_release_of, release_of
from tests.privacy import test_sensitivity as unfaded
from tests.privacy.test_sensitivity import FACTORS, NUM_ITEMS

DECAY = Decay(half_life_s=1.0, as_of=9)
Rows = list[list[tuple[int, int]]]
"""Of each user, items and how many half-lives ago they were."""
rows_of_events = st.lists(
    st.lists(st.tuples(st.integers(0, NUM_ITEMS - 1), st.integers(-2, 19)), max_size=8), min_size=1, max_size=4
)


def statistics(limit: int) -> list[Statistic]:
    return [fading(statistic) for statistic in unfaded.statistics(limit)]


def histories(rows: Rows) -> Histories:
    """Oldest first, as rows are."""
    ordered = [sorted(row, key=lambda event: -event[1]) for row in rows]
    plain = Histories.from_lists([[item for item, _ in row] for row in ordered], NUM_ITEMS)
    times = np.array([9 - age for row in ordered for _, age in row], dtype=np.int64)
    return DECAY.weighed(Histories(plain.indptr, plain.items, NUM_ITEMS, times))


BOB = [(0, 4), (1, 2), (0, 2), (2, 0)]
"""Item 0 four and two half-lives ago, item 1 two, item 2 just now: roots 1/2, 1/2, 1 of the newest of each."""


def test_an_item_counts_what_the_newest_event_on_it_weighs():
    counts = fading(ItemCounts(NUM_ITEMS, 4)).contribute(histories([BOB, [(2, 4)]])).values["counts"]
    assert counts.tolist() == [1 / 4, 1 / 4, 1 + 1 / 16, 0, 0, 0]


def test_a_pair_weighs_the_geometric_mean_and_the_diagonal_holds_the_counts():
    gram = fading(ItemGram(NUM_ITEMS, 4)).contribute(histories([BOB])).values["gram"]
    square = triangle.unpack(gram, NUM_ITEMS)
    assert square[:3, :3].tolist() == [[1 / 4, 1 / 4, 1 / 2], [1 / 4, 1 / 4, 1 / 2], [1 / 2, 1 / 2, 1]]
    assert square.sum() == 4


def test_a_step_weighs_what_its_later_event_does():
    steps = fading(Transitions(NUM_ITEMS, 4)).contribute(histories([[(0, 6), (1, 4), (2, 2)]])).values["transitions"]
    assert steps[0, 1] == 1 / 16
    assert steps[1, 2] == 1 / 4
    assert steps.sum() == 1 / 16 + 1 / 4


def test_of_an_old_user_the_content_statistics_keep_the_share_that_is_left():
    """All events two half-lives old: a quarter of each sum, and nothing else is different."""
    now, then = [[(0, 0), (1, 0), (2, 0)]], [[(0, 2), (1, 2), (2, 2)]]
    for statistic in statistics(4)[-4:-1]:
        new, old = (statistic.contribute(histories(rows)).values for rows in (now, then))
        for name, value in new.items():
            np.testing.assert_allclose(old[name], value / 4, atol=1e-12)


def test_als_takes_a_faded_event_for_a_part_of_one():
    """Hu et al. 2008, eq. 4, of a user whose items weigh w, by hand: w of a wanted item, 1 - w of one that is not."""
    statistic = AlsSweep(FACTORS, l2=0.1, alpha=5.0, clip_norm=50.0, max_items_per_user=4)
    values = statistic.contribute(histories([BOB])).values
    part = np.array([1 / 4, 1 / 4, 1, 0, 0, 0])
    matrix = FACTORS.T @ np.diag(part * 6.0 + (1 - part)) @ FACTORS + 0.1 * np.eye(3)
    user = np.linalg.solve(matrix, FACTORS.T @ (6.0 * part))
    np.testing.assert_allclose(values["linear"], np.outer(part, user), atol=1e-9)
    square = triangle.unpack_each(values["outer"], 3)
    np.testing.assert_allclose(square, part[:, None, None] * np.outer(user, user), atol=1e-9)


@given(rows=rows_of_events, limit=st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_the_gram_product_is_the_gram_times_the_basis(rows: Rows, limit: int) -> None:
    faded = histories(rows)
    gram = triangle.unpack(fading(ItemGram(NUM_ITEMS, limit)).contribute(faded).values["gram"], NUM_ITEMS)
    np.testing.assert_allclose(GramProduct(FACTORS, limit).contribute(faded).values["product"], gram @ FACTORS)


@given(rows=rows_of_events, extra=rows_of_events, limit=st.integers(1, 5), multiplier=st.sampled_from([0.3, 40.0]))
@settings(deadline=None, max_examples=40)
def test_no_user_changes_values_or_words_by_more_than_is_accounted_for(
    rows: Rows, extra: Rows, limit: int, multiplier: float
) -> None:
    """The bounds are those of events that do not fade: no weight is above 1, and all lie on the grid."""
    before, after = histories(rows), histories([*rows, extra[0]])
    for statistic in statistics(limit):
        release = noised_release_of(statistic.layout().prefixed("0"), 4, 100, Distributed(2), [multiplier])
        assert release.noise is not None
        values = [statistic.contribute(one).values for one in (before, after)]
        for block in statistic.layout().blocks:
            assert np.linalg.norm(values[1][block.name] - values[0][block.name]) <= block.user_l2 + 1e-9
            if block.exact:
                assert not (values[1][block.name] / block.resolution % 1).any()
        words = [release.encoding.encode_values({f"0/{n}": v for n, v in value.items()}) for value in values]
        ends = [release.encoding.segments(one) for one in words]
        for one, old, new in zip(release.noise.blocks, *ends, strict=True):
            assert isinstance(one.mechanism, Skellam)
            assert np.linalg.norm(new.astype(np.float64) - old) <= one.mechanism.l2


@given(rows=rows_of_events, at=st.integers(0, 4))
@settings(deadline=None, max_examples=30)
def test_counts_of_several_tenants_equal_the_pooled_ones_to_the_bit(rows: Rows, at: int) -> None:
    for statistic in statistics(4)[:6]:
        release = release_of(statistic.layout(), 3, 100)
        parts = [histories(part) for part in (rows[:at], rows[at:]) if part]
        (name,) = (block.name for block in statistic.layout().blocks)
        apart = [release.encoding.decode(release.prepare(statistic.contribute(part)))[name] for part in parts]
        np.testing.assert_array_equal(sum(apart), statistic.contribute(histories(rows)).values[name])


@pytest.mark.parametrize("kind", [ItemCounts, ItemGram, Transitions])
def test_a_sum_of_whole_numbers_refuses_events_that_fade(kind: type[ItemCounts]) -> None:
    with pytest.raises(ContributionError, match="set its `weighed`"):
        kind(NUM_ITEMS, 4).contribute(histories([BOB]))


@pytest.mark.parametrize("statistic", statistics(4), ids=lambda statistic: statistic.key[:24])
def test_of_events_of_now_the_sums_are_those_that_do_not_fade(statistic: Statistic) -> None:
    faded = histories([[(0, 0), (1, 0), (0, 0), (3, 0)], [], [(2, -1)]])
    plain = replace(faded, roots=None)
    for name, value in statistic.contribute(faded).values.items():
        np.testing.assert_array_equal(value, statistic.contribute(plain).values[name])
