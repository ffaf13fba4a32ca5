"""A user's gradient is the same to the last bit whoever else is in the step, under weights that make much of rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedrec.data.histories import Histories
from fedrec.models.neural import CNN, MF, Autoencoder, GRU4Rec, Network, NeuMF, NeuralModel, SASRec
from fedrec.models.neural.batches import Batch, Batches, filled
from fedrec.models.neural.by_user import UserBatch, UserRanking
from fedrec.models.neural.objectives import Catalogue, Ranking
from fedrec.models.neural.randomness import stream
from fedrec.privacy.gradients.passes import Passes
from fedrec.privacy.gradients.per_user import sample_of
from fedrec.privacy.gradients.steps import PrivateSteps
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.gradients.sums import BoundedSum
from fedrec.privacy.gradients.terms import StepTerms, rows_for
from fedrec.privacy.noise import Keystream
from fedrec.rng import derive
from tests.models.neural.worlds import NUM_ITEMS
from tests.privacy.gradients.worlds import PLAN, World

LENGTH, ROWS = 12, 32
MODELS: list[NeuralModel] = [
    MF(dim=16, max_length=LENGTH),
    NeuMF(dim=16, hidden=16, max_length=LENGTH, dropout=0.0),
    GRU4Rec(dim=16, hidden=16, max_length=LENGTH, dropout=0.0),
    GRU4Rec(dim=16, hidden=24, layers=2, max_length=LENGTH, dropout=0.0),
    CNN(dim=16, max_length=LENGTH, dropout=0.0),
    SASRec(dim=16, max_length=LENGTH, dropout=0.0),
    Autoencoder(dim=16, hidden=16, max_length=LENGTH, dropout=0.0),
]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
every_scale = pytest.mark.parametrize("scale", [None, 3.0, 100.0, 9e3], ids=lambda scale: f"scale {scale}")


def network_of(model: NeuralModel, scale: float | None) -> Network:
    """With normal weights of that deviation, as large as a server may send; None: as a network begins."""
    network = model.build(NUM_ITEMS, 0, 0)
    for parameter in network.parameters() if scale else ():
        nn.init.normal_(parameter, std=scale, generator=stream(0, "hostile"))
        parameter.data.clamp_(-1e4, 1e4)
    return network


def drawn(model: NeuralModel, users: int, loss: str, seed: int) -> UserBatch:
    """Users of lengths from 2 up, in one part with no row to spare."""
    rng = derive(seed, "users")
    rows = [rng.integers(NUM_ITEMS, size=int(rng.integers(2, LENGTH + 2))).tolist() for _ in range(users)]
    batches = Batches(Histories.from_lists(rows, NUM_ITEMS), model.objective, LENGTH, users)
    task = UserRanking(Ranking(Catalogue(torch.arange(NUM_ITEMS), None), batches, replace(PLAN, loss=loss), ()))
    (part,) = task.parts(np.arange(users), users, stream(seed, "part"))
    return part


def joined(parts: list[UserBatch]) -> UserBatch:
    """The users of several, one after another."""
    kinds = ("inputs", "lengths", "targets", "mask")
    together = Batch(*(torch.cat([getattr(part.batch, kind) for part in parts]) for kind in kinds))
    negatives = torch.cat([part.negatives for part in parts])
    return replace(parts[0], batch=together, negatives=negatives, users=len(negatives))


def shaped(part: UserBatch, rows: int = ROWS) -> UserBatch:
    """With rows that are made up after its users."""
    spare = part.negatives.new_zeros(rows - len(part), part.negatives.shape[1])
    return replace(part, batch=filled(part.batch, rows, LENGTH), negatives=torch.cat([part.negatives, spare]))


def gradients(network: Network, part: UserBatch) -> list[Tensor]:
    """(rows, ...) of every parameter, and of tables which rows of theirs it is."""
    passes = Passes(network, checked=True)
    passes.begin(stream(0, "dropout"))
    try:
        passes.run(part, passes.users.forget_gradients)
        tables = [table.rows for table in passes.users.tables if table.rows is not None]
        return [*(sample_of(parameter).clone() for parameter in network.parameters()), *tables, passes.users.norms()]
    finally:
        passes.end()


@every_model
@every_scale
@pytest.mark.parametrize("loss", ["sampled_softmax", "bce"])
def test_a_users_gradient_does_not_depend_on_who_else_is_there(
    model: NeuralModel, scale: float | None, loss: str
) -> None:
    """The same user in four places, with others each time, and in a part that is all but made up."""
    network, user = network_of(model, scale), drawn(model, 1, loss, 0)
    found = []
    for place, others in ((0, 0), (0, 31), (3, 31), (18, 25), (31, 31)):
        crowd = drawn(model, 31, loss, place + 1).some(slice(others))
        part = joined([crowd.some(slice(place)), user, crowd.some(slice(place, None))])
        found.append([of_all[place] for of_all in gradients(network, shaped(part))])
    assert sum(float(value.abs().nansum()) for value in found[0]) > 0
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            torch.testing.assert_close(same, one, rtol=0, atol=0, equal_nan=True)


class Given:
    """A task of fixed users, each with negatives of its own, whoever is drawn with them."""

    rehearsed = True

    def __init__(self, users: UserBatch) -> None:
        self._users = users
        self.asked: list[int] = []

    @property
    def num_users(self) -> int:
        return len(self._users)

    def parts(self, chosen: np.ndarray, rows: int, generator: torch.Generator) -> Iterator[UserBatch]:
        self.asked.append(rows)
        for start in range(0, len(chosen), rows):
            yield shaped(joined([self._users.some(slice(i, i + 1)) for i in chosen[start : start + rows]]), rows)


@every_model
@pytest.mark.parametrize(("scale", "quantile"), [(None, 0.7), (10.0, None)])
def test_a_user_more_moves_the_sum_by_its_own_part_though_all_others_move_up(
    model: NeuralModel, scale: float | None, quantile: float | None
) -> None:
    """The first of 40: without it, everyone is one place further ahead, and the last part has a user less."""
    terms = SumTerms(rate=1.0, clip_norm=0.05, multiplier=2.0, divisor=20, sharers=2, quantile=quantile)
    everyone = drawn(model, 40, "sampled_softmax", 0)
    found, rest, alone = (
        summed(network_of(model, scale), everyone.some(users), terms)
        for users in (slice(None), slice(1, None), slice(1))
    )
    assert np.array_equal(found - rest, alone)
    assert np.linalg.norm(alone) <= terms.user_l2
    assert rest.any()


def summed(network: Network, users: UserBatch, terms: SumTerms) -> np.ndarray:
    names = sorted(name for name, _ in network.named_parameters())
    return BoundedSum(network, Given(users), names, terms, Keystream(bytes(32))).contribution().values[SUM]


@pytest.mark.parametrize("users", [0, 1, 40])
def test_a_step_asks_for_parts_of_as_many_rows_whoever_is_drawn(users: int) -> None:
    """A quarter of 256 expected users, in both kinds of private steps."""
    network, few = network_of(MODELS[0], None), drawn(MODELS[0], 40, "bce", 0).some(slice(users))
    task, optimizer = Given(few), torch.optim.SGD(network.parameters(), lr=1.0)
    names = sorted(name for name, _ in network.named_parameters())
    BoundedSum(network, task, names, SumTerms(1.0, 0.05, 2.0, divisor=256, sharers=2)).contribution()
    with PrivateSteps(network, task, optimizer, StepTerms(1.0, 0.05, 2.0, divisor=256, steps=1)) as steps:
        steps.gradient()
    assert task.asked == [64, 64]


@every_model
def test_rows_that_are_made_up_change_no_step(model: NeuralModel) -> None:
    users = drawn(model, 5, "bce", 0)
    exact, padded = World(model, torch.float32), World(model, torch.float32)
    expected, found = exact.gradient([users]), padded.gradient([shaped(users)])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6, msg=name)


class _ByPlace(nn.Module):
    """Rounds each row another way, as kernels do whose last rows are left over."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        states: Tensor = self.inner(vectors, lengths)
        return states * (1 + 1e-6 * (torch.arange(len(states)) == len(states) - 1)).view(-1, 1, 1)


@pytest.mark.parametrize("by_place", [False, True])
def test_rows_that_are_not_computed_alike_are_noticed(by_place: bool) -> None:
    model = MODELS[0]
    network = network_of(model, 0.3)
    if by_place:
        network.encoder = _ByPlace(network.encoder)
    part, passes = drawn(model, ROWS, "bce", 0), Passes(network, checked=True)
    passes.begin(stream(0, "dropout"))
    try:
        assert passes.alike(part, part.turned()) is not by_place
    finally:
        passes.end()


@pytest.mark.parametrize(
    ("expected", "most", "rows"),
    [(2, 256, 32), (256, 256, 64), (300, 256, 64), (10**9, 256, 256), (10**9, 100, 64), (64, 31, 1), (64, 1, 1)],
)
def test_the_rows_of_a_part_follow_from_public_numbers(expected: int, most: int, rows: int) -> None:
    assert rows_for(expected, most) == rows


def test_one_thread_computes_all_rows_and_the_others_are_there_afterwards() -> None:
    world, before = World(MODELS[0]), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with world.steps:
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
