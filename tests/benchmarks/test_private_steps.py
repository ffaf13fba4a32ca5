"""The ways that benchmark `private-steps` compares do the same: only privacy, and how it is made, differs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.private_steps import ByHand, norms_of
from benchmarks.private_training import MODELS, WAYS, Ghost, Size, Training

SIZE = Size(items=40, users=6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_every_way_makes_a_step(name: str, way: str) -> None:
    training = Training(name, SIZE)
    before = training.network.items.residual.weight.detach().clone()
    WAYS[way](training)()
    after = training.network.items.residual.weight.detach()
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_a_table_that_is_read_by_hand_gives_the_same_loss() -> None:
    training = Training("SASRec", SIZE)
    part, network = training.part(), training.network.eval()
    torch.testing.assert_close(ByHand(part).losses(network), part.losses(network))
    torch.testing.assert_close(norms_of(network, ByHand(part)), norms_of(network, part))


def test_ghost_clipping_sees_all_of_a_table_that_is_read_by_its_layer() -> None:
    """So what it misses by hand is due to the hand."""
    training = Training("MF", SIZE)
    part = training.part()
    exact = norms_of(training.network.eval(), part)
    found = Ghost(training).backward(part.losses(training.network))
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)
