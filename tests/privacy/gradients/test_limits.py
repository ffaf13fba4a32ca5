"""What a server may ask for: nothing under which a bound or its noise would not be what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedrec.errors import ConfigError, ModelError
from fedrec.models.normal_equations import solve_each
from fedrec.models.statistics import AlsSweep, ContentProfiles, GramProduct
from fedrec.models.statistics.als_sweep import clipped
from fedrec.privacy.gradients.noise import LEAST_STD, MOST_STD, NoiseSource
from fedrec.privacy.gradients.per_user import zero_beyond
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms


@pytest.mark.parametrize("std", [LEAST_STD, 1.0, MOST_STD])
def test_noise_is_as_long_as_it_says_at_the_ends_of_its_range(std: float) -> None:
    """The mean square of 200,000 samples is off by 2 % with a chance below 1e-9; none is rounded to 0 or infinity."""
    samples = NoiseSource(bytes(32)).fill(torch.empty(200_000), std).double() / std
    assert abs(float(samples.square().mean()) - 1) < 0.02
    assert bool(samples.isfinite().all())
    assert not bool((samples == 0).any())


@pytest.mark.parametrize("std", [0.0, 1e-30, 1e30, float("nan")])
def test_noise_that_32_bits_cannot_hold_is_not_made(std: float) -> None:
    with pytest.raises(ModelError, match="would not be what it says"):
        NoiseSource().fill(torch.empty(8), std)


@pytest.mark.parametrize(
    "wrong", [{"clip_norm": 1e-30}, {"clip_norm": 1e30}, {"divisor": 10**24}, {"multiplier": 1e30}, {"rate": 1.5}]
)
def test_terms_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    fine = {"rate": 0.5, "clip_norm": 1.0, "multiplier": 1.0, "divisor": 8}
    assert StepTerms(**fine, steps=1).clip_norm == SumTerms(**fine, sharers=2).clip_norm  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        StepTerms(**{**fine, **wrong}, steps=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SumTerms(**{**fine, **wrong}, sharers=2)  # type: ignore[arg-type]


def test_a_user_who_is_beyond_the_bound_after_all_counts_nothing_and_changes_nobody() -> None:
    first = torch.tensor([[3.0, 0.0], [3.0, 0.0], [float("nan"), 0.0], [0.0, 1.0]])
    second = torch.tensor([[4.0], [4.1], [0.0], [0.0]])
    zero_beyond([first, second], 5.0)
    assert first.tolist() == [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    assert second.flatten().tolist() == [4.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [1.5e-162, 1e-20, 1e20, float("inf")])
def test_arrays_whose_squares_are_not_exact_are_refused(size: float) -> None:
    matrix, content = np.full((4, 2), size), np.eye(4, dtype=np.float32)
    widths, mean = np.array([4]), np.zeros(4)
    with pytest.raises(ConfigError, match="basis"):
        GramProduct(basis=matrix, max_items_per_user=4)
    with pytest.raises(ConfigError, match="item_factors"):
        AlsSweep(matrix, l2=1.0, alpha=1.0, clip_norm=1.0, max_items_per_user=4)
    with pytest.raises(ConfigError, match="basis"):
        ContentProfiles(content, widths, mean, basis=matrix, bias=1.0, max_items_per_user=4)


def test_hyper_parameters_that_overflow_for_users_of_one_item_are_refused() -> None:
    with pytest.raises(ConfigError, match="alpha"):
        AlsSweep(np.ones((4, 2)), l2=1.0, alpha=1e200, clip_norm=1.0, max_items_per_user=4)


def test_a_system_without_solution_changes_no_other() -> None:
    """The second one is not positive definite, as one user's may be made to be."""
    good = np.array([[2.0, 0.0], [0.0, 1e-9]])
    matrices, targets = np.stack([good, -good, good]), np.ones((3, 2))
    alone = solve_each(matrices[:1], targets[:1])
    np.testing.assert_array_equal(solve_each(matrices, targets)[[0, 2]], np.vstack([alone, alone]))


def test_a_vector_that_is_no_number_is_clipped_to_nothing() -> None:
    found = clipped(np.array([[np.inf, 1.0], [np.nan, 0.0], [3.0, 4.0]]), 1.0)
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [0.6, 0.8]])
