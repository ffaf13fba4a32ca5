"""A tenant that insists on noise, asked to train: what it refuses, what it records, and what its words hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message

from fedrec.client import training
from fedrec.client.guard import FOLDER, PrivacyPolicy, create_guard, guard_of
from fedrec.client.ledger import Ledger
from fedrec.client.local_training import private_arrays, train_reply
from fedrec.client.store import TenantStore, create_store
from fedrec.client.training import LocalRows, train
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.messages import WORDS, read_answer
from fedrec.models.ctr import WideDeep
from fedrec.models.neural import MF, GRU4Rec, NeuralModel
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import network_scores
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.mechanisms import SampledGaussian
from fedrec.strategies.local_updates import StepNoise, TrainBody, plan_params
from tests.client.asking import refused_unread, train_body, train_message
from tests.federation import LEFT, grid_of, rows_of

MODEL = MF(dim=4, max_length=8)
PLAN = LocalTraining(loss="bce", negatives=4, steps=3, batch_size=2, learning_rate=0.1)
NOISE = StepNoise(rate=0.5, clip_norm=0.5, multiplier=2.0)
ROUND = SampledGaussian(0.5, 2.0, 3)
LIMITS = PrivacyPolicy(epsilon=8.0, delta=1e-5, placement="local")


def store_in(folder: Path, limits: PrivacyPolicy | None = LIMITS, rows: dict[str, str] = LEFT) -> TenantStore:
    store = create_store(folder / "left", rows_of(rows, "left"))
    if limits is not None:
        create_guard(store.folder, limits)
    grid_of([store])  # tells Flower who sends
    return store


def body_of(plan: LocalTraining = PLAN, noise: StepNoise | None = NOISE, **changes: Any) -> TrainBody:
    return train_body(MODEL, **({"plan": plan_params(plan), "noise": noise} | changes))


def asked(body: TrainBody, model: NeuralModel = MODEL) -> Message:
    arrays = arrays_of(model.build(6, 0, 0), tuple(sorted(model.build(6, 0, 0).state_dict())))
    return train_message(body, arrays)


def released(store: TenantStore) -> list[Any]:
    return [one for entry in Ledger(store.folder / FOLDER).entries() for one in entry.mechanisms]


def opened(store: TenantStore, body: TrainBody) -> dict[str, np.ndarray]:
    """The blocks of an answer."""
    message = asked(body)
    words = read_answer(train_reply(message, store))
    return dict(body.codec().encoding(message.content).decode(words))


def test_a_round_is_a_release_of_its_steps(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    reply = train_reply(asked(body_of()), store)
    assert WORDS in reply
    assert released(store) == [ROUND]
    assert Ledger(store.folder / FOLDER).entries()[0].what == "round 1 of 5: mf"


def test_a_round_by_which_something_will_be_chosen_is_a_release_like_others(tmp_path: Path) -> None:
    """It learns from training rows only, so the last two events of each user are not in it; the ledger is the same."""
    store = store_in(tmp_path)
    assert WORDS in train_reply(asked(body_of(phase="choose")), store)
    assert released(store) == [ROUND]
    store.read_test()
    with pytest.raises(Refusal, match="test-already-read"):
        train_reply(asked(body_of(phase="choose")), store)
    assert released(store) == [ROUND]


def test_an_answer_holds_an_update_and_a_constant(tmp_path: Path) -> None:
    """No loss, and the same weight for three users as for one."""
    many = opened(store_in(tmp_path / "many"), body_of())
    few = opened(store_in(tmp_path / "few", rows={"ann": "abcd"}), body_of())
    assert set(many) == {"update/items.residual.weight", "update/encoder.offset.weight", "weight"}
    assert many["weight"] == few["weight"] == [1.0]


def test_a_tenant_without_anyone_to_learn_from_answers_with_noise(tmp_path: Path) -> None:
    found = opened(store_in(tmp_path, rows={"ann": "a"}), body_of())
    assert (found["update/items.residual.weight"] != 0).all()


def test_two_answers_to_one_question_differ(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first, again = (opened(store, body_of()) for _ in range(2))
    assert (first["update/items.residual.weight"] != again["update/items.residual.weight"]).all()
    assert released(store) == [ROUND, ROUND]


def test_the_budget_ends_training(tmp_path: Path) -> None:
    """Four rounds fit, the fifth does not."""
    store = store_in(tmp_path, replace(LIMITS, epsilon=epsilon_of([ROUND] * 4, 1e-5) * 1.01))
    for number in range(1, 5):
        train_reply(asked(body_of(round=number)), store)
    with pytest.raises(Refusal, match="budget-spent"):
        train_reply(asked(body_of(round=5)), store)
    assert len(released(store)) == 4


def test_a_round_is_paid_for_before_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)

    def fails(*arguments: Any) -> None:
        raise RuntimeError("the power failed")

    monkeypatch.setattr(training._Round, "_private", fails)
    with pytest.raises(RuntimeError, match="power"):
        train_reply(asked(body_of()), store)
    assert released(store) == [ROUND]


@pytest.mark.parametrize(
    ("body", "limits", "reason"),
    [
        (body_of(noise=None), LIMITS, "noise-required"),
        (body_of(), replace(LIMITS, placement="distributed"), "wrong-placement"),
        (body_of(), replace(LIMITS, epsilon_per_release=0.1), "too-little-noise"),
        (body_of(noise=NOISE.model_copy(update={"multiplier": 0.1})), LIMITS, "too-little-noise"),
        (body_of(), None, "no-privacy-policy"),
        (body_of(model=WideDeep.name, params={}), LIMITS, "noise-required"),
    ],
    ids=["no noise", "placement", "per release", "multiplier", "no policy", "clicks"],
)
def test_weaker_terms_are_refused_before_any_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: TrainBody, limits: PrivacyPolicy | None, reason: str
) -> None:
    store = store_in(tmp_path, limits)
    assert refused_unread(monkeypatch, asked(body), store) == reason
    assert guard_of(store) is None or released(store) == []


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        (replace(PLAN, steps=None), ProtocolError, "steps=None"),
        (replace(PLAN, steps=None, patience=2), ProtocolError, "steps=None"),
    ],
)
def test_a_course_that_depends_on_rows_is_refused(
    tmp_path: Path, plan: LocalTraining, error: type[Exception], message: str
) -> None:
    store = store_in(tmp_path)
    with pytest.raises(error, match=message):
        train_reply(asked(body_of(plan=plan)), store)
    assert released(store) == []


def test_what_the_optimizer_remembers_stays_with_the_tenant_and_goes_on(tmp_path: Path) -> None:
    """Moments are made of noised gradients; a proximal term pulls towards weights that came."""
    store, plan = store_in(tmp_path), replace(PLAN, keep_moments=True, proximal=0.1)
    assert set(opened(store, body_of(plan))) == {
        "update/items.residual.weight",
        "update/encoder.offset.weight",
        "weight",
    }
    kept = private_arrays(store, "0" * 16)
    assert kept["moments/items.residual.weight/step"] == 3
    opened(store, body_of(plan, round=2))
    assert private_arrays(store, "0" * 16)["moments/items.residual.weight/step"] == 6


ROWS = LocalRows(Histories.from_lists([[0, 1, 2, 3], [3, 4, 5], [5, 0]], 6))


def test_the_loop_makes_the_steps_that_were_paid_for() -> None:
    network = MODEL.build(6, 0, 0)
    trained = train(network, MODEL, ROWS, PLAN, noise=StepTerms(0.5, 0.5, 1.0, 2, 3))
    assert (trained.steps, trained.losses) == (3, ())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


@pytest.mark.parametrize("change", [{"steps": 4}, {"divisor": 3}])
def test_the_loop_makes_no_other_steps(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="to be those of the noise"):
        train(MODEL.build(6, 0, 0), MODEL, ROWS, PLAN, noise=replace(StepTerms(0.5, 0.5, 1.0, 2, 3), **change))


def test_a_validation_does_not_end_private_steps() -> None:
    with pytest.raises(ConfigError, match="release without noise"):
        train(MODEL.build(6, 0, 0), MODEL, ROWS, PLAN, validate=lambda net: 0.0, noise=StepTerms(0.5, 0.5, 1.0, 2, 3))


def test_with_hardly_any_noise_private_steps_learn() -> None:
    """Everyone goes round six items, so what comes next is certain: after the steps it is ranked first."""
    rows = LocalRows(Histories.from_lists([[(start + i) % 6 for i in range(4)] for start in range(6)] * 3, 6))
    model = GRU4Rec(dim=8, hidden=16, max_length=8, dropout=0.0)
    plan = replace(PLAN, loss="sampled_softmax", negatives=8, steps=60, batch_size=9, learning_rate=0.03)
    network = model.build(6, 0, 0)
    train(network, model, rows, plan, noise=StepTerms(0.5, 1.0, 1e-3, 9, 60))
    asked_for = Histories.from_lists([[0, 1, 2], [4, 5, 0]], 6)
    assert network_scores(network, None, asked_for, 8, np.zeros(6)).argmax(1).tolist() == [3, 1]
