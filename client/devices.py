"""A client that is one user: what its round of training changed is bounded as a whole, and what it pays for.

A device is drawn by the server, so its ledger holds each round that it was in as if everyone knew that it was. Only a
policy with `trusts_sampling` takes the server's word that it was drawn by chance. Then the first round of a run puts
all of its rounds on the ledger, for users who are drawn with that chance, and the others add nothing: a device does not
learn of rounds for which it was not drawn. What the first round said of the run holds for all of it: the model, how
many rounds, the chance, the noise. Each round is answered once, whatever else is asked in it, and no more of them than
the chance explains. A device that is never drawn releases nothing, so there is nothing to pay.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from fedrec.client.guard import Guard
from fedrec.client.ledger import Entry
from fedrec.client.training import LocalRows, train
from fedrec.contribution import Contribution, Float64Array
from fedrec.errors import Refusal
from fedrec.models.neural.network import Network, arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import NeuralModel
from fedrec.privacy.accountant import renyi
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.mechanisms import Mechanism
from fedrec.privacy.release import Release
from fedrec.strategies.local_updates import TrainBody

SAME = 1 + 1e-6
"""Of what rounds of one run cost, at each order: a clip that moves is on another grid each time."""
UNLIKELY = 1e-3
"""A device that was drawn more often than so many are does not believe the server any more."""


def title(body: TrainBody) -> str:
    """A round in the words of the ledger."""
    round_of_run = f"round {body.round} of {body.rounds}: {body.model}"
    return f"{_run(body)}{round_of_run}, drawn with chance {_rate(body):g}" if _drawn(body) else round_of_run


def due(guard: Guard, body: TrainBody, release: Release) -> tuple[Mechanism, ...]:
    """What a round adds to the ledger. Raises Refusal for one that was answered, or is not of the run that was paid."""
    return _due(body, body.mechanisms(release), guard.ledger.entries())


def pay(guard: Guard, body: TrainBody, release: Release) -> None:
    """Put a round on the ledger before it is begun: whatever becomes of it, it is paid for. Raises Refusal as `due`."""
    one = body.mechanisms(release)
    guard.record_steps(lambda entries: _due(body, one, entries), title(body))


def _due(body: TrainBody, one: tuple[Mechanism, ...], entries: Sequence[Entry]) -> tuple[Mechanism, ...]:
    if not _drawn(body):
        return one
    before = [entry for entry in entries if entry.what.startswith(_run(body))]
    if len(before) >= int(binom.isf(UNLIKELY, body.rounds, _rate(body))):
        raise Refusal("drawn-too-often", "this device was in more rounds than the stated chance explains")
    if not before:
        return one * body.rounds
    if any(entry.what.startswith(f"{_run(body)}round {body.round} of ") for entry in before):
        raise Refusal("round-answered", "this device answers a round of a run once")
    if before[0].what.partition(" of ")[2] != title(body).partition(" of ")[2]:
        raise Refusal("another-run", "the run began with another model, number of rounds or chance to be drawn")
    if not bool((_curve(one) * body.rounds <= SAME * _curve(before[0].mechanisms)).all()):
        raise Refusal("too-little-noise", "the round has less noise than the run began with")
    return ()


def bounded_update(
    network: Network, model: NeuralModel, rows: LocalRows, plan: LocalTraining, terms: SumTerms, progress: Progress
) -> Contribution:
    """What a round of training changes in the weights, bounded and cut to the grid; 0 where there is nothing to learn.

    Private until it is released. Raises Refusal if the client has several users.
    """
    if rows.histories.num_users > 1:
        raise Refusal("not-a-device", "this client has more than one user")
    names = tuple(sorted(name for name in network.state_dict() if not plan.freezes(name)))
    before = arrays_of(network, names)
    try:
        train(network, model, rows, plan, progress)
    except OSError:
        raise
    except Exception:  # too few events, or a loss that is no number: an answer tells of neither
        after = before
    else:
        after = arrays_of(network, names)
    change = np.concatenate([(after[name].astype(np.float64) - before[name]).ravel() for name in names])
    return _on_the_grid(change, terms)


def _on_the_grid(change: np.ndarray[tuple[int], np.dtype[np.float64]], terms: SumTerms) -> Contribution:
    size, norm = change.size, float(np.linalg.norm(change))
    if not np.isfinite(norm):
        change, norm = np.zeros(size), 0.0
    scale = min(1.0, terms.clip_norm * (1 - 1e-12) / norm) if norm > 0 else 1.0
    vote = [] if terms.quantile is None else [terms.vote(norm <= terms.clip_norm)]
    steps = np.trunc(np.concatenate([scale * change, vote]) / terms.step)
    return Contribution(terms.layout(size), {SUM: steps * terms.step}, 1)


def _curve(mechanisms: Sequence[Mechanism]) -> Float64Array:
    """(orders,) what they cost together, at each order: one that is lower at each is lower with all that follows."""
    return functools.reduce(operator.add, map(renyi, mechanisms))


def _drawn(body: TrainBody) -> bool:
    """Whether the server says that it draws devices by chance, and is to be believed."""
    return body.noise is not None and body.noise.devices is not None and body.noise.rate < 1


def _rate(body: TrainBody) -> float:
    return 1.0 if body.noise is None else body.noise.rate


def _run(body: TrainBody) -> str:
    return f"run {body.run}, "
