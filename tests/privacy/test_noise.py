"""The samples against their distributions. Statistical tests use a fixed key, and would fail one fresh key in 10^8."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedrec.errors import ConfigError
from fedrec.privacy.noise import GAUSSIAN_MAX, Keystream, gaussian, skellam

KEY = bytes(range(32))
VARIANCES = (0.3, 4.0, 100.0, 1e5)
RARE = 1e-8  # chance of a false alarm, per test


def chances(variance: float) -> tuple[np.ndarray, np.ndarray]:
    """The table of a variance as values and their chances, without a sample."""
    table = skellam(variance)
    bounds = np.concatenate([[0.0], table._steps.astype(np.float64) * 2.0**-64, [1.0]])
    return np.arange(-table.largest, table.largest + 1), np.diff(bounds)


def test_two_keystreams_never_agree_and_one_key_gives_one_stream() -> None:
    assert Keystream().words(4).tolist() != Keystream().words(4).tolist()
    assert Keystream(KEY).words(4).tolist() == Keystream(KEY).words(4).tolist()


def test_a_keystream_goes_on_where_it_was() -> None:
    one, two = Keystream(KEY), Keystream(KEY)
    assert [*one.words(3), *one.words(2)] == two.words(5).tolist()


def test_normal_samples_follow_the_normal_distribution() -> None:
    samples = gaussian(Keystream(KEY), 200_001, std=3.0)
    assert samples.shape == (200_001,)
    assert stats.kstest(samples / 3.0, "norm").pvalue > RARE
    assert stats.kstest(np.abs(samples[:-1] * samples[1:]) / 9.0, _product_cdf).pvalue > RARE  # neighbours, too
    assert np.abs(samples).max() <= 3.0 * GAUSSIAN_MAX


def _product_cdf(values: np.ndarray) -> np.ndarray:
    """P(|Z1 Z2| <= x) by integration over Z1."""
    grid = (np.arange(1000) + 0.5) / 1000
    first = np.abs(stats.norm.ppf(grid))[:, None]
    table = np.linspace(0.0, values.max() + 1e-9, 500)
    return np.interp(values, table, (2 * stats.norm.cdf(table[None] / first) - 1).mean(axis=0))


@pytest.mark.parametrize("variance", VARIANCES)
def test_a_skellam_table_holds_the_probabilities_of_the_distribution(variance: float) -> None:
    values, found = chances(variance)
    expected = stats.skellam.pmf(values, variance / 2, variance / 2)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.sum() == pytest.approx(1.0, abs=1e-15)
    assert (found * values**2).sum() == pytest.approx(variance, rel=1e-6)


@pytest.mark.parametrize("variance", VARIANCES)
def test_skellam_samples_follow_their_table(variance: float) -> None:
    samples = skellam(variance).samples(Keystream(KEY), 200_000)
    assert samples.mean() == pytest.approx(0.0, abs=6 * (variance / 200_000) ** 0.5)
    edges = np.unique(np.quantile(samples, np.linspace(0, 1, 30)).astype(int))
    observed = np.histogram(samples, [-np.inf, *edges + 0.5, np.inf])[0]
    expected = np.diff([0.0, *stats.skellam.cdf(edges, variance / 2, variance / 2), 1.0]) * 200_000
    kept = expected > 5
    statistic = ((observed - expected)[kept] ** 2 / expected[kept]).sum()
    assert stats.chi2.sf(statistic, kept.sum() - 1) > RARE


def test_shares_of_skellam_noise_add_up_to_the_whole() -> None:
    _, third = chances(2.0)
    _, whole = chances(6.0)
    together = np.convolve(np.convolve(third, third), third)
    middle = len(together) // 2
    half = len(whole) // 2
    np.testing.assert_allclose(together[middle - 20 : middle + 21], whole[half - 20 : half + 21], atol=1e-15)


def test_the_table_is_symmetric_to_the_last_bit() -> None:
    steps = skellam(1234.5)._steps
    assert (steps == ~steps[::-1]).all()


@pytest.mark.parametrize("variance", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_variances_without_an_exact_table_are_refused(variance: float) -> None:
    with pytest.raises(ConfigError):
        skellam(variance)
