"""A tenant that insists on noise gives no answer that depends on rows but one with noise, whatever is asked of it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fedrec.client.guard import FOLDER, guard_of
from fedrec.client.local_training import train_reply
from fedrec.client.noised import noised_answer
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.party import POLICY as MASKS_POLICY
from fedrec.client.party import create_identity, open_party, pin_roster
from fedrec.client.rehearsal import steps_or_noise
from fedrec.client.required import REQUIRES
from fedrec.client.training import LocalRows, Trained, train
from fedrec.contribution import Contribution
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ContributionError, ModelError, ProtocolError, Refusal
from fedrec.messages import Capacity, ContributeBody, NoiseTerms, StatisticSpec, instruction, read_answer
from fedrec.models.neural.network import Network, arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.statistics import ItemCounts
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.server.exchange import holdout_of
from fedrec.strategies.local_updates import TRAIN
from tests.client.test_private_training import LIMITS, MODEL, NOISE, PLAN, asked, body_of, released, store_in
from tests.federation import config_of

STATISTIC = ItemCounts(6, 3, unit_norm=True)
TERMS = StepTerms(rate=1.0, clip_norm=0.5, multiplier=2.0, divisor=2, steps=3)


def body(multiplier: float = 3.0, statistics: int = 1) -> ContributeBody:
    return ContributeBody(
        round=1,
        phase="final",
        capacity=Capacity(max_clients=2, max_users=1_000_000),
        holdout=holdout_of(config_of()),
        statistics=[StatisticSpec(name="item_counts", params={})] * statistics,
        noise=NoiseTerms(placement="local", sharers=1, multipliers=[multiplier] * statistics),
    )


def failing() -> Contribution:
    raise ContributionError("one of my users has an item")


def test_a_failure_is_answered_with_noise_and_was_paid_for(tmp_path: Path) -> None:
    """Without noise an answer would be that somebody's rows made it fail. Equal words have a chance of 2^-60."""
    guard = guard_of(store_in(tmp_path))
    assert guard is not None
    layout = STATISTIC.layout().prefixed("0")
    first, second = (read_answer(noised_answer(body(), guard, "a sum", layout, failing)) for _ in range(2))
    assert len(guard.ledger.entries()) == 2
    assert np.concatenate([first.u32, first.u64]).any()
    assert not (np.array_equal(first.u32, second.u32) and np.array_equal(first.u64, second.u64))


def test_it_is_on_the_ledger_before_a_row_is_read(tmp_path: Path) -> None:
    guard = guard_of(store_in(tmp_path))
    assert guard is not None
    seen: list[int] = []

    def counting() -> Contribution:
        seen.append(len(guard.ledger.entries()))
        return failing()

    noised_answer(body(), guard, "a sum", STATISTIC.layout().prefixed("0"), counting)
    assert seen == [1]


def test_files_that_cannot_be_read_are_no_answer_of_zeros(tmp_path: Path) -> None:
    guard = guard_of(store_in(tmp_path))
    assert guard is not None

    def broken() -> Contribution:
        raise OSError(5, "input/output error")

    with pytest.raises(OSError, match="input/output"):
        noised_answer(body(), guard, "a sum", STATISTIC.layout().prefixed("0"), broken)


def test_all_that_is_in_one_answer_is_held_against_the_limit_of_one(tmp_path: Path) -> None:
    """Each of six releases with noise 6 costs 0.65 at delta 1e-5, all together 1.7."""
    limits = replace(LIMITS, epsilon_per_release=1.2)
    guard = guard_of(store_in(tmp_path, limits))
    assert guard is not None
    layout = STATISTIC.layout().prefixed("0")
    for number in range(1, 6):
        layout = layout.join(STATISTIC.layout().prefixed(str(number)))
    with pytest.raises(Refusal, match="too-little-noise"):
        noised_answer(body(6.0, 6), guard, "six sums", layout, failing)
    assert guard.ledger.entries() == []
    noised_answer(body(6.0), guard, "one sum", STATISTIC.layout().prefixed("0"), failing)


