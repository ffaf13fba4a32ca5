"""Content in the place of factors that an item cannot have yet."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.models import ALS, PCA, ContentFactors, ItemFeatures, fit, fit_all, pooled_sum
from fedrec.models.alignment import alignment, completed
from fedrec.models.content_factors import FACTORS
from fedrec.rng import derive

CONTENT = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
GROUPS = 3
OFF = {"half_life": None, "window": None}


def test_one_direction_by_hand():
    """Factors 3 and 5 of content 1, one item each: T = (3 + 5) / (1 + 1 + l2), for l2 = 2."""
    found = alignment(np.ones((3, 1)), np.array([[3.0], [5.0], [9.0]]), np.array([1.0, 70.0, 0.0]), l2=2.0)
    np.testing.assert_allclose(found, [[2.0]])


def test_only_items_that_nobody_had_are_told_by_their_content():
    factors = np.array([[2.0, 0.0], [0.0, 4.0], [9.0, 9.0], [9.0, 9.0]], np.float32)
    found = completed(CONTENT, factors, np.array([5.0, 1.0, 0.0, -0.5]), l2=1.0)
    np.testing.assert_allclose(found, [[2.0, 0.0], [0.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    assert found.dtype == np.float32


def test_where_nobody_had_anything_content_tells_nothing():
    np.testing.assert_array_equal(alignment(CONTENT, np.ones((4, 2)), np.zeros(4), l2=1.0), np.zeros((2, 2)))


def test_content_of_other_items_is_refused():
    with pytest.raises(ModelError, match="got 3, 4 and 4; use one catalogue"):
        alignment(CONTENT[:3], np.ones((4, 2)), np.ones(4), l2=1.0)


def tastes(num_users: int, num_items: int = 30) -> tuple[Histories, ItemFeatures]:
    """Each user keeps to one of three groups of items, which content tells; nobody has the last three, one of each."""
    rng = derive(0, "tastes")
    groups = np.arange(num_items) % GROUPS
    old = np.arange(num_items - GROUPS)
    rows = [rng.permutation(old[groups[:-GROUPS] == user % GROUPS])[:5].tolist() for user in range(num_users)]
    content = np.eye(GROUPS)[groups] + 0.1 * rng.standard_normal((num_items, GROUPS))
    return Histories.from_lists(rows, num_items), ItemFeatures(num_items, content.astype(np.float32))


@pytest.mark.parametrize("model", [ContentFactors(rank=3, **OFF), ContentFactors("pca", rank=3, **OFF)])
def test_an_item_that_nobody_had_is_ranked_by_those_who_like_its_kind(model):
    rows, items = tastes(num_users=60)
    scores = model.scores(fit(model, items, pooled_sum([rows])), rows)[:, -GROUPS:]
    np.testing.assert_array_equal(scores.argmax(axis=1), (np.arange(60) + items.num_items - GROUPS) % GROUPS)


@pytest.mark.parametrize(
    ("model", "base"), [(ContentFactors(rank=3, **OFF), ALS(rank=3, **OFF)), (ContentFactors("pca", 3, **OFF), PCA(3))]
)
def test_items_that_somebody_had_keep_the_factors_that_the_same_sums_gave_them(model, base):
    rows, items = tastes(num_users=20)
    asked: list[str] = []

    def total(statistic):
        asked.append(statistic.key)
        return pooled_sum([rows])(statistic)

    found = fit_all({"base": base, "whole": model}, items, total)
    assert len(asked) == len(set(asked))
    before, after = (found[label][FACTORS[model.base]] for label in ("base", "whole"))
    np.testing.assert_array_equal(before[:-GROUPS], after[:-GROUPS])
    assert not before[-GROUPS:].any()
    assert after[-GROUPS:].any(axis=1).all()


def test_without_content_it_is_refused():
    with pytest.raises(ModelError, match="ContentFactors needs content vectors"):
        ContentFactors(rank=2).begin(ItemFeatures(5))


def test_only_a_closed_form_that_has_factors_can_be_the_base():
    with pytest.raises(ConfigError, match="Expected base='ease' to be one of als, pca"):
        ContentFactors("ease")
