"""What outlives a round besides the weights: the clients' moments, and the server's rate on its schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load

from fedrec.errors import ConfigError
from fedrec.messages import WORDS
from fedrec.server.training import FederatedTraining
from tests.server.training_federation import LOCAL, TRAINING, Run, same


def sizes_up(run: Run) -> list[int]:
    answers = [message.content[WORDS] for message in run.wire if WORDS in message.content]
    return [sum(array.shape[0] for array in words.values()) for words in answers]


def test_moments_are_kept_by_the_client_and_never_sent(tmp_path):
    anew, on = Run(tmp_path / "anew"), Run(tmp_path / "on")
    assert not same(on.train(replace(TRAINING, local=replace(LOCAL, keep_moments=True))), anew.train())
    assert sizes_up(on) == sizes_up(anew)
    assert {frozenset(m.content) for m in on.wire} == {frozenset(m.content) for m in anew.wire}
    assert not (tmp_path / "anew" / "tenants" / "left" / "private").exists()
    (last,) = (tmp_path / "on" / "tenants" / "left" / "private").glob("*-000003.safetensors")
    assert {name.split("/")[0] for name in load(last.read_bytes())} == {"moments"}


def test_the_servers_rate_follows_its_schedule(tmp_path):
    """FedAvgM without momentum moves by rate times the clients' mean, which is the same in a first round."""

    def moved(schedule: str, rounds: int) -> dict[str, np.ndarray]:
        training = replace(TRAINING, rounds=rounds, optimizer="fedavgm", schedule=schedule)
        return Run(tmp_path / f"{schedule}{rounds}").train(training)

    assert same(moved("cosine", 1), moved("constant", 1))
    assert not same(moved("cosine", 2), moved("constant", 2))


def test_a_schedule_needs_a_rate(tmp_path):
    with pytest.raises(ConfigError, match="fedavg has no learning rate"):
        FederatedTraining(schedule="cosine")