def test_a_round_that_fails_is_one_of_noise_alone() -> None:
    rows = LocalRows(Histories.from_lists([[0, 1, 2], [2, 3, 4]], 6))
    tried: list[int] = []

    def once(network: Network, some: LocalRows) -> Trained:
        tried.append(some.histories.num_users)
        if some.histories.num_users:
            next(network.parameters()).data.fill_(7.0)  # half a round
            raise ModelError("a user's row broke it")
        return train(network, MODEL, some, PLAN, Progress(), None, {}, TERMS)

    network, trained = steps_or_noise(lambda: MODEL.build(6, 0, 0), rows, once)
    assert tried == [2, 0]
    assert trained.steps == 3
    assert float(next(network.parameters()).detach().max()) < 7.0
    before = MODEL.build(6, 0, 0).state_dict()
    assert all(bool((after != before[name]).all()) for name, after in network.state_dict().items())


def test_weights_larger_than_any_that_were_trained_are_refused_and_nothing_is_spent(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    network = MODEL.build(6, 0, 1)
    arrays = arrays_of(network, tuple(sorted(network.state_dict())))
    arrays["items.residual.weight"][0] *= 1e12
    message = Message(instruction(body_of(), arrays), dst_node_id=1, message_type=TRAIN)
    with pytest.raises(ProtocolError, match="weights of at most"):
        train_reply(message, store)
    assert released(store) == []


def test_a_server_cannot_ask_for_more_negatives_than_memory_holds(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(ConfigError, match="negatives"):
        LocalTraining(loss="bce", negatives=10**13)
    wrong = body_of().model_copy(update={"plan": asdict(PLAN) | {"negatives": 10**13}})
    with pytest.raises(ProtocolError, match="negatives"):
        train_reply(asked(wrong), store)
    assert released(store) == []


def test_a_clip_that_would_hide_a_user_from_the_noise_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(ProtocolError, match="clip_norm"):
        train_reply(asked(body_of(noise=NOISE.model_copy(update={"clip_norm": 1e-30}))), store)
    assert released(store) == []


@pytest.mark.parametrize("folder", [FOLDER, MASKS])
def test_a_folder_that_is_gone_does_not_pass_for_one_that_never_was(tmp_path: Path, folder: str) -> None:
    store = store_in(tmp_path)
    create_identity(store.folder)
    shutil.rmtree(store.folder / folder)
    reason = "noise-required" if folder == FOLDER else "masks-required"
    with pytest.raises(Refusal, match=reason):
        _ = guard_of(store) if folder == FOLDER else open_party(context_of(store.folder), bytes(16))


@pytest.mark.parametrize("folder", [FOLDER, MASKS])
def test_a_tenant_of_before_there_were_notes_insists_from_its_next_answer_on(tmp_path: Path, folder: str) -> None:
    store = store_in(tmp_path)
    pin_roster(store.folder, Roster((Member(1, create_identity(store.folder), store.name),)))
    (store.folder / REQUIRES).unlink()

    def look() -> object:
        return guard_of(store) if folder == FOLDER else open_party(context_of(store.folder), bytes(16))

    assert look() is not None
    shutil.rmtree(store.folder / folder)
    with pytest.raises(Refusal, match="required"):
        look()


def test_a_policy_of_masks_that_is_gone_does_not_pass_for_the_default(tmp_path: Path) -> None:
    """It may have insisted on larger sums than the default asks for."""
    store = store_in(tmp_path)
    pin_roster(store.folder, Roster((Member(1, create_identity(store.folder), store.name),)), Policy(min_cohort=50))
    (store.folder / MASKS / MASKS_POLICY).unlink()
    with pytest.raises(ConfigError, match="is gone"):
        open_party(context_of(store.folder), bytes(16))


def test_a_damaged_note_of_what_is_required_lets_nothing_leave(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    shutil.rmtree(store.folder / FOLDER)
    (store.folder / REQUIRES).write_text("noise =")
    with pytest.raises(ConfigError, match="nothing leaves"):
        guard_of(store)


def context_of(folder: Path) -> Context:
    return Context(1, 1, {"store": str(folder)}, RecordDict(), {})
