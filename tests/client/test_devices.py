"""A client that is one user: how its update is bounded, what it pays, and whom it believes."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, RecordDict

from fedrec.client.devices import bounded_update
from fedrec.client.guard import PrivacyPolicy
from fedrec.client.local_training import train_reply
from fedrec.client.training import LocalRows, train
from fedrec.contribution import add
from fedrec.data.histories import Histories
from fedrec.errors import Refusal
from fedrec.messages import ARRAYS
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.mechanisms import SampledSkellam, Skellam
from fedrec.strategies.local_updates import StepNoise, TrainBody
from fedrec.strategies.summed_steps import stepped
from tests.client.test_private_training import MODEL, asked, body_of, released
from tests.client.test_shared_training import masked_store, words

PLAN = LocalTraining(epochs=2, learning_rate=0.1)
NOISE = StepNoise(placement="distributed", rate=1.0, clip_norm=0.3, multiplier=3.0, sharers=2, devices=4)
DRAWN = NOISE.model_copy(update={"rate": 0.25, "multiplier": 1.5})
TERMS = SumTerms(rate=1.0, clip_norm=0.3, multiplier=3.0, divisor=1, sharers=2, devices=4)
LIMITS = PrivacyPolicy(epsilon=20.0, delta=1e-5, placement="distributed", max_users=1)
TRUSTING = replace(LIMITS, trusts_sampling=True)
ANN = {"ann": "abcd"}


def body(noise: StepNoise = NOISE, **changes: Any) -> TrainBody:
    return body_of(PLAN, noise, **changes)


def update(histories: list[list[int]], terms: SumTerms = TERMS, plan: LocalTraining = PLAN) -> np.ndarray:
    rows = LocalRows(Histories.from_lists(histories, 6))
    network = MODEL.build(6, 0, 0)
    return bounded_update(network, MODEL, rows, plan, terms, Progress()).values[SUM]


def raw_update(histories: list[list[int]], plan: LocalTraining = PLAN) -> np.ndarray:
    """What a round of training changes, before it is bounded."""
    network = MODEL.build(6, 0, 0)
    before = {name: value.clone().double() for name, value in network.state_dict().items()}
    train(network, MODEL, LocalRows(Histories.from_lists(histories, 6)), plan, Progress())
    after = network.state_dict()
    return torch.cat([(after[name].double() - before[name]).ravel() for name in sorted(before)]).numpy()


def test_the_whole_update_is_bounded_and_keeps_its_direction() -> None:
    whole = raw_update([[0, 1, 2, 3]])
    found = update([[0, 1, 2, 3]])
    assert np.linalg.norm(whole) > 0.3
    assert 0.299 <= np.linalg.norm(found) <= 0.3
    assert found == pytest.approx(whole * 0.3 / np.linalg.norm(whole), abs=TERMS.step)


@pytest.mark.parametrize("clip", [1.0, 10.0])
def test_a_short_update_is_only_cut_to_the_grid(clip: float) -> None:
    plan, terms = replace(PLAN, learning_rate=0.01), replace(TERMS, clip_norm=clip)
    whole = raw_update([[0, 1, 2, 3]], plan)
    assert 10 * terms.step < np.abs(whole).max()
    assert np.linalg.norm(whole) < clip
    found = update([[0, 1, 2, 3]], terms, plan)
    assert found == pytest.approx(whole, abs=terms.step)
    assert np.array_equal(found / terms.step, np.trunc(whole / terms.step))


@pytest.mark.parametrize(("histories", "rate"), [([[0]], 0.1), ([[0, 1, 2, 3]], 1e30)])
def test_a_device_that_cannot_learn_adds_nothing(histories: list[list[int]], rate: float) -> None:
    assert not update(histories, plan=replace(PLAN, learning_rate=rate)).any()


def test_a_device_votes_on_the_clip() -> None:
    short, long = (replace(TERMS, clip_norm=clip, quantile=0.5) for clip in (1e-3, 1e4))
    assert update([[0, 1, 2, 3]], short)[-1] == pytest.approx(-1e-4, abs=short.step)
    assert update([[0, 1, 2, 3]], long)[-1] == pytest.approx(1e3, abs=long.step)


def test_two_hundred_devices_move_the_weights_by_their_mean_and_the_noise_of_one() -> None:
    """The words of all, without masks. Noise of 199 sharers is on the sum as if it were of 200 by a factor of
    sqrt(200 / 199); with 28 coordinates the sum of squares is chi-square, and outside of these bounds with a chance
    below 1e-6."""
    terms = replace(TERMS, sharers=199, devices=200)
    release = terms.release(28, 200)
    rng = np.random.default_rng(5)
    words, true = [], np.zeros(28)
    for user in range(200):
        rows = LocalRows(Histories.from_lists([rng.permutation(6)[: 2 + user % 4].tolist()], 6))
        found = bounded_update(MODEL.build(6, 0, 0), MODEL, rows, PLAN, terms, Progress())
        words.append(release.prepare(found))
        true += found.values[SUM]
    total = release.open(functools.reduce(add, words), 200)
    noise = total.values[SUM] - true
    assert 5.0 < float(((noise / total.noise[SUM]) ** 2).sum()) < 85.0
    assert total.noise[SUM] == pytest.approx(3.0 * 0.3 * (200 / 199) ** 0.5)
    before = ArrayRecord({"weights": Array(np.zeros(28))})
    after = stepped(terms, PLAN, RecordDict({ARRAYS: before}), total).content.array_records[ARRAYS]["weights"].numpy()
    assert after == pytest.approx(total.values[SUM] / 200)


def test_a_client_of_two_users_is_no_device() -> None:
    with pytest.raises(Refusal, match="not-a-device"):
        update([[0, 1], [1, 2]])


def test_a_device_pays_for_a_round_as_if_all_knew_that_it_was_in_it(tmp_path: Path) -> None:
    store = masked_store(tmp_path, LIMITS, ANN)
    assert words(store, body()).shape == (28,)
    (spent,) = released(store)
    assert isinstance(spent, Skellam)
    assert spent.variance**0.5 / spent.l2 == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("asked_for", "limits", "reason"),
    [
        (body(DRAWN), LIMITS, "sampling-not-trusted"),
        (body(), replace(LIMITS, max_users=2), "not-a-device"),
        (body(DRAWN.model_copy(update={"multiplier": 0.2})), TRUSTING, "too-little-noise"),
    ],
)
def test_a_device_refuses_before_it_trains(
    tmp_path: Path, asked_for: TrainBody, limits: PrivacyPolicy, reason: str
) -> None:
    store = masked_store(tmp_path, limits, ANN)
    with pytest.raises(Refusal) as refused:
        train_reply(asked(asked_for), store)
    assert refused.value.reason == reason
    assert released(store) == []


def test_where_sampling_is_believed_the_first_round_pays_for_all(tmp_path: Path) -> None:
    store = masked_store(tmp_path, TRUSTING, ANN)
    for number in (2, 4):
        train_reply(asked(body(DRAWN, round=number)), store)
    spent = released(store)
    assert len(spent) == 5  # the rounds of the run
    assert all(isinstance(one, SampledSkellam) and one.rate == 0.25 for one in spent)


@pytest.mark.parametrize(
    ("changed", "noise", "reason"),
    [
        ({"round": 4}, {}, "round-answered"),
        ({"round": 4, "rounds": 6}, {}, "round-answered"),
        ({"round": 5, "rounds": 6}, {}, "another-run"),
        ({"round": 5}, {"rate": 0.2}, "another-run"),
        ({"round": 5}, {"multiplier": 1.4}, "too-little-noise"),
    ],
)
def test_what_was_paid_for_is_one_run_and_no_other(
    tmp_path: Path, changed: dict[str, int], noise: dict[str, float], reason: str
) -> None:
    store = masked_store(tmp_path, TRUSTING, ANN)
    train_reply(asked(body(DRAWN, round=4)), store)
    spent = released(store)
    with pytest.raises(Refusal) as refused:
        train_reply(asked(body(DRAWN.model_copy(update=noise), **changed)), store)
    assert refused.value.reason == reason
    assert released(store) == spent


def test_a_clip_that_moves_costs_what_was_paid(tmp_path: Path) -> None:
    store = masked_store(tmp_path, TRUSTING, ANN)
    for number, clip in ((1, 0.3), (2, 0.25), (3, 0.36)):
        train_reply(asked(body(DRAWN.model_copy(update={"clip_norm": clip}), round=number)), store)
    assert len(released(store)) == 5


def test_a_device_that_is_drawn_more_often_than_the_chance_explains_does_not_believe_it(tmp_path: Path) -> None:
    """With chance 1/10 more than 3 of 5 rounds happen to one in 2,000, and any of 5 at 10^-6 to one in 200,000."""
    store = masked_store(tmp_path, TRUSTING, ANN)
    seldom = DRAWN.model_copy(update={"rate": 0.1})
    for number in (1, 2, 3):
        train_reply(asked(body(seldom, round=number)), store)
    with pytest.raises(Refusal, match="drawn-too-often"):
        train_reply(asked(body(seldom, round=4)), store)
    other = masked_store(tmp_path / "other", TRUSTING, ANN)
    with pytest.raises(Refusal, match="drawn-too-often"):
        train_reply(asked(body(DRAWN.model_copy(update={"rate": 1e-6}), round=1)), other)
    assert released(other) == []
