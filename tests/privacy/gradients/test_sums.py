"""The sum of one step's bounded gradients: what it comes to, and how far one user moves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.models.neural import MF, GRU4Rec, NeuralModel, SASRec
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserRanking
from fedrec.models.neural.objectives import Catalogue, Ranking
from fedrec.privacy.gradients.summed import LARGEST, QUANTILE_WEIGHT, STEPS, SUM, SumTerms
from fedrec.privacy.gradients.sums import BoundedSum
from fedrec.privacy.mechanisms import SampledSkellam
from fedrec.privacy.noise import Keystream
from tests.models.neural.worlds import NUM_ITEMS
from tests.privacy.gradients.worlds import PLAN, histories, terms, twin

MODELS = [
    MF(dim=4, max_length=8),
    GRU4Rec(dim=4, hidden=4, max_length=8, dropout=0.0),
    SASRec(dim=4, heads=2, max_length=8, dropout=0.0),
]
TERMS = SumTerms(rate=1.0, clip_norm=0.05, multiplier=2.0, divisor=4, sharers=2)


class Fixed:
    """A task whose users have the same loss whoever is drawn with them: negatives are those of the first draw."""

    rehearsed = False

    def __init__(self, task: UserRanking, users: slice = slice(None)) -> None:
        generator = torch.Generator().manual_seed(1)
        (self._whole,) = task.parts(np.arange(task.num_users), 100, generator)
        self.part = self._whole.some(users)

    @property
    def num_users(self) -> int:
        return len(self.part)

    def parts(self, chosen: np.ndarray, most: int, generator: torch.Generator) -> Any:
        if len(chosen):
            yield self.part


def task_of(model: NeuralModel, rows: Histories | None = None) -> UserRanking:
    catalogue = Catalogue(torch.arange(NUM_ITEMS), None)
    batches = Batches(rows or histories(), model.objective, model.max_length, 4)
    return UserRanking(Ranking(catalogue, batches, replace(PLAN), model.private))


def names_of(network: torch.nn.Module) -> list[str]:
    return sorted(name for name, _ in network.named_parameters())


def summed(model: NeuralModel, task: Any, given: SumTerms = TERMS) -> np.ndarray:
    network = model.build(NUM_ITEMS, 0, 0).double()
    found = BoundedSum(network, task, names_of(network), given, Keystream(bytes(32))).contribution()
    return found.values[SUM]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_sum_is_that_of_each_user_alone_cut_to_the_grid(model: NeuralModel) -> None:
    """The slow twin bounds one user after another; each is cut by less than a step, and bounded a 1024th tighter."""
    fixed = Fixed(task_of(model))
    sums, norms = twin(model.build(NUM_ITEMS, 0, 0).double(), fixed.part, terms(divisor=1))
    expected = np.concatenate([sums[name].numpy().ravel() for name in sorted(sums)])
    found = summed(model, fixed)
    assert (norms > TERMS.clip_norm).any()
    assert np.abs(found - expected).max() <= fixed.num_users * (TERMS.step + TERMS.clip_norm * 2.0**-10)
    assert np.array_equal(found / TERMS.step, np.rint(found / TERMS.step))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("quantile", [None, 0.7])
def test_a_user_more_moves_the_sum_by_no_more_than_the_bound(model: NeuralModel, quantile: float | None) -> None:
    given, task = replace(TERMS, quantile=quantile), task_of(model)
    whole = summed(model, Fixed(task), given)
    for user in range(Fixed(task).num_users):
        alone = summed(model, Fixed(task, slice(user, user + 1)), given)
        assert np.linalg.norm(alone) <= given.user_l2
    rest = summed(model, Fixed(task, slice(1, None)), given)
    moved = whole - rest
    assert np.linalg.norm(moved) <= given.user_l2
    assert np.linalg.norm(moved) >= 0.9 * given.user_l2  # a user whose gradient was longer than the clip
    assert np.array_equal(moved, summed(model, Fixed(task, slice(0, 1)), given))


def test_nobody_drawn_is_a_sum_of_zeros() -> None:
    empty = Histories.from_lists([[0]], NUM_ITEMS)
    batches = Batches(empty, "next", 8, 4, may_be_empty=True)
    task = UserRanking(Ranking(Catalogue(torch.arange(NUM_ITEMS), None), batches, PLAN, ()))
    assert not summed(MF(dim=4, max_length=8), task).any()


def test_users_are_drawn_by_secret_chance() -> None:
    """9 users with chance 1/2: that 8 sums hold the same users each time happens with a chance of 2^-63."""
    network = MF(dim=4, max_length=8).build(NUM_ITEMS, 0, 0)
    half = replace(TERMS, rate=0.5)
    task = task_of(MF(dim=4, max_length=8))
    found = {BoundedSum(network, task, names_of(network), half).contribution().values[SUM].tobytes() for _ in range(8)}
    assert len(found) > 1


def test_votes_count_users_below_the_clip_and_above() -> None:
    model = MF(dim=4, max_length=8)
    fixed = Fixed(task_of(model))
    _, norms = twin(model.build(NUM_ITEMS, 0, 0).double(), fixed.part, terms(divisor=1))
    clip = float(norms.median()) * 1.0001
    given = replace(TERMS, clip_norm=clip, quantile=0.8)
    below = int((norms <= clip).sum())
    expected = 0.1 * clip / 0.8 * (below * 0.2 - (len(norms) - below) * 0.8)
    assert summed(model, fixed, given)[-1] == pytest.approx(expected, abs=len(norms) * given.step)


def test_the_vote_raises_the_noise_as_in_theorem_1_of_andrew_et_al() -> None:
    """z_delta = (z^-2 - (2 sigma_b)^-2)^(-1/2), where sigma_b is the noise on a count of votes of +-1/2."""
    given = replace(TERMS, quantile=0.5)
    std = given.multiplier * given.user_l2
    of_gradients, of_count = std / given.clip_norm, std / (given.vote(True) - given.vote(False))
    assert of_gradients == pytest.approx((given.multiplier**-2 - (2 * of_count) ** -2) ** -0.5)
    assert of_gradients == pytest.approx(given.multiplier * 1.005, rel=1e-4)
    assert given.vote(True) == -given.vote(False) == pytest.approx(QUANTILE_WEIGHT * given.clip_norm)


@pytest.mark.parametrize("multiplier", [0.01, 0.3, 1.0, 20.0, 1000.0])
def test_rounding_costs_nothing_at_any_size(multiplier: float) -> None:
    """What the release costs is the planned multiplier, with 200,000 parameters as with 2."""
    given = replace(TERMS, multiplier=multiplier, rate=0.1)
    for size in (2, 200_000):
        release = given.release(size, 10)
        assert release.noise is not None
        (mechanism,) = release.noise.mechanisms
        assert isinstance(mechanism, SampledSkellam)
        assert mechanism.rate == 0.1
        assert mechanism.variance**0.5 / mechanism.l2 == pytest.approx(multiplier)
    assert given.user_l2 / given.step <= LARGEST
    assert multiplier * given.user_l2 / given.step >= (STEPS if multiplier >= 0.5 else 1)


def test_sums_of_ten_clients_fit_words_of_32_bits() -> None:
    release = replace(TERMS, multiplier=1.0, divisor=32).release(1000, 10)
    assert (release.encoding.num_u32, release.encoding.num_u64) == (1000, 0)


def test_a_sum_that_no_honest_users_make_is_cut_off() -> None:
    given = replace(TERMS, divisor=1)  # of 9 users, as far as 4 may go at each coordinate
    found = summed(MF(dim=4, max_length=8), Fixed(task_of(MF(dim=4, max_length=8))), given)
    assert np.abs(found).max() <= 4 * given.user_l2


@pytest.mark.parametrize(
    "change",
    [{"rate": 0.0}, {"rate": 1.5}, {"clip_norm": -1.0}, {"multiplier": 0.0}, {"divisor": 0}, {"quantile": 1.0}],
)
def test_impossible_terms_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        replace(TERMS, **change)


def test_a_parameter_that_is_left_out_of_the_sum_is_refused() -> None:
    network = MF(dim=4, max_length=8).build(NUM_ITEMS, 0, 0)
    with pytest.raises(ModelError, match="all trained parameters"):
        BoundedSum(network, task_of(MF(dim=4, max_length=8)), names_of(network)[:-1], TERMS)
