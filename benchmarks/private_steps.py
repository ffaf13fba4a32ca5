"""What privacy costs a training step, in time and memory, beside stock Opacus; and whether the bound holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.demo import cost_of
from benchmarks.federation import scratch
from benchmarks.figures import Row, at_least, at_most
from benchmarks.private_training import CLIP_NORM, MODELS, WAYS, Ghost, Size, Step, Training
from benchmarks.timing import median, spread
from fedrec.models.losses import SAMPLED
from fedrec.models.neural import Network
from fedrec.models.neural.by_user import UserBatch, UserRanking
from fedrec.models.neural.randomness import Dropout
from fedrec.privacy.gradients.steps import PrivateSteps
from fedrec.privacy.gradients.terms import StepTerms

SMALL, MIDDLE, LARGE = 3_700, 50_000, 200_000
BARS = {"MF": 2.5, "GRU": 2.0, "SASRec": 2.0}
LARGE_BAR = 2.5
MEMORY_BAR = 0.5
REPEATS, STOCK_REPEATS = 7, 3
FEW = 16
GIB = 1 << 30


def rows(settings: Settings) -> Iterator[Row]:
    """Memory first, while this process is small; then times, in turns; then the bound on a few users."""
    torch.set_num_threads(1)
    yield from _memory(settings)
    for items in (SMALL, MIDDLE, LARGE):
        for name in MODELS:
            yield from _times(name, Size(64 if settings.quick else items), settings, items)
    yield from _bounds()


BENCHMARK = Benchmark("private-steps", "private training steps against plain ones and stock Opacus", 4, rows)


def _memory(settings: Settings) -> Iterator[Row]:
    items, users = (1_000, 64) if settings.quick else (LARGE, 1024)
    with scratch() as folder:
        peaks = {way: _peak(way, items, users, folder) for way in ("plain", "private")}
    title = f"SASRec, {_short(LARGE)} items, batch 1024"
    extra = (peaks["private"] - peaks["plain"]) / GIB
    note = f"{peaks['private'] / GIB:.2f} against {peaks['plain'] / GIB:.2f} GiB, each a process of its own"
    yield Row(f"{title}: peak memory over a plain step", extra, "GiB", at_most(MEMORY_BAR), note=note)


def _peak(way: str, items: int, users: int, folder: Path) -> int:
    root = str(Path(__file__).resolve().parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from benchmarks.private_training import main; "
    command = [sys.executable, "-c", f"{code}main({way!r}, 'SASRec', {items}, {users})"]
    return cost_of(command, folder / f"{way}.txt").peak_bytes


def _times(name: str, size: Size, settings: Settings, items: int) -> Iterator[Row]:
    """A private step against a plain one, and at the small size against both ways of Opacus."""
    title = f"{name}, {_short(items)} items, batch {size.users}"
    turns = _turns(("plain", "private"), name, size, 1 if settings.quick else REPEATS)
    seconds = {way: median([turn[way] for turn in turns]) for way in turns[0]}
    ratios = [turn["private"] / turn["plain"] for turn in turns]
    note = (
        f"{1000 * seconds['private']:.0f} against {1000 * seconds['plain']:.0f} ms of processor time; {spread(ratios)}"
    )
    bar = at_most(LARGE_BAR if items == LARGE else BARS[name])
    yield Row(f"{title}: private step against plain", median(ratios), "x", bar, note=note)
    for way in ("hooks", "ghost") if items == SMALL else ():
        turns = _turns(("private", way), name, size, 1 if settings.quick else STOCK_REPEATS)
        slower = [turn[way] / turn["private"] for turn in turns]
        figure = f"{title}: Opacus' own {way} against this package"
        yield Row(figure, median(slower), "x", at_least(1), note=spread(slower))


def _turns(ways: tuple[str, ...], name: str, size: Size, repeats: int) -> list[dict[str, float]]:
    """Seconds of each way, one after the other, again and again; the first step of each is not counted."""
    steps = {way: WAYS[way](Training(name, size)) for way in ways}
    for step in steps.values():
        step()
    return [{way: _seconds(step) for way, step in steps.items()} for _ in range(repeats)]


def _seconds(step: Step) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def _bounds() -> Iterator[Row]:
    """What one user adds at most over the bound: here, and by ghost clipping of a table that is also read by hand."""
    training = Training("SASRec", Size(300, FEW))
    part = training.part()
    exact = norms_of(training.network.eval(), part)
    terms = StepTerms(1.0, CLIP_NORM, 1e-9, FEW, 1)
    with PrivateSteps(training.network, UserRanking(training.ranking), training.optimizer(), terms) as steps:
        _without_dropout(training.network)
        steps.gradient_of([part])
        error = float((steps.norms / exact - 1).abs().max())
    yield Row("SASRec: norm of a user's gradient, largest relative error", error, "", at_most(1e-4))
    tied = Training("SASRec", Size(300, FEW))
    _without_dropout(tied.network)
    by_hand = ByHand(tied.part())
    true = norms_of(tied.network.eval(), by_hand)
    found = Ghost(tied).backward(by_hand.losses(tied.network.train()))
    most = float((true * (CLIP_NORM / found).clamp(max=1.0)).max()) / CLIP_NORM
    note = "a table read by `weight[ids]` is left out of its norms, and nothing is said; this package refuses it"
    yield Row("SASRec with a tied table, Opacus' ghost: largest part of a user over the bound", most, "x", note=note)


@dataclass(frozen=True, eq=False)
class ByHand:
    """A part whose targets and negatives are read from the table's weight, as tied output layers often are."""

    part: UserBatch

    def some(self, rows: slice) -> ByHand:
        """See `UserBatch.some`."""
        return ByHand(self.part.some(rows))

    def __len__(self) -> int:
        return len(self.part)

    def losses(self, network: Network) -> Tensor:
        """(batch,) see `UserBatch.losses`."""
        batch, negatives = self.part.batch, self.part.negatives
        weight = network.items.residual.weight  # type: ignore[union-attr]
        states = network.states(network.item_vectors(None, batch.inputs), batch.lengths)
        positive = network.score_pairs(states, weight[batch.targets])
        negative = network.score(states, weight[negatives])
        is_target = negatives[:, None] == batch.targets[..., None]
        losses = SAMPLED[self.part.loss](positive, negative.masked_fill(is_target, -torch.inf), len(weight))
        return torch.where(batch.mask, losses, 0.0).sum(1) / batch.mask.sum(1)


def norms_of(network: Network, part: UserBatch | ByHand) -> Tensor:
    """(batch,) by one way back for each user."""
    norms = []
    for user in range(len(part)):
        loss = part.some(slice(user, user + 1)).losses(network).sum()
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm())
    return torch.stack(norms)


def _without_dropout(network: Network) -> None:
    for module in network.modules():
        if isinstance(module, Dropout):
            module.rate = 0.0


def _short(items: int) -> str:
    return f"{items / 1000:g}k"
