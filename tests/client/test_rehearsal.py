"""What is refused before any row is read, and that one user can no longer make a round look like something to refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedrec.client.local_training import train_reply
from fedrec.client.rehearsal import rehearse, rows_alike
from fedrec.client.training import LocalRows
from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.models.neural import CNN, MF, GRU4Rec, NeuMF, NeuralModel, SASRec
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserRanking
from fedrec.models.neural.network import Network
from fedrec.models.neural.objectives import Catalogue, Ranking, Rehearsed
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import network_scores
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.gradients.sums import BoundedSum
from fedrec.privacy.noise import Keystream
from fedrec.rng import derive
from tests.client.test_noised import TERMS
from tests.client.test_private_training import MODEL, PLAN, asked, body_of, released, store_in
from tests.client.test_shared_training import NOISE as SHARED_NOISE
from tests.client.test_shared_training import PLAN as SHARED_PLAN
from tests.client.test_shared_training import masked_store

NUM_ITEMS, RARE = 400, 399
GRU = GRU4Rec(dim=8, hidden=8, max_length=8, dropout=0.0)
LARGE = GRU4Rec(dim=64, hidden=64, max_length=16, dropout=0.0)
SUMMED = SumTerms(rate=1.0, clip_norm=0.5, multiplier=2.0, divisor=16, sharers=2)


def test_a_network_without_private_steps_is_refused_and_nothing_is_spent(tmp_path: Path) -> None:
    """Items that are frozen give a recurrent unit no gradient of its input. No user is needed to see it."""
    store = store_in(tmp_path)
    body = body_of(replace(PLAN, freeze="items"), model=GRU.name, params=vars(GRU))
    with pytest.raises(ModelError, match="had no gradient of its input"):
        train_reply(asked(body, GRU), store)
    assert released(store) == []


def test_the_same_is_refused_where_noise_is_shared(tmp_path: Path) -> None:
    store = masked_store(tmp_path)
    body = body_of(replace(SHARED_PLAN, freeze="items"), SHARED_NOISE, model=GRU.name, params=vars(GRU))
    with pytest.raises(ModelError, match="had no gradient of its input"):
        train_reply(asked(body, GRU), store)
    assert released(store) == []


def test_a_rehearsal_changes_nothing() -> None:
    network = MODEL.build(6, 0, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows = LocalRows(Histories.from_lists([[0]], 6))
    after = rehearse(network, MODEL, rows, PLAN, TERMS)
    assert (after.histories, after.content, after.assortment) == (rows.histories, None, None)
    assert all(bool((value == before[name]).all()) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_user_with_an_item_that_was_made_up_for_it_moves_the_sum_by_no_more_than_the_bound() -> None:
    """The item's vector is all but orthogonal to the user's state and as long as it may be, so that the score is an
    error of rounding. Looked at, such users look as if a part of their gradient were missing, and that ended a round."""
    others = [row.tolist() for row in derive(0, "others").integers(100, size=(15, 8))]
    noticed = 0
    for seed in range(6):
        network = LARGE.build(NUM_ITEMS, 0, 0)
        made_up_item(network, [5, 3], seed)
        without, found = (
            summed(network, others, Rehearsed(True)),
            summed(network, [*others, [5, 3, RARE]], Rehearsed(True)),
        )
        assert 0 < np.linalg.norm(found - without) <= SUMMED.user_l2
        assert np.linalg.norm(without) > 2 * SUMMED.user_l2
        try:
            summed(network, [*others, [5, 3, RARE]], None)
        except ModelError:
            noticed += 1
    assert noticed


def made_up_item(network: Network, before: list[int], seed: int) -> None:
    """Gives `RARE` a vector of length 1e4 at each coordinate at most, orthogonal to the state after the events."""
    table, dim = network.items.residual.weight, LARGE.dim  # type: ignore[union-attr]
    with torch.no_grad():
        table[200 : 200 + dim] = torch.eye(dim)  # the scores of these items are the state
        scores = network_scores(network, None, Histories.from_lists([before], NUM_ITEMS), 16, np.zeros(NUM_ITEMS))
        state = torch.from_numpy(scores[0, 200 : 200 + dim]).double()
        vector = torch.rand(dim, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1
        for _ in range(50):
            vector -= state * (vector @ state) / (state @ state)
            vector /= vector.abs().max()
        table[RARE] = (9.99e3 * vector).float()


def summed(network: Network, users: list[list[int]], rehearsed: Rehearsed | None) -> np.ndarray:
    """What all users add under one seed, so that those who are in two sums have the same negatives in both."""
    plan = LocalTraining(loss="bce", negatives=4, steps=1, batch_size=16, optimizer="sgd")
    batches = Batches(Histories.from_lists(users, NUM_ITEMS), LARGE.objective, LARGE.max_length, 16)
    task = UserRanking(Ranking(Catalogue(torch.arange(NUM_ITEMS), None), batches, plan, (), rehearsed))
    names = sorted(name for name, _ in network.named_parameters())
    return BoundedSum(network, task, names, SUMMED, Keystream(bytes(32))).contribution().values[SUM]


@pytest.mark.parametrize(
    "model",
    [MF(max_length=20), NeuMF(max_length=20), GRU4Rec(max_length=20), CNN(max_length=20), SASRec(max_length=20)],
    ids=lambda model: model.name,
)
@pytest.mark.parametrize("fields", [(), (100,)], ids=["ids", "content"])
def test_rows_of_the_usual_widths_are_computed_alike(model: NeuralModel, fields: tuple[int, ...]) -> None:
    assert rows_alike(model, fields, replace(PLAN, loss="sampled_softmax", negatives=128), 64)


def test_where_rows_are_not_computed_alike_users_come_one_by_one() -> None:
    """A part of one row has no place in it that another user could take."""
    rows = Histories.from_lists([[0, 1, 2], [2, 3], [4, 5, 0, 1]], 6)
    for alike, sizes in ((True, [(3, 32)]), (False, [(1, 1)] * 3)):
        batches = Batches(rows, "next", 8, 4)
        task = UserRanking(Ranking(Catalogue(torch.arange(6), None), batches, PLAN, (), Rehearsed(alike)))
        parts = list(task.parts(np.arange(3), 32, torch.Generator().manual_seed(0)))
        assert [(len(part), len(part.negatives)) for part in parts] == sizes
