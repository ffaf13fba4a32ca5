"""Both sides of each placement: what leaves a client, what the server gets, and how much noise is on it.

Statistical tests would fail by chance less than once in 10^8 runs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedrec.contribution import Block, Contribution, Layout, Total, add
from fedrec.errors import ConfigError, ContributionError, ProtocolError, Refusal
from fedrec.privacy.policy import Central, Distributed, Local, Placed, noise_on, placed
from fedrec.privacy.release import Release, noised_release_of

SIZE = 40_000
COUNTS = Layout((Block("0/counts", (SIZE,), user_l2=2.0, user_max=1.0, user_nonzeros=4, exact=True),))
CLIENTS, SHARERS, MULTIPLIER = 5, 4, 1.5


def released(placement: Placed) -> tuple[Release, Total]:
    """The sum of five clients that each count 7 everywhere."""
    release = noised_release_of(COUNTS, CLIENTS, 100, placement, [MULTIPLIER])
    contribution = Contribution(COUNTS, {"0/counts": np.full(SIZE, 7.0)}, 50)
    words = release.prepare(contribution)
    for _ in range(CLIENTS - 1):
        words = add(words, release.prepare(contribution))
    release.check(words)
    return release, release.open(words, CLIENTS)


@pytest.mark.parametrize(
    ("placement", "std"),
    [
        (Distributed(SHARERS), MULTIPLIER * 2.0 * (CLIENTS / SHARERS) ** 0.5),
        (Local(), MULTIPLIER * 2.0 * CLIENTS**0.5),
        (Central(), MULTIPLIER * 2.0),
    ],
)
def test_the_sum_is_the_true_one_with_the_noise_that_is_stated(placement: Placed, std: float) -> None:
    _, total = released(placement)
    noise = total.values["0/counts"] - 7.0 * CLIENTS
    assert total.noise["0/counts"] == pytest.approx(std, rel=1e-6)
    assert stats.kstest(noise / std, "norm").pvalue > 1e-8
    assert total.part("0").noise == {"counts": pytest.approx(std, rel=1e-6)}


def test_what_a_client_sends_under_central_noise_is_the_plain_sum() -> None:
    release = noised_release_of(COUNTS, CLIENTS, 100, Central(), [MULTIPLIER])
    words = release.prepare(Contribution(COUNTS, {"0/counts": np.full(SIZE, 7.0)}, 50))
    assert (release.encoding.decode(words)["0/counts"] == 7.0).all()


def test_a_share_of_noise_is_a_share_of_the_variance() -> None:
    release = noised_release_of(COUNTS, CLIENTS, 100, Distributed(SHARERS), [MULTIPLIER])
    words = release.prepare(Contribution(COUNTS, {"0/counts": np.zeros(SIZE)}, 50))
    share = release.encoding.decode(words)["0/counts"] / (MULTIPLIER * 2.0 / SHARERS**0.5)
    low, high = stats.chi2.ppf([5e-9, 1 - 5e-9], SIZE) / SIZE
    assert low < share.var() < high


def test_two_answers_never_have_the_same_noise() -> None:
    for placement in (Distributed(SHARERS), Local()):
        release = noised_release_of(COUNTS, CLIENTS, 100, placement, [MULTIPLIER])
        contribution = Contribution(COUNTS, {"0/counts": np.zeros(SIZE)}, 50)
        first, second = (release.encoding.decode(release.prepare(contribution))["0/counts"] for _ in range(2))
        assert abs(np.corrcoef(first, second)[0, 1]) < 6 / SIZE**0.5


def test_noise_and_values_at_their_largest_fit_the_words() -> None:
    """Words hold the largest sum of all clients plus the largest noise that any of them can draw."""
    for placement in (Distributed(1), Local()):
        release = noised_release_of(COUNTS, CLIENTS, 100, placement, [MULTIPLIER])
        (grid,) = release.encoding.grid
        assert release.noise is not None
        room = placement.largest(release.noise.blocks[0])
        assert grid.client_limit * grid.block.resolution >= 100 + room
        assert CLIENTS * grid.client_limit < 2 ** (grid.word_bits - 1)


def test_a_value_over_its_bound_is_refused_although_there_is_room_for_noise() -> None:
    release = noised_release_of(COUNTS, CLIENTS, 10, Distributed(SHARERS), [50.0])
    with pytest.raises(ContributionError, match="exceeds the bound"):
        release.prepare(Contribution(COUNTS, {"0/counts": np.full(SIZE, 11.0)}, 10))


def test_a_contribution_of_another_bound_is_refused() -> None:
    other = Layout((Block("0/counts", (SIZE,), user_l2=3.0, user_max=1.0),))
    release = noised_release_of(COUNTS, CLIENTS, 100, Local(), [MULTIPLIER])
    with pytest.raises(Refusal) as caught:
        release.prepare(Contribution(other, {"0/counts": np.zeros(SIZE)}, 5))
    assert caught.value.reason == "layout-mismatch"


@pytest.mark.parametrize("multipliers", [[], [1.0, 1.0], [0.0], [-1.0], [float("nan")], [float("inf")]])
def test_multipliers_that_do_not_fit_are_refused(multipliers: list[float]) -> None:
    with pytest.raises(ProtocolError, match="multiplier"):
        noise_on(COUNTS, Local(), multipliers)


def test_noise_without_an_honest_client_is_refused() -> None:
    with pytest.raises(ConfigError, match="honest"):
        placed("distributed", 0)
