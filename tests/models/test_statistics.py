"""The sums against slow twins, and their bounds against every single user."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.contribution import Contribution
from fedrec.data.histories import Histories
from fedrec.errors import ContributionError, ProtocolError
from fedrec.models import Statistic, triangle
from fedrec.models.statistics import (
    STATISTICS,
    AlsSweep,
    ContentMoments,
    ContentProfiles,
    FieldRelevance,
    GramProduct,
    ItemCounts,
    ItemGram,
    Transitions,
)
from fedrec.privacy.fixed_point import plan
from fedrec.rng import derive

NUM_ITEMS = 6
FACTORS = derive(5, "factors").standard_normal((NUM_ITEMS, 3))
CONTENT = np.float32(
    [[0.6, 0.8, 0, 0, 0], [0, 0, 1, 0, 0], [0.6, 0, 0, 0.8, 0], [0] * 5, [0, 0, 0, 6, 8], [1, 0, 0, 0, 0]]
)
WIDTHS = np.array([2, 3])  # the fifth item's vector is too long, the fourth is not described


def statistics(limit: int) -> list[Statistic]:
    return [
        ItemCounts(NUM_ITEMS, limit),
        ItemGram(NUM_ITEMS, limit),
        Transitions(NUM_ITEMS, limit),
        GramProduct(FACTORS, limit),
        AlsSweep(FACTORS, l2=0.1, alpha=5.0, clip_norm=0.8, max_items_per_user=limit),
        ContentMoments(CONTENT, WIDTHS, limit),
        ContentProfiles(CONTENT, WIDTHS, FACTORS[:, 0][:5], FACTORS[:5], 0.3, limit),
        FieldRelevance(CONTENT, WIDTHS, limit),
    ]


every_statistic = pytest.mark.parametrize("statistic", statistics(4), ids=lambda s: s.name)
rows_of_items = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=14), min_size=1, max_size=4)


def newest_distinct_slowly(row: list[int], limit: int) -> list[int]:
    kept: list[int] = []
    for item in reversed(row):
        if item not in kept and len(kept) < limit:
            kept.append(item)
    return kept


@given(rows=rows_of_items, limit=st.integers(1, 8))
def test_counts_equal_the_slow_twin(rows: list[list[int]], limit: int) -> None:
    counts = np.zeros(NUM_ITEMS)
    for row in rows:
        for item in newest_distinct_slowly(row, limit):
            counts[item] += 1
    contribution = ItemCounts(NUM_ITEMS, limit).contribute(Histories.from_lists(rows, NUM_ITEMS))
    np.testing.assert_array_equal(contribution.values["counts"], counts)


@given(rows=rows_of_items, limit=st.integers(1, 8))
def test_gram_equals_the_slow_twin(rows: list[list[int]], limit: int) -> None:
    gram = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for row in rows:
        kept = newest_distinct_slowly(row, limit)
        for one in kept:
            for other in kept:
                gram[one, other] += 1
    contribution = ItemGram(NUM_ITEMS, limit).contribute(Histories.from_lists(rows, NUM_ITEMS))
    np.testing.assert_array_equal(triangle.unpack(contribution.values["gram"], NUM_ITEMS), gram)


def test_gram_over_several_blocks_of_rows_equals_the_dense_product() -> None:
    num_items = 1100
    rng = derive(0, "gram")
    rows = [rng.choice(num_items, size=30, replace=False).tolist() for _ in range(40)]
    histories = Histories.from_lists(rows, num_items)
    packed = ItemGram(num_items, num_items).contribute(histories).values["gram"]
    dense = histories.binary().toarray()
    np.testing.assert_array_equal(triangle.unpack(packed, num_items), dense.T @ dense)


@given(rows=rows_of_items, limit=st.integers(1, 8))
def test_transitions_equal_the_slow_twin(rows: list[list[int]], limit: int) -> None:
    counts = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for row in rows:
        pairs = list(itertools.pairwise(row))
        kept = newest_distinct_slowly([first * NUM_ITEMS + second for first, second in pairs], limit)
        for pair in kept:
            counts[pair // NUM_ITEMS, pair % NUM_ITEMS] += 1
    contribution = Transitions(NUM_ITEMS, limit).contribute(Histories.from_lists(rows, NUM_ITEMS))
    np.testing.assert_array_equal(contribution.values["transitions"], counts)


def test_a_step_that_a_user_repeats_counts_once() -> None:
    counts = Transitions(3, 3).contribute(Histories.from_lists([[0, 1, 0, 1]], 3)).values["transitions"]
    assert counts.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


@given(rows=rows_of_items, limit=st.integers(1, 8))
def test_gram_product_is_the_gram_times_the_basis(rows: list[list[int]], limit: int) -> None:
    histories = Histories.from_lists(rows, NUM_ITEMS)
    gram = triangle.unpack(ItemGram(NUM_ITEMS, limit).contribute(histories).values["gram"], NUM_ITEMS)
    product = GramProduct(FACTORS, limit).contribute(histories).values["product"]
    np.testing.assert_allclose(product, gram @ FACTORS, atol=1e-12)


def als_slowly(rows: list[list[int]], statistic: AlsSweep) -> dict[str, Any]:
    """Hu et al. 2008, eq. 4, user by user."""
    rank = FACTORS.shape[1]
    outer, linear = np.zeros((NUM_ITEMS, rank, rank)), np.zeros((NUM_ITEMS, rank))
    everyone = np.zeros((rank, rank))
    for row in rows:
        kept = newest_distinct_slowly(row, statistic.max_items_per_user)
        confidence = np.array([1 + statistic.alpha if i in kept else 1.0 for i in range(NUM_ITEMS)])
        wanted = np.array([1.0 if i in kept else 0.0 for i in range(NUM_ITEMS)])
        matrix = FACTORS.T @ np.diag(confidence) @ FACTORS + statistic.l2 * np.eye(rank)
        user = np.linalg.solve(matrix, FACTORS.T @ (confidence * wanted))
        user *= min(1.0, statistic.clip_norm / max(float(np.linalg.norm(user)), 1e-300))
        everyone += np.outer(user, user)
        for item in kept:
            outer[item] += np.outer(user, user)
            linear[item] += user
    return {"outer": outer, "linear": linear, "everyone": everyone}


@given(rows=rows_of_items, limit=st.integers(1, 8), clip_norm=st.sampled_from([0.3, 100.0]))
@settings(deadline=None)
def test_als_sweep_equals_per_user_loops(rows: list[list[int]], limit: int, clip_norm: float) -> None:
    statistic = AlsSweep(FACTORS, l2=0.1, alpha=5.0, clip_norm=clip_norm, max_items_per_user=limit)
    values = statistic.contribute(Histories.from_lists(rows, NUM_ITEMS)).values
    expected = als_slowly(rows, statistic)
    np.testing.assert_allclose(triangle.unpack_each(values["outer"], 3), expected["outer"], atol=1e-9)
    np.testing.assert_allclose(values["linear"], expected["linear"], atol=1e-9)
    np.testing.assert_allclose(triangle.unpack_each(values["everyone"][None], 3)[0], expected["everyone"], atol=1e-9)


@given(row=st.lists(st.integers(0, NUM_ITEMS - 1), max_size=20), limit=st.integers(1, 9), scale=st.floats(0.01, 50))
@settings(deadline=None)
def test_no_user_exceeds_the_stated_bounds(row: list[int], limit: int, scale: float) -> None:
    factors = FACTORS * scale
    clipped = AlsSweep(factors, l2=0.1, alpha=5.0, clip_norm=0.5, max_items_per_user=limit)
    for statistic in [*statistics(limit), GramProduct(factors, limit), clipped]:
        values = statistic.contribute(Histories.from_lists([row], NUM_ITEMS)).values
        for block in statistic.layout().blocks:
            assert np.linalg.norm(values[block.name]) <= block.user_l2 * (1 + 1e-9)
            assert np.abs(values[block.name]).max() <= block.user_max * (1 + 1e-9)


def test_bounds_are_reached_by_the_worst_user() -> None:
    worst = Histories.from_lists([[0, 1, 2, 3]], NUM_ITEMS)
    for statistic, l2 in (
        (ItemCounts(NUM_ITEMS, 4), 2.0),
        (ItemGram(NUM_ITEMS, 4), math.sqrt(10.0)),
        (Transitions(NUM_ITEMS, 3), math.sqrt(3.0)),
    ):
        (block,) = statistic.layout().blocks
        assert block.user_l2 == pytest.approx(l2)
        assert np.linalg.norm(statistic.contribute(worst).values[block.name]) == pytest.approx(l2)
    basis = np.full((NUM_ITEMS, 1), 1.0)
    (block,) = GramProduct(basis, 4).layout().blocks
    assert block.user_l2 == pytest.approx(8.0)  # two times x^T Q = 4
    assert np.linalg.norm(GramProduct(basis, 4).contribute(worst).values["product"]) == pytest.approx(8.0)


@every_statistic
def test_fixed_point_sum_of_two_clients_equals_the_pooled_sum_to_the_resolution(statistic: Statistic) -> None:
    rows = [[0, 1, 2, 0], [3], [], [5, 4, 3, 2, 1, 0], [2, 2]]
    encoding = plan(statistic.layout(), max_clients=2, max_users_per_client=3)
    parts = [
        encoding.decode(encoding.encode(statistic.contribute(Histories.from_lists(part, NUM_ITEMS))))
        for part in (rows[:2], rows[2:])
    ]
    pooled = statistic.contribute(Histories.from_lists(rows, NUM_ITEMS)).values
    for block in statistic.layout().blocks:
        difference = np.abs(parts[0][block.name] + parts[1][block.name] - pooled[block.name]).max()
        assert difference <= (0.0 if block.resolution == 1.0 else block.resolution + 1e-12)


@every_statistic
def test_a_client_without_users_contributes_zeros(statistic: Statistic) -> None:
    contribution = statistic.contribute(Histories.from_lists([], NUM_ITEMS))
    assert isinstance(contribution, Contribution)
    assert all(not value.any() for value in contribution.values.values())


@every_statistic
def test_histories_over_another_catalogue_are_refused(statistic: Statistic) -> None:
    with pytest.raises(ContributionError, match="same catalogue"):
        statistic.contribute(Histories.from_lists([[0]], NUM_ITEMS + 1))


@every_statistic
def test_wire_form_gives_back_the_same_sum(statistic: Statistic) -> None:
    params, arrays = statistic.to_wire()
    received = STATISTICS[statistic.name].from_wire(params, arrays)
    assert received.key == statistic.key
    histories = Histories.from_lists([[0, 1, 4], [2]], NUM_ITEMS)
    for name, value in statistic.contribute(histories).values.items():
        np.testing.assert_array_equal(received.contribute(histories).values[name], value)


@every_statistic
def test_damaged_wire_forms_are_refused(statistic: Statistic) -> None:
    kind = STATISTICS[statistic.name]
    params, arrays = statistic.to_wire()
    damaged: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, arrays),
        ({**params, "extra": 1}, arrays),
        (params, {**arrays, "extra": FACTORS}),
        ({**params, "max_items_per_user": 0}, arrays),
        ({**params, "max_items_per_user": "4"}, arrays),
        ({**params, "max_items_per_user": True}, arrays),
        ({**params, "max_items_per_user": None}, arrays),
        *[(params, {name: np.full_like(value, np.nan)}) for name, value in arrays.items()],
        *[(params, {name: value[0]}) for name, value in arrays.items()],
        *[(params, {name: value.astype(np.int64)}) for name, value in arrays.items()],
        *[({**params, name: 3.0}, {}) for name in arrays],
    ]
    for wrong_params, wrong_arrays in damaged:
        with pytest.raises(ProtocolError):
            kind.from_wire(wrong_params, wrong_arrays)


def test_keys_differ_where_the_sums_do() -> None:
    keys = [s.key for limit in (3, 4) for s in statistics(limit)]
    keys += [GramProduct(FACTORS + 1e-12, 4).key, AlsSweep(FACTORS, 0.2, 5.0, 0.8, 4).key, ItemGram(7, 4).key]
    assert len(set(keys)) == len(keys)
