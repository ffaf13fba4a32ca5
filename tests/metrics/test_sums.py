"""Sums: what leaves a client, how much one user can change it, and what is read from it."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ContributionError
from fedrec.metrics import MetricSums, RankingProtocol, UserMetrics, evaluate, over_seeds
from fedrec.metrics.bootstrap import replicate_sums

PROTOCOL = RankingProtocol(ks=(3, 5), list_length=4, num_bootstrap=20)
NUM_ITEMS = 30
COUNTS = np.arange(NUM_ITEMS)


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Random users: tied scores, several targets, some histories empty."""

    scores: np.ndarray
    seen: Histories
    targets: Histories

    @staticmethod
    def of(num_users: int, seed: int) -> "Crowd":
        rng = np.random.default_rng(seed)
        scores = rng.integers(0, 8, (num_users, NUM_ITEMS)).astype(np.float64)
        seen = [rng.choice(NUM_ITEMS, rng.integers(0, 12), replace=False).tolist() for _ in range(num_users)]
        targets = [rng.choice(NUM_ITEMS, rng.integers(1, 6), replace=False).tolist() for _ in range(num_users)]
        return Crowd(scores, Histories.from_lists(seen, NUM_ITEMS), Histories.from_lists(targets, NUM_ITEMS))

    def metrics(self, rows: np.ndarray, protocol: RankingProtocol = PROTOCOL) -> UserMetrics:
        scores = self.scores[rows]
        vectors = np.random.default_rng(5).normal(size=(NUM_ITEMS, 3))
        return evaluate(
            lambda start, stop: scores[start:stop],
            self.seen.select(rows),
            self.targets.select(rows),
            item_counts=COUNTS,
            item_vectors=vectors,
            protocol=protocol,
        )

    def sums(self, rows: np.ndarray) -> MetricSums:
        return MetricSums.of(self.metrics(rows), tenant="shop", positions=rows)


def assert_equal_sums(got: MetricSums, expected: MetricSums) -> None:
    assert got.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        np.testing.assert_allclose(got.values[name], value, rtol=0, atol=1e-9, err_msg=name)


def test_two_parts_add_up_to_the_evaluation_of_both() -> None:
    crowd = Crowd.of(60, seed=1)
    parts = crowd.sums(np.arange(0, 25)) + crowd.sums(np.arange(25, 60))
    assert_equal_sums(parts, crowd.sums(np.arange(60)))


def test_nobody_adds_nothing() -> None:
    crowd = Crowd.of(10, seed=2)
    nobody = crowd.sums(np.arange(0))
    assert_equal_sums(nobody, MetricSums.zero(PROTOCOL, NUM_ITEMS))
    assert_equal_sums(nobody + crowd.sums(np.arange(10)), crowd.sums(np.arange(10)))
    assert nobody.contribution().num_users == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_one_user_stays_within_the_stated_bounds(seed: int) -> None:
    sums = Crowd.of(1, seed).sums(np.arange(1))
    for block in sums.contribution().layout.blocks:
        value = sums.values[block.name]
        assert np.abs(value).max(initial=0.0) <= block.user_max, block.name
        assert np.linalg.norm(value) <= block.user_l2, block.name


def test_the_layout_states_what_one_user_can_add() -> None:
    blocks = {block.name: block for block in MetricSums.layout(PROTOCOL, NUM_ITEMS).blocks}
    assert (blocks["exposure"].user_max, blocks["exposure"].user_l2) == (1.0, 2.0)
    assert blocks["users"].user_l2 == math.sqrt(6)  # all, one activity slice, four target slices
    assert blocks["novelty"].user_l2 == PROTOCOL.novelty_cap
    assert blocks["bootstrap_users"].user_max == 8
    assert {name for name, block in blocks.items() if block.resolution == 1.0} == {
        "users",
        "exposure",
        "bootstrap_users",
    }


def test_other_users_bootstrap_weights_stay_when_one_has_nothing_to_evaluate() -> None:
    crowd = Crowd.of(12, seed=3)
    others = np.delete(np.arange(12), 4)
    assert_equal_sums(crowd.sums(others) + crowd.sums(np.array([4])), crowd.sums(np.arange(12)))


def test_tenants_have_independent_bootstrap_weights() -> None:
    table, positions = np.ones((50, 1)), np.arange(50)
    one, again, other = (replicate_sums(table, positions, 30, 7, name) for name in ("a", "a", "b"))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_bootstrap_weights_have_the_mean_and_variance_of_poisson_one() -> None:
    # sums over 5,000 users in 400 replicates are about normal with mean and variance 5,000: the mean of 400
    # lies within 5 deviations (18) except once in 1e6, the variance within 40 % except once in 1e7
    sums = replicate_sums(np.ones((5000, 1)), np.arange(5000), 400, 8, "a")[:, 0]
    assert abs(sums.mean() - 5000) < 18
    assert 0.6 < sums.var() / 5000 < 1.4


def test_a_total_reads_as_the_sums_it_is_made_of() -> None:
    crowd = Crowd.of(20, seed=4)
    contribution = crowd.sums(np.arange(20)).contribution()
    total = Total(contribution.layout, contribution.values, num_clients=1)
    read = MetricSums.from_total(total, PROTOCOL)
    assert_equal_sums(read, crowd.sums(np.arange(20)))
    assert read.num_users == crowd.sums(np.arange(20)).num_users


