"""The noise of a training's steps: what was planned, and the clip that moves from round to round.

A clip that follows a noised count of users is computed from what was released, so it costs nothing further.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binom

from fedrec.errors import ConfigError, RoundFailed
from fedrec.files import write_bytes
from fedrec.privacy.gradients.sampling import drawn
from fedrec.privacy.noise import Keystream
from fedrec.server.exchange import Exchange
from fedrec.strategies.local_updates import StepNoise

DRAWS = "draws.key"
CLIP = "clip_norm"
"""In the history of a round: the clip of the next one."""


def step_noise(exchange: Exchange) -> StepNoise | None:
    """The noise of each step, as a private run has planned it. Raises ConfigError if it has planned none."""
    privacy, spending = exchange.config.privacy, exchange.spending
    if privacy is None:
        return None
    if spending is None or spending.step is None:
        raise ConfigError("[privacy] is on, and no noise was planned for recommenders that are trained by gradients.")
    shared = privacy.placement == "distributed"
    cohort = exchange.config.training.cohort
    own_rate = cohort if privacy.trusted_sampling else 1.0
    return StepNoise(
        placement="distributed" if shared else "local",
        rate=own_rate if privacy.devices else privacy.sample_rate,
        clip_norm=privacy.clip_norm,
        multiplier=spending.step,
        sharers=spending.sharers,
        quantile=privacy.clip_quantile,
        devices=max(1, math.floor(cohort * _clients(exchange))) if privacy.devices else None,
    )


def draw_key(folder: Path, resume: bool) -> bytes:
    """The secret key of all draws of a training, new for each and kept in its folder: a round that is repeated after a
    crash draws the same devices, or some would have been in it who pay for a smaller chance."""
    path = folder / DRAWS
    if not (resume and path.exists()):
        write_bytes(path, os.urandom(32), mode=0o600)
    return path.read_bytes()


def of_this_draw(run: str, key: bytes) -> str:
    """The name of a run whose devices are drawn: another one each time, also for an equal configuration, since devices
    pay once for all rounds of a run."""
    return hashlib.sha256(run.encode() + key).hexdigest()[:16]


def drawn_devices(exchange: Exchange, nodes: Sequence[int], key: bytes, number: int) -> list[int]:
    """The devices of round `number`: each with chance training.cohort, by a draw that follows from a secret key.

    Raises RoundFailed if they are too few, and ConfigError where that would happen often enough to tell something.
    """
    config = exchange.config
    rate, least = config.training.cohort, config.federation.min_tenants
    most = config.privacy.delta if config.privacy is not None else 0.0
    if (failing := float(binom.cdf(least - 1, len(nodes), rate))) > most:
        raise ConfigError(
            f"Of {len(nodes)} devices, {rate:g} of which are drawn, fewer than min_tenants={least} are with chance "
            f"{failing:.2g}; a round that is not made tells who was not drawn: raise training.cohort, or lower "
            f"federation.min_tenants, to at most delta={most:g}."
        )
    stream = Keystream(hashlib.sha256(key + number.to_bytes(8)).digest())
    found = [nodes[index] for index in drawn(len(nodes), rate, stream)]
    if len(found) < least:
        raise RoundFailed(f"{len(found)} devices were drawn, expected at least {least}.")
    return found


def _clients(exchange: Exchange) -> int:
    return len(list(exchange.grid.get_node_ids()))


def noise_after(exchange: Exchange, history: Sequence[Mapping[str, Any]]) -> StepNoise | None:
    """The noise of the round after those of `history`."""
    noise = step_noise(exchange)
    clips = [float(entry[CLIP]) for entry in history if CLIP in entry]
    return noise if noise is None or not clips else noise.model_copy(update={CLIP: clips[-1]})
