"""Parameters that stay as they came: not trained, not in the sum, and without noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedrec.client.training import LocalRows, train
from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.messages import ARRAYS
from fedrec.models.neural import MF, GRU4Rec, NeuralModel, SASRec
from fedrec.models.neural.plan import LocalTraining
from fedrec.privacy.gradients.summed import SUM
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.strategies.local_updates import mean_update
from tests.client.test_private_training import MODEL, asked
from tests.client.test_shared_training import PLAN, masked_store, shared_body, words

ROWS = LocalRows(Histories.from_lists([[0, 1, 2, 3], [3, 4, 5], [5, 0]], 6))
FROZEN = replace(PLAN, freeze="items")
MODELS = [MODEL, GRU4Rec(dim=4, hidden=4, max_length=8), SASRec(dim=4, heads=2, max_length=8)]


@pytest.mark.parametrize(
    ("model", "private"),
    [(MODELS[0], False), (MODELS[1], False), (MODELS[2], False), (MODELS[0], True), (MODELS[2], True)],
    ids=str,
)
def test_frozen_items_stay_and_the_encoder_learns(model: NeuralModel, private: bool) -> None:
    network = model.build(6, 0, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plan = LocalTraining(loss="bce", negatives=4, steps=2, batch_size=2, learning_rate=0.1, freeze="items")
    train(network, model, ROWS, plan, noise=StepTerms(0.9, 0.5, 1.0, 2, 2) if private else None)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("items"), name


def test_the_sum_holds_what_is_trained_and_the_server_keeps_the_rest(tmp_path: Path) -> None:
    body = shared_body(FROZEN)
    size = next(p.numel() for name, p in MODEL.build(6, 0, 0).named_parameters() if name.startswith("encoder"))
    found = words(masked_store(tmp_path, rows={"ann": "abcd", "bob": "bcde"}), body)
    assert found.shape == (size,)
    sent = asked(body).content
    layout = body.release(sent).encoding.layout
    content, _ = mean_update(body, sent, Total(layout, {SUM: np.ones(size)}, 2))
    after, before = content.array_records[ARRAYS], sent.array_records[ARRAYS]
    for name in before:
        same = np.array_equal(after[name].numpy(), before[name].numpy())
        assert same == name.startswith("items"), name


def test_a_recurrence_over_vectors_without_gradients_has_no_private_steps() -> None:
    plan = LocalTraining(loss="bce", negatives=4, steps=2, batch_size=2, freeze="items")
    with pytest.raises(ModelError, match="its vectors must come from trained weights"):
        train(MODELS[1].build(6, 0, 0), MODELS[1], ROWS, plan, noise=StepTerms(1.0, 0.5, 1.0, 2, 2))


@pytest.mark.parametrize("freeze", ["nothing.of.it", "items, encoder"])
def test_nothing_to_freeze_and_nothing_to_train_are_refused(freeze: str) -> None:
    with pytest.raises(ConfigError, match="to name some of the parameters"):
        train(MF(dim=4).build(6, 0, 0), MF(dim=4), ROWS, replace(PLAN, freeze=freeze))
