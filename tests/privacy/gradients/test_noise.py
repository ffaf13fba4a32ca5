"""The noise of a step is as large as it is accounted for, is there without anyone, and users are drawn by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from scipy.stats import binomtest, chi2, kstest

from fedrec.errors import ConfigError
from fedrec.models.neural import MF, SASRec
from fedrec.privacy.accountant import ORDERS, epsilon_of, least_multiplier, renyi, reported
from fedrec.privacy.gradients.noise import LARGEST, NoiseSource
from fedrec.privacy.gradients.sampling import drawn
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.mechanisms import Gaussian, SampledGaussian, as_record, from_record
from fedrec.privacy.noise import Keystream
from tests.privacy.gradients.worlds import World

KEY = bytes(range(32))
FALSE_ALARM = 1e-6
"""Chance that a correct generator fails one of the tests that are not seeded."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_are_normal(dtype: torch.dtype) -> None:
    """False alarm: none, the key is fixed; with a fresh key 1e-6."""
    samples = NoiseSource(KEY).fill(torch.empty(40_001, dtype=dtype), std=3.0).double().numpy()
    assert kstest(samples / 3.0, "norm").pvalue > FALSE_ALARM
    assert abs(float(np.corrcoef(samples[:20_000], samples[20_000:40_000])[0, 1])) < 5 / math.sqrt(20_000)


def test_the_tail_is_long_enough_for_any_delta() -> None:
    """What is cut off is below 1e-12 for each sample, and its density there a part in 1e12."""
    assert LARGEST > 7.4
    assert math.erfc(LARGEST / math.sqrt(2)) < 1e-12


def test_two_sources_without_a_key_differ() -> None:
    one, other = (NoiseSource().fill(torch.empty(100), 1.0) for _ in range(2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_gradients_a_step_is_noise_of_the_stated_size(dtype: torch.dtype) -> None:
    """A loss of 0 for everyone. False alarm with a fresh key: 2e-6, by the chi-squared law of the sum of squares."""
    world = World(SASRec(dim=8, blocks=1, heads=2, max_length=10), dtype, multiplier=2.0, clip_norm=0.5, divisor=10)
    parts = [_Silent(part) for part in world.parts(most=4)]
    found = torch.cat([gradient.reshape(-1) for gradient in world.gradient(parts).values()]).double()  # type: ignore[arg-type]
    squares = float(((found / (2.0 * 0.5 / 10)) ** 2).sum())
    assert chi2.ppf(FALSE_ALARM, len(found)) < squares < chi2.isf(FALSE_ALARM, len(found))


def test_a_step_without_anyone_is_the_same_noise() -> None:
    silent, empty = (World(MF(dim=8, max_length=10), multiplier=2.0) for _ in range(2))
    with_users = silent.gradient([_Silent(part) for part in silent.parts()])  # type: ignore[arg-type]
    without = empty.gradient([])
    for name, value in with_users.items():
        assert torch.equal(value, without[name])
        assert value.abs().sum() > 0


def test_noise_is_fresh_in_each_step() -> None:
    world = World(MF(dim=8, max_length=10), multiplier=1.0)
    with world.steps:
        world.steps.gradient_of([])
        first = world.network.items.residual.weight.grad.clone()
        world.steps.gradient_of([])
        assert not torch.equal(first, world.network.items.residual.weight.grad)


class _Silent:
    """A part whose users have gradients of 0."""

    def __init__(self, part: object) -> None:
        self._part = part

    def __len__(self) -> int:
        return len(self._part)  # type: ignore[arg-type]

    def some(self, rows: slice) -> _Silent:
        return _Silent(self._part.some(rows))  # type: ignore[attr-defined]

    def losses(self, network: object) -> torch.Tensor:
        losses: torch.Tensor = self._part.losses(network) * 0.0  # type: ignore[attr-defined]
        return losses


def test_each_user_is_drawn_with_the_rate_and_apart_from_the_others() -> None:
    """False alarm with a fresh key: below 1e-5 over the ten users and the pair."""
    stream, times = Keystream(), 4000
    present = np.zeros((times, 10), bool)
    for row in present:
        row[drawn(10, 0.3, stream)] = True
    for user in range(10):
        assert binomtest(int(present[:, user].sum()), times, 0.3).pvalue > FALSE_ALARM
    assert binomtest(int((present[:, 0] & present[:, 1]).sum()), times, 0.09).pvalue > FALSE_ALARM


def test_the_ends_of_the_rate() -> None:
    stream = Keystream(KEY)
    assert drawn(5, 1.0, stream).tolist() == [0, 1, 2, 3, 4]
    assert drawn(0, 0.5, stream).tolist() == []
    assert len(drawn(1000, 1e-9, stream)) == 0
    with pytest.raises(ConfigError, match="rate=0"):
        drawn(5, 0.0, stream)


@pytest.mark.parametrize(("rate", "multiplier"), [(0.01, 1.1), (0.2, 0.6), (1.0, 3.0)])
def test_a_sampled_step_costs_what_opacus_says(rate: float, multiplier: float) -> None:
    from opacus.accountants.analysis.rdp import compute_rdp

    ours = renyi(SampledGaussian(rate, multiplier, 7))
    known = ORDERS <= 128  # beyond, its sums are no numbers any more
    theirs = compute_rdp(q=rate, noise_multiplier=multiplier, steps=7, orders=ORDERS[known].tolist())
    np.testing.assert_allclose(ours[known], theirs, rtol=1e-9)
    accountant = RDPAccountant()
    accountant.history = [(multiplier, rate, 7)]
    theirs_at = accountant.get_epsilon(1e-5, alphas=ORDERS[known].tolist())
    assert epsilon_of([SampledGaussian(rate, multiplier, 7)], 1e-5) == pytest.approx(theirs_at, rel=1e-9)


def test_without_sampling_a_step_is_a_gaussian_release() -> None:
    np.testing.assert_allclose(renyi(SampledGaussian(1.0, 4.0, 1)), renyi(Gaussian(1.0, 4.0)))


def test_the_reported_figure_is_below_the_running_check() -> None:
    releases = [Gaussian(1.0, 5.0), SampledGaussian(0.05, 1.0, 20), SampledGaussian(0.05, 1.0, 10)]
    figure = reported(releases, 1e-5)
    assert figure.accountant == "PLD"
    assert 0.7 * epsilon_of(releases, 1e-5) < figure.epsilon < epsilon_of(releases, 1e-5)


def test_the_planned_noise_spends_the_budget() -> None:
    def run(multiplier: float) -> list[SampledGaussian]:
        return [SampledGaussian(256 / 6000, multiplier, 250)]

    multiplier = least_multiplier(run, 8.0, 1e-6)
    assert multiplier == pytest.approx(0.87, abs=0.01)
    assert 8.0 * (1 - 1e-6) < epsilon_of(run(multiplier), 1e-6) <= 8.0


def test_a_record_of_it_is_read_back() -> None:
    mechanism = StepTerms(0.1, 0.5, 1.2, 64, 30).mechanism
    assert from_record(as_record(mechanism)) == mechanism == SampledGaussian(0.1, 1.2, 30)
