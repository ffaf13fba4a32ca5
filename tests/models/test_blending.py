"""One list from several recommenders: common units, weights, and who steps in. Every number is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.data import Histories
from fedrec.models import Popularity
from fedrec.models.blending import GRID, PARTS, Blend, Voice, blend, standardised

COLLABORATIVE, CONTENT, POPULARITY = (PARTS.index(part) for part in ("collaborative", "content", "popularity"))


def mix(**weights: float) -> tuple[float, ...]:
    return tuple(weights.get(part, 0.0) for part in PARTS)


def voice(scores: list[float], known: str = "1111") -> Voice:
    """The same scores for everyone. known: one digit an item, whether somebody had it."""

    class Fixed(Popularity):
        def scores(self, weights, histories):
            return np.tile(np.array(scores), (histories.num_users, 1))

    return Voice(Fixed(), {"popularity": np.array([float(digit) for digit in known])})


def blended(history: list[int], cold: str = "0000", **voices: Voice) -> Blend:
    is_cold = np.array([digit == "1" for digit in cold])
    return blend(voices, Histories.from_lists([history], 4), np.arange(4), is_cold, seen=True)


def test_scores_are_in_standard_deviations_of_what_may_be_shown():
    allowed = np.array([[True, True, True, False]])
    found = standardised(np.array([[1.0, 2.0, 3.0, 100.0]]), allowed)
    assert found[0] == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5, 0.0], rel=1e-6)


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [7e6, 7e6, 7e6], [0.1, 0.1, 0.1 + 1e-9]])
def test_scores_that_do_not_differ_say_nothing(scores):
    assert not standardised(np.array([scores]), np.ones((1, 3), np.bool_)).any()


def test_an_item_that_must_come_last_does_and_moves_no_other():
    found = standardised(np.array([[1.0, 3.0, -np.inf]]), np.ones((1, 3), np.bool_))
    assert found[0] == pytest.approx([-1.0, 1.0, -10.0])


def test_a_mix_adds_its_parts_by_weight():
    found = blended([0], collaborative=voice([0, 0, 0, 2]), popularity=voice([3, 1, 1, 1]))
    one, two = standardised(np.array([[0, 0, 0, 2.0], [3.0, 1, 1, 1]]), np.ones((2, 4), np.bool_))
    assert found.scores(mix(collaborative=1, popularity=0.25))[0] == pytest.approx(0.8 * one + 0.2 * two, rel=1e-6)


def test_a_user_without_history_is_served_by_popularity_whatever_the_mix():
    voices = {"collaborative": voice([1, 2, 3, 4]), "content": voice([4, 3, 2, 1]), "popularity": voice([2, 9, 1, 1])}
    found = blended([], **voices)
    for one in GRID:
        assert found.leading(one).tolist() == [POPULARITY]
        assert found.scores(one).argmax() == 1


def test_a_history_that_the_collaborative_part_does_not_know_goes_to_content():
    voices = {"collaborative": voice([4, 3, 2, 1], known="1110"), "content": voice([1, 2, 3, 4])}
    unknown, known = (blended([item], **voices, popularity=voice([1, 5, 1, 1])) for item in (3, 0))
    assert unknown.weights(mix(collaborative=1, popularity=0.25))[:, 0].tolist() == [0, 0, 0, 0.8, 0.2]
    assert known.leading(mix(collaborative=1)).tolist() == [COLLABORATIVE]
    assert unknown.leading(mix(collaborative=1)).tolist() == [CONTENT]


def test_the_tenants_own_part_stands_in_for_nothing_but_itself():
    """Where one recommender by ids has something to say, the weight of the others goes to nobody."""
    found = blended([0], collaborative=voice([1, 2, 3, 4]), content=voice([1, 2, 3, 4]), popularity=voice([1, 2, 3, 4]))
    assert found.weights(mix(collaborative=1, own=0.5))[:, 0].tolist() == [1, 0, 0, 0, 0]
    assert found.weights(mix(own=1))[:, 0].tolist() == [0, 0, 0, 1, 0]


def test_without_content_the_last_to_step_in_is_popularity():
    found = blended([3], collaborative=voice([4, 3, 2, 1], known="1110"), popularity=voice([1, 5, 1, 1]))
    assert found.leading(mix(collaborative=1)).tolist() == [POPULARITY]


def test_a_cold_item_has_the_score_of_its_content():
    voices = {"collaborative": voice([3, 2, 1, 0]), "content": voice([0, 0, 0, 9]), "popularity": voice([1, 1, 1, 1])}
    found = blended([0], cold="0001", **voices)
    content = standardised(np.array([[0, 0, 0, 9.0]]), np.ones((1, 4), np.bool_))[0]
    assert found.scores(mix(collaborative=0.75, content=0.25))[0, 3] == pytest.approx(content[3], rel=1e-6)
    alone = standardised(np.array([[3, 2, 1, 0.0]]), np.ones((1, 4), np.bool_))[0]
    assert found.scores(mix(collaborative=1))[0] == pytest.approx(alone, rel=1e-6)


def test_every_part_alone_is_among_the_mixes():
    for part in PARTS:
        assert mix(**{part: 1.0}) in GRID
    assert len(set(GRID)) == len(GRID)
