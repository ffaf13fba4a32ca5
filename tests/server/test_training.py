"""Rounds of training over a small federation, with and without masks, losses and interruptions."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedrec.client.party import pin_roster
from fedrec.client.training import LocalRows, train
from fedrec.data import leave_last_out
from fedrec.errors import ConfigError, RoundFailed
from fedrec.messages import ARRAYS, BODY, EXPECT, REFUSAL, SECAGG, WORDS
from fedrec.models.neural import MF
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.privacy.secagg.policy import Policy
from fedrec.server.training import FederatedTraining
from fedrec.simulations.tenancy import create_roster
from fedrec.strategies.optimizers import OPTIMIZERS
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import LEFT
from tests.server.killed_run import KILLED
from tests.server.training_federation import (
    LOCAL,
    MODEL,
    TENANTS,
    TRAINING,
    Run,
    rows,
    same,
    stores_in,
)


def locally_trained(tenant, model=MODEL, plan=LOCAL, rounds=1):
    network = model.build(6, 0, 0)
    start = arrays_of(network, tuple(network.state_dict()))
    histories = leave_last_out(rows(tenant, TENANTS[tenant]).histories()).fit
    train(network, model, LocalRows(histories), plan, Progress(0, 1, rounds, tenant))
    return start, arrays_of(network, tuple(network.state_dict()))


def test_one_round_is_the_mean_of_what_tenants_train_alone_weighed_by_users(tmp_path):
    found = Run(tmp_path).train(replace(TRAINING, rounds=1))
    alone = {tenant: locally_trained(tenant)[1] for tenant in TENANTS}
    for name, value in found.items():
        expected = (3 * alone["left"][name] + 4 * alone["right"][name] + 2 * alone["third"][name]) / 9
        np.testing.assert_allclose(value, expected, atol=1e-4)


def test_no_tenant_weighs_more_than_the_cap(tmp_path):
    found = Run(tmp_path).train(replace(TRAINING, rounds=1, local=replace(LOCAL, max_users=2)))
    alone = [locally_trained(tenant)[1] for tenant in TENANTS]
    for name, value in found.items():
        np.testing.assert_allclose(value, sum(arrays[name] for arrays in alone) / 3, atol=1e-4)


def test_an_update_is_clipped_to_the_bound_of_the_plan(tmp_path):
    run = Run(tmp_path, {"left": LEFT}, min_tenants=1)
    found = run.train(replace(TRAINING, rounds=1, local=replace(LOCAL, update_norm=0.5)))
    start, trained = locally_trained("left")
    moved = np.sqrt(sum(((found[name] - start[name]) ** 2).sum() for name in start))
    assert moved == pytest.approx(0.5, rel=1e-3)
    away = np.sqrt(sum(((trained[name] - start[name]) ** 2).sum() for name in start))
    for name in start:
        np.testing.assert_allclose(found[name] - start[name], (trained[name] - start[name]) * 0.5 / away, atol=1e-4)


def test_only_an_instruction_goes_down_and_only_words_come_up(tmp_path):
    run = Run(tmp_path)
    run.train(model=replace(MODEL, residual="private"))
    down = [message.content for message in run.wire if not message.metadata.reply_to_message_id]
    up = [message.content for message in run.wire if message.metadata.reply_to_message_id]
    assert len(down) == len(up) == 9
    assert {frozenset(content) for content in down} == {frozenset({BODY, ARRAYS, EXPECT})}
    assert {frozenset(content) for content in up} == {frozenset({WORDS})}


def test_private_weights_never_enter_a_message(tmp_path):
    """Neither by name, nor in the length of what comes up, nor in what they change elsewhere."""
    run, model = Run(tmp_path), replace(MODEL, residual="private")
    found = run.train(model=model)
    assert "items.residual.weight" not in found
    num_shared = sum(value.size for value in found.values())
    for message in run.wire:
        if message.metadata.reply_to_message_id:
            words = message.content[WORDS]
            assert sum(words[kind].shape[0] for kind in ("u32", "u64")) == num_shared + 2  # the weight and the loss
        else:
            assert set(message.content[ARRAYS]) == set(found)
    kept = sorted(path.name.split("-")[1] for path in (tmp_path / "tenants" / "left" / "private").iterdir())
    assert kept == ["000002.safetensors", "000003.safetensors"]


def test_a_run_is_repeated_exactly(tmp_path):
    assert same(Run(tmp_path / "one").train(), Run(tmp_path / "two").train())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, optimizer):
    parameters = {"fedavgm": {"server_momentum": 0.9}, "fedprox": {"proximal_mu": 0.5}}.get(optimizer, {})
    local = replace(LOCAL, schedule="cosine", keep_moments=True)
    training = replace(TRAINING, optimizer=optimizer, parameters=parameters, local=local)
    model = replace(MODEL, residual="private")
    whole = Run(tmp_path / "whole").train(training, model)

    class Stopped(Exception):
        pass

    def stop(message):
        if message.metadata.group_id == "3" and message.metadata.dst_node_id == 102:
            raise Stopped
        return False

    with pytest.raises(Stopped):
        Run(tmp_path / "parts", lost=stop).train(training, model)
    again = Run(tmp_path / "parts")
    assert same(again.train(training, model, resume=True), whole)
    assert again.events("resumed")[0]["round"] == 2
    assert all(value.dtype == np.float32 for value in whole.values())


def test_under_masks_the_weights_are_the_same_bit_for_bit(tmp_path):
    plain = Run(tmp_path / "plain").train()
    stores = stores_in(tmp_path / "secure" / "tenants")
    roster = create_roster(stores, tmp_path / "roster.txt")
    for store in stores:
        pin_roster(store.folder, roster, Policy(min_cohort=3, min_degree=2))
    masked = Run(tmp_path / "secure")
    masked.exchange.grid = SecureGrid(masked.exchange.grid, roster)
    assert same(masked.train(), plain)
    up = [message.content for message in masked.wire if message.metadata.reply_to_message_id]
    assert {frozenset(content) for content in up} == {frozenset({SECAGG})}
    assert [event["clients"] for event in masked.events("round-end")] == [3, 3, 3]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the run is killed in a forked process")
def test_a_run_killed_at_random_moments_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = Run(tmp_path / "whole").train(KILLED, replace(MODEL, residual="private"))
    command = [sys.executable, "-m", "tests.server.killed_run", str(tmp_path / "killed")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed = Run(tmp_path / "killed")
    assert len(killed.events("resumed")) == 3
    found = killed.train(KILLED, replace(MODEL, residual="private"), resume=True)
    assert same(found, whole), done.stdout
    private = sorted(path.name for path in (tmp_path / "killed" / "tenants" / "left" / "private").glob("*.safetensors"))
    assert private == sorted(path.name for path in (tmp_path / "whole" / "tenants" / "left" / "private").iterdir())
    for name in private:
        one, other = (tmp_path / run / "tenants" / "left" / "private" / name for run in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes()


def test_a_finished_run_is_not_trained_again(tmp_path):
    run = Run(tmp_path)
    first = run.train()
    before = len(run.wire)
    assert same(run.train(resume=True), first)
    assert len(run.wire) == before


def test_another_configuration_is_not_resumed(tmp_path):
    Run(tmp_path).train()
    with pytest.raises(ConfigError, match="another run or configuration"):
        Run(tmp_path).train(replace(TRAINING, rounds=4), resume=True)


def test_a_client_that_is_lost_is_reported_and_the_others_go_on(tmp_path):
    run = Run(tmp_path, lost=lambda message: message.metadata.dst_node_id == 101)
    run.train(replace(TRAINING, rounds=1))
    assert run.events("round-end")[0]["clients"] == 2


def test_a_client_that_declines_is_reported_by_its_reason(tmp_path):
    """The tenant `lonely` has nobody with two events."""
    run = Run(tmp_path, {**TENANTS, "lonely": {"eve": "a"}})
    run.train(replace(TRAINING, rounds=1))
    (end,) = run.events("round-end")
    assert end["failed"] == {"103": "ModelError"}
    assert [m for m in run.wire if REFUSAL in m.content]


def test_rounds_below_the_quorum_are_discarded_until_it_is_too_many(tmp_path):
    rounds_without = {"1", "3"}
    run = Run(tmp_path / "few", lost=lambda message: message.metadata.group_id in rounds_without)
    run.train()
    assert [event["round"] for event in run.events("round-discarded")] == [1, 3]
    run = Run(tmp_path / "all", lost=lambda message: True)
    with pytest.raises(RoundFailed):
        run.train(replace(TRAINING, max_failures=2))
    assert [event["round"] for event in run.events("round-discarded")] == [1, 2]


def test_a_discarded_round_changes_nothing(tmp_path):
    network = MODEL.build(6, 0, 0)
    run = Run(tmp_path, lost=lambda message: message.metadata.dst_node_id == 101, on_failure="discard", min_tenants=3)
    assert same(run.train(replace(TRAINING, rounds=1)), arrays_of(network, tuple(network.state_dict())))


def test_a_cohort_is_drawn_from_the_seed(tmp_path):
    def asked(folder):
        run = Run(folder, min_tenants=1)
        run.train(replace(TRAINING, rounds=6, cohort=0.5))
        down = [message.metadata for message in run.wire if not message.metadata.reply_to_message_id]
        return [(meta.group_id, meta.dst_node_id) for meta in down]

    first = asked(tmp_path / "one")
    assert first == asked(tmp_path / "two")
    assert len(first) == 12
    assert {node for _, node in first} == {100, 101, 102}


def test_training_may_start_from_weights_that_were_fitted_otherwise(tmp_path):
    factors = np.arange(24, dtype=np.float64).reshape(6, 4) / 100
    slow = replace(TRAINING, rounds=1, local=LocalTraining(learning_rate=1e-9))
    found = Run(tmp_path).train(slow, start={"items.residual.weight": factors})
    np.testing.assert_allclose(found["items.residual.weight"], factors, atol=1e-4)
    with pytest.raises(ConfigError, match="no shared weights 'factors'"):
        Run(tmp_path / "wrong").train(slow, start={"factors": factors})


def test_federated_training_learns(tmp_path):
    run = Run(tmp_path)
    run.train(FederatedTraining(rounds=8, local=LOCAL), MF(dim=4))
    losses = [event["loss"] for event in run.events("round-end")]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "Expected a whole number rounds=0 >= 1"),
        ({"cohort": 1.5}, "Expected cohort=1.5 <= 1"),
        ({"optimizer": "fedbest"}, "no server optimizer 'fedbest'; there are fedavg"),
        ({"optimizer": "fedadam", "parameters": {"lr": 1.0}}, "fedadam has no parameter 'lr'; it has eta"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FederatedTraining(**wrong)
