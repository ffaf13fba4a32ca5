"""How a network is trained where the rows are: one frozen plan, public, the same for every client."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.models.losses import LOSSES

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear")
MOST_NEGATIVES = 1 << 16
"""For each user: a server that asks for more would see from a failure that somebody was drawn."""


def scheduled(schedule: str, done: float) -> float:
    """Share of a rate after the share `done` of a run."""
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return 1 - done
        case _:
            return 1.0


@dataclass(frozen=True)
class LocalTraining:
    """Either `epochs` over the users, or `steps` batches if that is given, each round.

    loss: one of `fedrec.models.losses.LOSSES`. negatives: drawn for each user, for losses that need them.
    item_dropout: share of the items that a step knows by their content alone, so that new items are ranked better.
    batch_size: users. schedule: of the learning rate over all rounds, after `warmup_steps` of each round.
    clip_norm: of a step's gradient; None does not clip. proximal: FedProx' mu. patience: epochs without a better
    validation value after which a round ends, with the best weights; None trains to the end.
    keep_moments: the optimizer goes on where it was in the client's last round, instead of anew; what it remembers
    stays with the client.
    update_norm: bound on what a round changes in the shared weights. max_users: no client weighs more than that.
    freeze: parameters whose names begin so stay as they came, such as "items" where a closed form fitted the items;
    several with commas. Noise is then on the others only.
    """

    loss: str = "softmax"
    negatives: int = 256
    item_dropout: float = 0.0
    epochs: int = 1
    steps: int | None = None
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = 5.0
    proximal: float = 0.0
    patience: int | None = None
    keep_moments: bool = False
    update_norm: float = 50.0
    max_users: int = 1000
    freeze: str = ""

    def __post_init__(self) -> None:
        validate.one_of("loss", self.loss, LOSSES)
        validate.one_of("optimizer", self.optimizer, OPTIMIZERS)
        validate.one_of("schedule", self.schedule, SCHEDULES)
        for name in ("negatives", "epochs", "batch_size", "max_users"):
            validate.whole(name, getattr(self, name))
        validate.within("negatives", self.negatives, 1, MOST_NEGATIVES)
        for name in ("steps", "patience"):
            validate.optional_whole(name, getattr(self, name))
        validate.whole("warmup_steps", self.warmup_steps, at_least=0)
        for name in ("learning_rate", "update_norm"):
            validate.positive(name, getattr(self, name))
        for name in ("weight_decay", "proximal", "item_dropout"):
            validate.not_negative(name, getattr(self, name))
        if self.item_dropout > 1:
            raise ConfigError(f"Expected item_dropout={self.item_dropout} <= 1, a share of the items.")
        if self.clip_norm is not None:
            validate.positive("clip_norm", self.clip_norm)
        if self.patience is not None and self.steps is not None:
            raise ConfigError("patience counts epochs; give either patience or steps.")
        if not isinstance(self.freeze, str):
            raise ConfigError(f"Expected freeze={self.freeze!r} to be the beginning of names of parameters.")

    def freezes(self, name: str) -> bool:
        """Whether the parameter of this name stays as it came."""
        return any(name.startswith(part.strip()) for part in self.freeze.split(",") if part.strip())


@dataclass(frozen=True)
class Progress:
    """Where in a run a client trains. client: names its random streams and is the same in every round."""

    seed: int = 0
    round: int = 1
    rounds: int = 1
    client: str = "everyone"

    def __post_init__(self) -> None:
        validate.whole("seed", self.seed, at_least=0)
        validate.whole("rounds", self.rounds)
        validate.whole("round", self.round)
        if self.round > self.rounds:
            raise ConfigError(f"Expected round={self.round} <= rounds={self.rounds}.")
