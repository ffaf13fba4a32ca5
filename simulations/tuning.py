"""Hyper-parameters of one recommender and of its training, found on validation; the test stays unread.

What is found is a configuration that `fedrec simulate` runs. It says how often validation was asked to find it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedrec.config import Config, ModelConfig, to_toml
from fedrec.data import Dataset
from fedrec.errors import ConfigError, RoundFailed
from fedrec.models import ALGORITHMS
from fedrec.server.choosing import candidates_of
from fedrec.server.neural import training_of
from fedrec.simulations.search import Limits, Search, Trial, open_study
from fedrec.simulations.search_space import first_values, one_of_each, space_of, with_values
from fedrec.simulations.trials import open_trials
from fedrec.tune_config import Space

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Task:
    """What is tuned: a recommender of a configuration, over a space. Made by `task_of`."""

    config: Config
    model: str
    space: Space

    @property
    def name(self) -> str:
        """Names a search: equal for equal ones."""
        space = {key: list(v) if isinstance(v, tuple) else v.model_dump() for key, v in self.space.items()}
        parts = [self.config.model_dump(mode="json"), self.model, space]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Tuned:
    """What a search has found so far. trials: in their order. evaluations: how often validation was asked in it."""

    task: Task
    trials: tuple[Trial, ...]
    evaluations: int

    @property
    def ranked(self) -> list[Trial]:
        """The trials that have a score, best first, the earlier of equals before the later."""
        scored = [(trial.score, trial) for trial in self.trials if trial.score is not None]
        return [trial for _, trial in sorted(scored, key=lambda pair: -pair[0])]

    @property
    def config(self) -> Config:
        """The configuration with the best values, which counts also what earlier searches asked."""
        tune = self.task.config.tune
        counted = tune.model_copy(update={"evaluations": tune.evaluations + self.evaluations})
        return with_values(self.task.config, self.ranked[0].values).model_copy(update={"tune": counted})

    def as_toml(self) -> str:
        """The configuration as a file, with what a reader of its figures must know first."""
        config = self.config
        reached = f"{config.evaluation.headline} {self.ranked[0].score:.4f} on validation"
        return "\n".join(
            (
                f"# {self.task.model}, the best of {len(self.trials)} trials of `fedrec tune`: {reached}.",
                f"# Validation was asked {config.tune.evaluations} times to find these values, so that figure flatters",
                "# them. The test was not read.",
                to_toml(config),
            )
        )


def task_of(config: Config, model: str) -> Task:
    """What there is to tune. A recommender that the configuration does not have is added to it as it comes.

    Raises:
        ConfigError: there is none like it, it stays with its tenant, the space has a key or value that cannot be, or
            the configuration has a [privacy] that nothing would charge the search to.
    """
    if config.privacy is not None:
        raise ConfigError(
            "A search asks for validation again and again, and [privacy] has no account for that; leave it out, and "
            "search on rows that need none, such as public ones."
        )
    if model not in [one.name for one in config.models]:
        config = config.model_copy(update={"models": (*config.models, ModelConfig(name=model))})
    (one,) = (first_values(one) for one in config.models if one.name == model)
    if not candidates_of(one)[0].is_federated:
        raise ConfigError(
            f"{model} stays with its tenant, which chooses for itself: there is nothing to tune together."
        )
    task = Task(config, model, space_of(config, model))
    possible = with_values(config, one_of_each(task.space))
    candidates_of(next(first_values(one) for one in possible.models if one.name == model))
    if model not in ALGORITHMS:
        training_of(possible)
    return task


def tune(
    task: Task,
    limits: Limits,
    study: optuna.Study | None = None,
    dataset: Dataset | None = None,
    told: Callable[[Tuned], None] = lambda tuned: None,
) -> Tuned:
    """Search until a limit is reached.

    study: as `open_study` opens it for the name of the task; it then goes on with the trials that it has. dataset:
    instead of the rows that the configuration names. told: what is known, after each trial.

    Raises:
        FedrecError: Optuna is not installed, the data is wrong, or too many trials failed in a row.
    """
    search = Search(task.config.seed, task.space, study or open_study(task.name))
    with tempfile.TemporaryDirectory(prefix="fedrec-tune-") as folder:
        trials = open_trials(task.config, task.model, Path(folder), dataset)
        search.run(trials.measure, limits, lambda search: told(_found(task, search)))
    found = _found(task, search)
    if not found.ranked:
        raise RoundFailed(f"No trial has a score; the last one failed: {found.trials[-1].reason}")
    return found


def _found(task: Task, search: Search) -> Tuned:
    return Tuned(task, tuple(search.trials), search.evaluations)
