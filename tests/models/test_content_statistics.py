"""The sums over content against slow twins, and whitening against what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.models import triangle
from fedrec.models.content_whitening import Whitening, second_moment, whitening_of
from fedrec.models.statistics import ContentMoments, ContentProfiles, FieldRelevance
from fedrec.rng import derive

WIDTHS = np.array([2, 2])
A, B, C, D, E = range(5)
CONTENT = np.float32(
    [
        [0.6, 0.0, 0.8, 0.0],
        [0.6, 0.0, 0.0, 0.8],
        [0.0, 0.6, 0.8, 0.0],
        [1.0, 0.0, 0.0, 0.0],  # the second field is not known
        [0.0, 0.0, 0.0, 0.0],  # nothing is known
    ]
)


def histories(*rows: list[int]) -> Histories:
    return Histories.from_lists(list(rows), len(CONTENT))


def test_moments_are_means_over_each_user_of_outer_products_of_content_and_its_lengths() -> None:
    lengths = [[0.6, 0.8], [0.6, 0.8], [0.6, 0.8], [1.0, 0.0], [0.0, 0.0]]
    g = np.hstack([CONTENT.astype(np.float64), np.array(lengths)])
    rows = [[A, B, A], [D], [E], [], [A, B, C, D]]
    expected = np.zeros((6, 6))
    for row in ([B, A], [D], [E], [C, D]):  # the two newest, each once
        expected += sum(np.outer(g[i], g[i]) for i in row) / len(row) / 2
    packed = ContentMoments(CONTENT, WIDTHS, 2).contribute(histories(*rows)).values["moment"]
    np.testing.assert_allclose(triangle.unpack(packed, 6), expected, atol=1e-7)


def test_a_profile_has_length_one_however_many_items_a_user_has() -> None:
    statistic = ContentProfiles(CONTENT, WIDTHS, np.zeros(4), np.eye(4), 0.5, 4)
    one = statistic.contribute(histories([A])).values["profiles"]
    q = np.array([0.6, 0.0, 0.8, 0.0, 0.5]) / 1.25**0.5
    np.testing.assert_allclose(triangle.unpack(one, 5), np.outer(q, q), atol=1e-7)
    many = triangle.unpack(statistic.contribute(histories([A, B, C, D, A])).values["profiles"], 5)
    assert np.trace(many) == pytest.approx(1.0)
    both = statistic.contribute(histories([A], [A], [])).values["profiles"]
    np.testing.assert_allclose(both, 2 * one)


def relevance_slowly(rows: list[list[int]], content: np.ndarray) -> list[float]:
    """asked, ahead and spread of one field that is all of `content`, user by user."""
    sums = [0.0, 0.0, 0.0]
    known = [bool(row.any()) for row in content]
    units = [row / max(float(np.linalg.norm(row)), 1e-12) for row in content]
    for row in rows:
        kept = list(dict.fromkeys(reversed(row)))  # newest first
        if len(kept) < 2 or not known[kept[0]]:
            continue
        older = [item for item in kept[1:] if known[item]]
        others = [item for item in range(len(content)) if known[item] and item not in kept]
        if not older or not others:
            continue
        profile = sum(units[item] for item in older) / len(older)
        own = float(profile @ units[kept[0]])
        like = [float(profile @ units[item]) for item in others]
        sums[0] += 1
        sums[1] += sum(1.0 if x < own - 1e-9 else 0.5 if abs(x - own) < 1e-9 else 0.0 for x in like) / len(like)
        sums[2] += 1 - float(profile @ profile)
    return sums


def test_relevance_equals_the_slow_twin() -> None:
    rng = derive(0, "relevance")
    content = rng.integers(-1, 2, size=(30, 4)).astype(np.float32)  # few values, so that there are ties
    content[::7] = 0.0
    rows = [rng.integers(0, 30, size=int(rng.integers(0, 9))).tolist() for _ in range(40)]
    values = FieldRelevance(content, np.array([4]), 30).contribute(Histories.from_lists(rows, 30)).values
    expected = relevance_slowly(rows, content)
    assert expected[0] > 20
    np.testing.assert_allclose([values[name][0] for name in ("asked", "ahead", "spread")], expected)


def test_only_users_who_know_a_field_are_asked_for_its_relevance() -> None:
    values = FieldRelevance(CONTENT, WIDTHS, 5).contribute(histories([A, B], [A, D])).values
    assert values["asked"].tolist() == [2.0, 1.0]  # D is not known in the second field
    assert values["ahead"].tolist() == [0.75 + 0.75, 0.0]  # first field: C is behind, D or B ties; second: C is ahead
    assert values["spread"].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def whitened(content: np.ndarray, widths: np.ndarray, rank: int) -> tuple[Whitening, np.ndarray]:
    whitening = whitening_of(second_moment(content, widths), widths, rank)
    return whitening, whitening.apply(content)


def test_whitened_directions_are_uncorrelated_and_of_equal_variance() -> None:
    raw = derive(1, "white").standard_normal((500, 6)) @ derive(2, "mix").standard_normal((6, 6))
    content = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    _, vectors = whitened(content, np.array([6]), 4)
    np.testing.assert_allclose(vectors.T @ vectors / 500, np.eye(4) / 4, atol=1e-6)
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=1e-6)


def test_a_field_that_is_not_known_adds_nothing() -> None:
    whitening, vectors = whitened(CONTENT, WIDTHS, 4)
    assert not vectors[E].any()
    expected = (CONTENT[D, :2] - whitening.mean[:2]) @ whitening.basis[:2]
    np.testing.assert_allclose(vectors[D], expected, atol=1e-12)
    both = CONTENT[A].astype(np.float64) - np.array([0.6, 0.6, 0.8, 0.8]) * whitening.mean
    np.testing.assert_allclose(vectors[A], both @ whitening.basis, atol=1e-6)


def test_moments_over_users_whiten_like_a_catalogue_of_what_they_have() -> None:
    rows = [[A], [B], [C], [D]]
    packed = ContentMoments(CONTENT, WIDTHS, 5).contribute(histories(*rows)).values["moment"]
    of_users = whitening_of(triangle.unpack(packed, 6), WIDTHS, 4)
    _, of_catalogue = whitened(CONTENT, WIDTHS, 4)
    one, other = of_users.apply(CONTENT), of_catalogue
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-5)  # equal up to a rotation


def test_content_that_does_not_vary_leaves_no_direction() -> None:
    whitening, vectors = whitened(np.ones((3, 4), np.float32) / 2, np.array([4]), 3)
    assert vectors.shape == (3, 0)
    assert whitening.basis.shape == (4, 0)
