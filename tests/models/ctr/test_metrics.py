"""AUC, log-loss and calibration from sums, against numbers by hand and slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedrec.contribution import Total
from fedrec.errors import ConfigError, DataError
from fedrec.models.ctr import ClickFigures, ClickProtocol, ClickSums
from fedrec.models.ctr.metrics import RESOLUTION
from fedrec.privacy.fixed_point import add, plan
from fedrec.rng import derive

PROTOCOL = ClickProtocol()


def sums(rows: list[tuple[int, bool, float]], protocol: ClickProtocol = PROTOCOL) -> ClickSums:
    """Events as (user, label, probability)."""
    users, clicked, probabilities = zip(*rows, strict=True)
    return ClickSums.of(np.array(users), np.array(clicked), np.array(probabilities, np.float64), protocol)


def figures(rows: list[tuple[int, bool, float]], protocol: ClickProtocol = PROTOCOL) -> ClickFigures:
    return sums(rows, protocol).figures()


def slow_auc(clicked: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    """Every pair of a click and another event, one by one."""
    won = pairs = 0.0
    for one in np.flatnonzero(clicked):
        for other in np.flatnonzero(~clicked):
            weight = weights[one] * weights[other]
            pairs += weight
            won += weight * (
                0.5 if probabilities[one] == probabilities[other] else probabilities[one] > probabilities[other]
            )
    return won / pairs


def random_rows(num_users: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users with 1 to 6 events each, whose labels follow the probabilities."""
    rng = derive(seed, "rows")
    users = np.repeat(np.arange(num_users), rng.integers(1, 7, num_users))
    probabilities = rng.beta(2, 3, len(users))
    return users, rng.random(len(users)) < probabilities, probabilities


def test_auc_with_ties_by_hand():
    """Pairs of .8 and .5 against .8, .2: a tie, won, lost, won: 2.5 of 4."""
    found = figures([(0, True, 0.8), (1, True, 0.5), (2, False, 0.8), (3, False, 0.2)])
    assert found.auc == 0.625
    assert found.auc_margin == 0.125


def test_auc_from_counts_is_that_of_all_pairs_within_its_margin():
    users, clicked, probabilities = random_rows(150)
    found = ClickSums.of(users, clicked, probabilities, PROTOCOL).figures()
    weights = 1 / np.bincount(users)[users]
    assert found.auc_margin < 0.001
    assert found.auc == pytest.approx(slow_auc(clicked, probabilities, weights), abs=found.auc_margin + 1e-6)


def test_auc_is_exact_where_predictions_are_bins():
    users, clicked, probabilities = random_rows(80, seed=1)
    probabilities = np.floor(probabilities * 20) / 20
    found = ClickSums.of(users, clicked, probabilities + 0.01, ClickProtocol(bins=20, groups=10)).figures()
    assert found.auc == pytest.approx(slow_auc(clicked, probabilities, 1 / np.bincount(users)[users]), abs=1e-6)


def test_log_loss_by_hand():
    found = figures([(0, True, 0.25), (0, False, 0.5), (1, False, 0.75)])
    assert found.log_loss == pytest.approx(((math.log(4) + math.log(2)) / 2 + math.log(4)) / 2, abs=1e-6)


def test_one_event_costs_no_more_than_the_bound():
    assert figures([(0, True, 0.0), (1, False, 1.0)], ClickProtocol(largest_loss=3.0)).log_loss == pytest.approx(3.0)


def test_calibration_by_hand():
    rows = [(0, True, 0.12), (1, False, 0.18), (2, False, 0.15), (3, False, 0.15), (4, True, 0.85), (5, True, 0.95)]
    found = figures(rows, ClickProtocol(bins=100, groups=10))
    shares = [(group.low, group.high, group.share, group.predicted, group.clicked) for group in found.reliability]
    expected = [(0.1, 0.2, 4 / 6, 0.15, 0.25), (0.8, 0.9, 1 / 6, 0.85, 1.0), (0.9, 1.0, 1 / 6, 0.95, 1.0)]
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    assert found.calibration_error == pytest.approx((4 * 0.1 + 0.15 + 0.05) / 6, abs=1e-6)
    assert (found.base_rate, found.predicted_rate) == pytest.approx((0.5, 2.4 / 6), abs=1e-6)


def test_the_base_rate_itself_is_calibrated_and_says_nothing():
    found = figures([(user, user % 4 == 0, 0.25) for user in range(40)])
    assert found.auc == 0.5
    assert found.calibration_error == pytest.approx(0, abs=1e-6)
    assert found.log_loss == pytest.approx(found.base_log_loss, abs=1e-6)
    assert found.base_log_loss == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3), abs=1e-6)


def test_each_user_weighs_one():
    many = [(0, True, 0.9)] * 50 + [(1, False, 0.3)]
    assert figures(many).base_rate == pytest.approx(0.5, abs=1e-5)
    assert figures(many).log_loss == pytest.approx(figures([many[0], many[-1]]).log_loss, abs=1e-5)
    assert figures(many).users == 2


@pytest.mark.parametrize("number", [1, 3, 7, 1000])
def test_a_users_part_is_within_its_bound_and_on_the_grid(number):
    rows = [(0, place % 2 == 0, (place % 3) / 2) for place in range(number)]
    blocks = {block.name: block for block in PROTOCOL.layout().blocks}
    for name, value in sums(rows).values.items():
        assert np.sqrt((value**2).sum()) <= blocks[name].user_l2
        assert np.abs(value).max() <= blocks[name].user_max
        np.testing.assert_array_equal(value % RESOLUTION, 0)
    assert sums(rows).contribution().num_users == 1


def test_a_secure_sum_over_tenants_gives_the_figures_of_all_rows_bit_for_bit():
    users, clicked, probabilities = random_rows(60, seed=2)
    encoding = plan(PROTOCOL.layout(), max_clients=1024, max_users_per_client=1_000_000)
    words = None
    for tenant in range(3):
        mine = users % 3 == tenant
        part = ClickSums.of(users[mine], clicked[mine], probabilities[mine], PROTOCOL).contribution()
        words = encoding.encode(part) if words is None else add(words, encoding.encode(part))
    total = ClickSums.from_total(Total(PROTOCOL.layout(), encoding.decode(words), 3), PROTOCOL)
    assert total.figures() == ClickSums.of(users, clicked, probabilities, PROTOCOL).figures()


def test_a_tenant_without_held_out_events_adds_nothing():
    nobody = ClickSums.of(np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0), PROTOCOL)
    assert nobody.contribution().num_users == 0
    assert not any(value.any() for value in nobody.values.values())
    with pytest.raises(DataError, match="no user has a held-out event"):
        nobody.figures()


def test_equal_labels_have_no_auc():
    found = figures([(0, True, 0.7), (1, True, 0.6)])
    assert found.auc is None
    assert found.base_log_loss == 0
    assert "all labels are the same" in found.text()


def test_the_report_says_what_there_is():
    text = figures([(0, True, 0.8), (1, True, 0.5), (2, False, 0.8), (3, False, 0.2)]).text()
    assert "AUC                0.6250 (+-0.1250)" in text
    assert "0.80 - 0.90   0.5000   0.8000   0.5000" in text


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(DataError, match="give probabilities"):
        figures([(0, True, wrong)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bins": 0}, "Expected a whole number bins=0 >= 1"),
        ({"bins": 15, "groups": 10}, "Expected bins=15 to be a multiple of groups=10"),
        ({"largest_loss": 0.0}, r"Expected largest_loss=0\.0 > 0"),
    ],
)
def test_wrong_protocols_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ClickProtocol(**wrong)
