"""The sampled protocol: there for comparison with old papers, and never without its label."""

import numpy as np

from fedrec.data.histories import Histories
from fedrec.metrics import RankingProtocol, UserMetrics, evaluate

LABEL = "(99 sampled negatives, not comparable)"
NUM_USERS, NUM_ITEMS = 300, 1000


def run(protocol: RankingProtocol, num_items: int = NUM_ITEMS) -> UserMetrics:
    """Item i scores -i, the target is always item 50, nobody has seen anything but the last item."""
    row = -np.arange(num_items, dtype=np.float64)
    return evaluate(
        lambda start, stop: np.tile(row, (stop - start, 1)),
        Histories.from_lists([[num_items - 1]] * NUM_USERS, num_items),
        Histories.from_lists([[50]] * NUM_USERS, num_items),
        item_counts=np.ones(num_items),
        protocol=protocol,
    )


def test_every_sampled_metric_carries_the_warning_in_its_name() -> None:
    names = RankingProtocol(sampled_negatives=99).metric_names
    assert f"HR@10 {LABEL}" in names
    assert all(name.endswith(LABEL) for name in names)
    assert set(names).isdisjoint(RankingProtocol().metric_names)


def test_sampling_flatters() -> None:
    # 50 of 998 negatives score higher: the rank is 51, but among 99 samples only about 1 + 99 x 50 / 998 = 6
    assert run(RankingProtocol()).of("HR@10").mean() == 0.0
    sampled = run(RankingProtocol(sampled_negatives=99)).of(f"HR@10 {LABEL}")
    assert sampled.mean() > 0.9


def test_auc_is_that_of_a_sample_of_ninety_nine() -> None:
    # the AUC of each user is (99 - negatives ahead) / 99, and unbiased for 1 - 50/998; its deviation over
    # 300 users is below .0013, so a false alarm has probability below 1e-8
    values = run(RankingProtocol(sampled_negatives=99)).of(f"AUC {LABEL}")
    np.testing.assert_allclose(values * 99, np.round(values * 99), atol=1e-9)
    assert abs(values.mean() - (1 - 50 / 998)) < 0.0075


def test_the_shown_lists_are_never_sampled() -> None:
    sampled = run(RankingProtocol(sampled_negatives=99))
    assert sampled.lists[0].tolist() == list(range(10))


def test_samples_follow_from_the_seed() -> None:
    def values(seed: int) -> list[float]:
        return run(RankingProtocol(sampled_negatives=99, seed=seed)).of(f"MRR@10 {LABEL}").tolist()

    assert values(1) == values(1)
    assert values(1) != values(2)


def test_a_small_catalogue_is_ranked_whole() -> None:
    full, sampled = run(RankingProtocol(), 60), run(RankingProtocol(sampled_negatives=99), 60)
    assert sampled.slices["all"].values.tolist() == full.slices["all"].values.tolist()
