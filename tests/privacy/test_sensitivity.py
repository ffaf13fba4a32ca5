"""What one user can change in what leaves a client, counted on the words themselves, against what is accounted for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.contribution import Contribution, Words
from fedrec.data.histories import Histories
from fedrec.models import Statistic
from fedrec.models.statistics import (
    STATISTICS,
    AlsSweep,
    ContentMoments,
    ContentProfiles,
    FieldRelevance,
    GramProduct,
    ItemCounts,
    ItemGram,
    PeriodShares,
    Transitions,
)
from fedrec.privacy.fixed_point import Encoding
from fedrec.privacy.mechanisms import Gaussian, Skellam
from fedrec.privacy.policy import Central, Distributed, Local, Placed
from fedrec.privacy.release import noised_release_of
from fedrec.rng import derive

NUM_ITEMS = 6
FACTORS = derive(5, "factors").standard_normal((NUM_ITEMS, 3))
CONTENT = derive(6, "content").standard_normal((NUM_ITEMS, 5)).astype(np.float32)
WIDTHS = np.array([3, 2])

rows_of_items = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=12), max_size=4)
row_of_items = st.lists(st.integers(0, NUM_ITEMS - 1), max_size=12)


def statistics(limit: int) -> list[Statistic]:
    return [
        *(kind(NUM_ITEMS, limit, unit) for kind in (ItemCounts, ItemGram, Transitions) for unit in (False, True)),
        GramProduct(FACTORS, limit),
        AlsSweep(FACTORS, l2=0.1, alpha=5.0, clip_norm=0.8, max_items_per_user=limit),
        ContentMoments(CONTENT, WIDTHS, limit),
        ContentProfiles(CONTENT, WIDTHS, FACTORS[:, 0][:5], FACTORS[:5], 0.3, limit),
        FieldRelevance(CONTENT, WIDTHS, limit),
        PeriodShares(np.arange(NUM_ITEMS) % 3, 3, since=5, until=9),
    ]


def test_every_statistic_is_here() -> None:
    assert {statistic.name for statistic in statistics(3)} == set(STATISTICS)


def contributed(statistic: Statistic, rows: list[list[int]]) -> Contribution:
    plain = Histories.from_lists(rows, NUM_ITEMS)
    contribution = statistic.contribute(replace(plain, times=9 - plain.ages))
    values = {f"0/{name}": value for name, value in contribution.values.items()}
    return Contribution(contribution.layout.prefixed("0"), values, contribution.num_users)


def steps(encoding: Encoding, words: Words) -> list[np.ndarray]:
    return [segment.astype(np.float64) for segment in encoding.segments(words)]


@given(rows=rows_of_items, extra=row_of_items, limit=st.integers(1, 8), multiplier=st.sampled_from([0.3, 40.0]))
@settings(deadline=None, max_examples=60)
def test_no_user_changes_the_rounded_words_by_more_than_is_accounted_for(
    rows: list[list[int]], extra: list[int], limit: int, multiplier: float
) -> None:
    for statistic in statistics(limit):
        release = noised_release_of(statistic.layout().prefixed("0"), 4, 100, Distributed(2), [multiplier])
        assert release.noise is not None
        without = steps(release.encoding, release.encoding.encode(contributed(statistic, rows)))
        with_user = steps(release.encoding, release.encoding.encode(contributed(statistic, [*rows, extra])))
        for one, before, after in zip(release.noise.blocks, without, with_user, strict=True):
            assert isinstance(one.mechanism, Skellam)
            assert np.linalg.norm(after - before) <= one.mechanism.l2
            assert np.abs(after - before).sum() <= one.mechanism.l1 * (1 + 1e-9)
            assert np.count_nonzero(after - before) <= one.block.user_nonzeros


@given(rows=rows_of_items, extra=row_of_items, limit=st.integers(1, 8))
@settings(deadline=None, max_examples=40)
def test_no_user_changes_the_values_by_more_than_the_bound(rows: list[list[int]], extra: list[int], limit: int) -> None:
    for statistic in statistics(limit):
        before, after = contributed(statistic, rows), contributed(statistic, [*rows, extra])
        for block in before.layout.blocks:
            changed = after.values[block.name] - before.values[block.name]
            assert np.linalg.norm(changed) <= block.user_l2 + 1e-9
            if block.exact:
                assert not (after.values[block.name] / block.resolution % 1).any()


@pytest.mark.parametrize("kind", [ItemCounts, ItemGram, Transitions])
def test_unit_norm_uses_nearly_all_of_its_bound(kind: type[ItemCounts]) -> None:
    for row in ([2], [0, 1, 2, 3, 4, 5], [0, 1, 0, 2, 5]):
        (value,) = kind(NUM_ITEMS, 4, True).contribute(Histories.from_lists([row], NUM_ITEMS)).values.values()
        norm = np.linalg.norm(value)
        assert norm <= 1.0
        assert norm > 0.999 or (kind is Transitions and len(row) == 1)


@pytest.mark.parametrize("placement", [Distributed(3), Local(), Central()])
def test_the_noise_of_all_blocks_of_a_statistic_costs_one_release(placement: Placed) -> None:
    """Three blocks with sqrt 3 times the multiplier cost what one block with the multiplier does."""
    layout = AlsSweep(FACTORS, 0.1, 5.0, 0.8, 4).layout().prefixed("0")
    release = noised_release_of(layout, 4, 100, placement, [2.0])
    assert release.noise is not None
    total = 0.0
    for one in release.noise.mechanisms:
        multiplier = one.variance**0.5 / one.l2 if isinstance(one, Skellam) else one.std / one.l2
        total += 1 / multiplier**2
    assert total == pytest.approx(1 / 2.0**2, rel=1e-9)


def test_rounding_is_counted_where_a_users_part_is_not_on_the_grid() -> None:
    """Of a product with 4 items and 3 columns a user touches 12 coordinates: sqrt 12 steps are added to the bound."""
    (block,) = GramProduct(FACTORS, 4).layout().blocks
    noise = Distributed(2).of(block, 1.0)
    assert isinstance(noise.mechanism, Skellam)
    assert block.user_nonzeros == 12
    assert noise.mechanism.l2 == pytest.approx(block.user_l2 / noise.block.resolution + 12**0.5, rel=1e-8)
    assert noise.std / noise.block.resolution >= 1 << 13


def test_rounding_adds_nothing_where_it_changes_nothing() -> None:
    (block,) = ItemCounts(NUM_ITEMS, 4).layout().blocks
    noise = Distributed(2).of(block, 1.0)
    assert isinstance(noise.mechanism, Skellam)
    assert noise.mechanism.l2 * noise.block.resolution == pytest.approx(2.0, rel=1e-8)  # four ones
    assert (1.0 / noise.block.resolution) % 1 == 0  # counts are still whole multiples


def test_local_noise_is_made_before_rounding_and_counts_the_plain_bound() -> None:
    (block,) = GramProduct(FACTORS, 4).layout().blocks
    assert Local().of(block, 1.5).mechanism == Gaussian(block.user_l2, 1.5 * block.user_l2)