def test_a_total_of_another_protocol_is_refused() -> None:
    contribution = Crowd.of(5, seed=5).sums(np.arange(5)).contribution()
    total = Total(contribution.layout, contribution.values, num_clients=1)
    with pytest.raises(ContributionError, match="protocol"):
        MetricSums.from_total(total, dataclasses.replace(PROTOCOL, ks=(3, 5, 10)))


def test_sums_of_different_protocols_do_not_add() -> None:
    with pytest.raises(ConfigError, match="alike"):
        MetricSums.zero(PROTOCOL, 5) + MetricSums.zero(PROTOCOL, 6)


def test_the_summary_is_the_means_of_the_users() -> None:
    metrics = Crowd.of(40, seed=6).metrics(np.arange(40))
    summary = MetricSums.of(metrics, tenant="shop").summary()
    for name, part in metrics.slices.items():
        for metric in PROTOCOL.metric_names:
            figures = summary[name][metric]
            assert figures["users"] == len(part.members)
            if len(part.members):
                assert figures["mean"] == pytest.approx(metrics.of(metric, name).mean())
            else:
                assert figures["mean"] is None
    assert summary["lists"]["novelty@4"]["mean"] == pytest.approx(metrics.novelty.mean())
    assert summary["lists"]["diversity@4"]["mean"] == pytest.approx(np.nanmean(metrics.diversity))
    shown = {item for row in metrics.lists.tolist() for item in row if item >= 0}
    assert summary["lists"]["coverage@4"]["mean"] == len(shown) / NUM_ITEMS
    json.dumps(summary, allow_nan=False)


def test_an_empty_summary_has_no_means() -> None:
    summary = MetricSums.zero(PROTOCOL, NUM_ITEMS).summary()
    assert summary["all"]["HR@3"] == {"mean": None, "users": 0, "low": None, "high": None}
    assert summary["lists"]["gini@4"]["mean"] is None
    json.dumps(summary, allow_nan=False)


def test_without_replicates_there_are_no_intervals() -> None:
    protocol = dataclasses.replace(PROTOCOL, num_bootstrap=0)
    metrics = Crowd.of(10, seed=7).metrics(np.arange(10), protocol)
    assert set(MetricSums.of(metrics, tenant="shop").summary()["all"]["HR@3"]) == {"mean", "users"}


def test_without_item_vectors_there_is_no_diversity() -> None:
    crowd = Crowd.of(3, seed=8)
    metrics = evaluate(lambda start, stop: crowd.scores[start:stop], crowd.seen, crowd.targets, item_counts=COUNTS)
    assert MetricSums.of(metrics, tenant="shop").summary()["lists"]["diversity@10"]["mean"] is None


def test_the_interval_is_as_wide_as_theory_says() -> None:
    # HR of 800 users is a mean of values with deviation s: the 95 % interval is 2 x 1.96 s / sqrt(800) wide;
    # with 400 replicates the estimated width is within 25 % except once in 1e4 (and the seed is fixed)
    protocol = dataclasses.replace(PROTOCOL, num_bootstrap=400)
    metrics = Crowd.of(800, seed=9).metrics(np.arange(800), protocol)
    figures = MetricSums.of(metrics, tenant="shop").summary()["all"]["HR@3"]
    values = metrics.of("HR@3")
    width = 2 * 1.96 * values.std() / math.sqrt(len(values))
    assert figures["low"] < figures["mean"] < figures["high"]
    assert (figures["high"] - figures["low"]) / width == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_a_confidence_outside_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(ConfigError, match="confidence"):
        MetricSums.zero(PROTOCOL, NUM_ITEMS).summary(confidence)


def test_seeds_are_reported_as_mean_and_deviation() -> None:
    runs = [{"all": {"HR@10": {"mean": mean, "users": 5}}} for mean in (0.1, 0.2, 0.6)]
    figures = over_seeds(runs)["all"]["HR@10"]
    # deviations -.2, -.1, .3: variance (.04 + .01 + .09) / 2
    assert figures == {"mean": pytest.approx(0.3), "std": pytest.approx(math.sqrt(0.07)), "seeds": 3}


def test_one_seed_has_no_deviation_and_a_missing_figure_no_mean() -> None:
    one = {"all": {"HR@10": {"mean": 0.1, "users": 5}}}
    none = {"all": {"HR@10": {"mean": None, "users": 0}}}
    assert over_seeds([one])["all"]["HR@10"] == {"mean": 0.1, "std": None, "seeds": 1}
    assert over_seeds([one, none])["all"]["HR@10"] == {"mean": None, "std": None, "seeds": 2}


def test_seeds_that_measured_different_things_are_refused() -> None:
    with pytest.raises(ConfigError, match="alike"):
        over_seeds([{"all": {"HR@10": {"mean": 0.1}}}, {"all": {"HR@20": {"mean": 0.1}}}])
    with pytest.raises(ConfigError, match="at least one"):
        over_seeds([])
