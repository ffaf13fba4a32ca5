"""One client's answer to a round of training, and what all answers come to: two clients, a few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Total, Words
from fedrec.errors import Refusal, RoundFailed
from fedrec.messages import Capacity, Holdout, instruction
from fedrec.models.neural.plan import LocalTraining
from fedrec.privacy.fixed_point import add
from fedrec.strategies.local_updates import LARGEST_LOSS, StepNoise, TrainBody, mean_update, plan_params, update_words

START = {"w": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), "b": np.array([0.5], np.float32)}
LOCAL = LocalTraining(update_norm=100.0, max_users=4)


def body(number: int = 1, seed: int = 0, plan: LocalTraining = LOCAL) -> TrainBody:
    holdout = Holdout(
        rule="leave-last-out", starts=None, exclude_seen=True, ks=(2,), bootstrap=0, headline="HR@2", seed=seed
    )
    return TrainBody(
        round=number,
        phase="final",
        capacity=Capacity(max_clients=2, max_users=10),
        holdout=holdout,
        run="0" * 16,
        rounds=3,
        model="mf",
        params={},
        content=False,
        plan=plan_params(plan),
    )


def words(asked: TrainBody, step: float, users: int = 2, loss: float = 1.0, client: str = "shop") -> Words:
    """The answer of a client that adds `step` to every weight."""
    trained = {name: value + np.float32(step) for name, value in START.items()}
    return update_words(asked, instruction(asked, START), trained, (users, loss), client)


def mean(asked: TrainBody, *answers: Words) -> tuple[dict[str, np.ndarray], float | None]:
    encoding = asked.codec().encoding(instruction(asked, START))
    summed = answers[0] if len(answers) == 1 else add(*answers)
    total = Total(encoding.layout, encoding.decode(summed), len(answers))
    content, told = mean_update(asked, instruction(asked, START), total)
    return {name: array.numpy() for name, array in content.array_records["fedrec.arrays"].items()}, told["loss"]


def same(one: Words, other: Words) -> bool:
    return np.array_equal(one.u32, other.u32) and np.array_equal(one.u64, other.u64)


def test_clients_count_by_their_users_up_to_the_cap():
    """1 user adds 1 with loss 1; 9 users, which weigh as 4, add 6 with loss 2: (1*1 + 4*6) / 5 = 5 and 9 / 5."""
    found, loss = mean(body(), words(body(), 1.0, users=1), words(body(), 6.0, users=9, loss=2.0, client="other"))
    for name, start in START.items():
        np.testing.assert_allclose(found[name], start + 5, atol=1e-5)
        assert found[name].dtype == np.float32
    assert loss == pytest.approx(9 / 5, abs=1e-4)


def test_a_long_update_is_scaled_down_to_the_bound_of_the_plan():
    """A step of 10 in five coordinates has norm 10 * sqrt(5); its direction is kept."""
    asked = body(plan=LocalTraining(update_norm=1.0, max_users=4))
    found, _ = mean(asked, words(asked, 10.0))
    for name, start in START.items():
        np.testing.assert_allclose(found[name] - start, np.full_like(start, 5**-0.5), atol=1e-5)


def test_a_loss_beyond_the_bound_counts_as_the_bound():
    assert mean(body(), words(body(), 1.0, loss=1e9))[1] == pytest.approx(LARGEST_LOSS, rel=1e-4)


def test_rounding_follows_from_seed_round_and_client_and_from_nothing_else():
    """1/3 lies between two steps of the grid in each of five coordinates."""
    first = words(body(), 1 / 3)
    assert same(first, words(body(), 1 / 3))
    others = [words(body(number=2), 1 / 3), words(body(seed=1), 1 / 3), words(body(), 1 / 3, client="other")]
    assert all(not same(first, other) for other in others)


@pytest.mark.parametrize(("step", "loss"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))])
def test_what_is_not_finite_is_refused_and_not_sent(step, loss):
    with pytest.raises(Refusal) as caught:
        words(body(), step, loss=loss)
    assert caught.value.reason == "contribution-error"


def test_arrays_of_another_shape_are_refused():
    asked = body()
    with pytest.raises(Refusal, match="arrays that were sent"):
        update_words(asked, instruction(asked, START), {"w": np.zeros(4, np.float32)}, (2, 1.0), "shop")


def test_noise_that_devices_share_is_never_made_by_each():
    """The ledger would note rounds of a chance that nobody vouches for."""
    terms = {"rate": 0.1, "clip_norm": 1.0, "multiplier": 1.0, "devices": 5}
    assert StepNoise(**terms, placement="distributed").devices == 5
    with pytest.raises(ValueError, match="placement is 'distributed'"):
        StepNoise(**terms, placement="local")


def test_a_round_without_users_has_no_mean():
    with pytest.raises(RoundFailed, match="weight 0"):
        mean(body(), words(body(), 1.0, users=0))
