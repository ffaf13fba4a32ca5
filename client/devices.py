"""A client that is one user: what its round of training changed is bounded as a whole, and what it pays for.

A device is drawn by the server, so its ledger holds each round that it was in as if everyone knew that it was. Only a
policy with `trusts_sampling` takes the server's word that it was drawn by chance. Then the first round of a run puts
all of its rounds on the ledger, for users who are drawn with that chance, and the others add nothing: a device does not
learn of rounds for which it was not drawn. Each round is answered once.
"""

from __future__ import annotations

import numpy as np

from fedrec.client.guard import Guard
from fedrec.client.training import LocalRows, train
from fedrec.contribution import Contribution
from fedrec.errors import ModelError, Refusal
from fedrec.models.neural.network import Network, arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import NeuralModel
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.mechanisms import Mechanism
from fedrec.privacy.release import Release
from fedrec.strategies.local_updates import TrainBody

SAME = 1 + 1e-6
"""Of what rounds of one run cost: a clip that moves is on another grid each time."""


def title(body: TrainBody) -> str:
    """A round in the words of the ledger."""
    return f"{_run(body) if _drawn(body) else ''}round {body.round} of {body.rounds}: {body.model}"


def due(guard: Guard, body: TrainBody, release: Release) -> tuple[Mechanism, ...]:
    """What a round adds to the ledger. Raises Refusal for one that was answered, or that costs more than the first."""
    one = body.mechanisms(release)
    if not _drawn(body):
        return one
    before = [entry for entry in guard.ledger.entries() if entry.what.startswith(_run(body))]
    if any(entry.what == title(body) for entry in before):
        raise Refusal("round-answered", "this device answers a round of a run once")
    if not before:
        return one * body.rounds
    if epsilon_of(one * body.rounds, guard.policy.delta) > SAME * epsilon_of(before[0].mechanisms, guard.policy.delta):
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
    except ModelError:  # too few events, or a loss that is no number: an answer tells of neither
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


def _drawn(body: TrainBody) -> bool:
    """Whether the server says that it draws devices by chance, and is to be believed."""
    return body.noise is not None and body.noise.devices is not None and body.noise.rate < 1


def _run(body: TrainBody) -> str:
    return f"run {body.run}, "
