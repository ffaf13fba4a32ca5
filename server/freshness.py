"""What time means for a run: how its events fade, and what is different if it follows another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.models import ClosedForm
from fedrec.server.choosing import Candidate
from fedrec.server.exchange import Exchange
from fedrec.server.predecessor import Predecessor

SHARE_OF_ROUNDS = 5
"""One in so many of the rounds of a training are made again where it begins at the weights of the run before."""


def check_fading(config: Config, options: Mapping[str, Sequence[Candidate]]) -> None:
    """Raises ConfigError if events are to fade where they cannot, or nobody says up to which moment."""
    if config.freshness.half_life_days is None:
        return
    if config.freshness.as_of is None:
        raise ConfigError("freshness.half_life_days counts back from a moment; give freshness.as_of in unix seconds.")
    gradient = [c.label for several in options.values() for c in several if not isinstance(c.algorithm, ClosedForm)]
    if gradient:
        raise ConfigError(
            f"'{gradient[0]}' is trained by gradients, in whose steps all events weigh alike; leave "
            "freshness.half_life_days out, or train it in a run of its own."
        )


def following(exchange: Exchange, before: Predecessor) -> Exchange:
    """The exchange of a run that follows another one: nothing is held out up to its moment, and rounds are few.

    Closed forms are summed anew, over all rows. To add what is new to the sums of the run before would cost less, but
    keep what tenants have removed since: a user who is to be forgotten would stay in every sum.

    What is newer than the moment is left to the next run, which measures these models on it before it learns from it.
    So an event whose time lies ahead, by a clock that is wrong, is not both learnt from and measured on.
    """
    config = exchange.config
    as_of = moment_of(config)
    evaluation = config.evaluation.model_copy(update={"holdout": "time", "starts": (as_of + 1, as_of + 2)})
    rounds = config.freshness.rounds or max(1, config.training.rounds // SHARE_OF_ROUNDS)
    training = config.training.model_copy(update={"rounds": rounds})
    changed = config.model_copy(update={"evaluation": evaluation, "training": training})
    return replace(exchange, config=changed, before=before)


def told_of(exchange: Exchange) -> dict[str, Any]:
    """What the results of a run say of its place in time, for the run that follows it."""
    config, before = exchange.config, exchange.before
    if config.freshness.as_of is None:
        return {}
    moment = {"as_of": config.freshness.as_of, "holdout": config.evaluation.holdout}
    return moment if before is None else moment | {"after": before.name}


def moment_of(config: Config) -> int:
    """The moment of a run that follows another one, which its configuration has."""
    if config.freshness.as_of is None:
        raise ConfigError("A run that follows another one needs freshness.as_of, in unix seconds.")
    return config.freshness.as_of
