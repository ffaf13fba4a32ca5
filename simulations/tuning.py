"""Hyper-parameters of one recommender and of its training, found on validation; the test stays unread.

What is found is a configuration that `fedrec simulate` runs. It says how often validation was asked to find it, and
under [privacy] what that cost: all trials together have the configuration's budget, in the ledgers of the tenants that
the search has to itself.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from fedrec.simulations.trials import TENANTS, Plan, Spent, Trials, open_trials
from fedrec.tune_config import Space

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Task:
    """What is tuned: a recommender of a configuration, over a space. Made by `task_of`.

    trials: under [privacy] how many the budget is for. folder: keeps the search's tenants, whose ledgers hold what was
    spent; None forgets them when the search ends.
    """

    config: Config
    model: str
    space: Space
    trials: int = 1
    folder: Path | None = None

    @property
    def private(self) -> bool:
        """Whether each trial is charged."""
        return self.config.privacy is not None

    @property
    def name(self) -> str:
        """Names a search: equal for equal ones. How many trials a budget is for cannot change in between."""
        space = {key: list(v) if isinstance(v, tuple) else v.model_dump() for key, v in self.space.items()}
        parts = [self.config.model_dump(mode="json"), self.model, space, *([self.trials] if self.private else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Tuned:
    """What a search has found so far. trials: in their order. evaluations: how often validation was asked in it. spent:
    what it has cost, under [privacy]."""

    task: Task
    trials: tuple[Trial, ...]
    evaluations: int
    spent: Spent | None = None

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
        noise = "" if self.spent is None else ", with noise on it"
        reached = f"{config.evaluation.headline} {self.ranked[0].score:.4f} on validation{noise}"
        return "\n".join(
            (
                f"# {self.task.model}, the best of {len(self.trials)} trials of `fedrec tune`: {reached}.",
                f"# Validation was asked {config.tune.evaluations} times to find these values, so that figure flatters",
                "# them. The test was not read.",
                *(f"# {line}" for line in self.cost),
                to_toml(config),
            )
        )

    @property
    def cost(self) -> tuple[str, ...]:
        """What the search cost in differential privacy, in lines of text; nothing without."""
        if self.spent is None:
            return ()
        one, both = self.spent, self.spent.epsilon + self.spent.budget
        return (
            f"The search cost each user epsilon {one.epsilon:.3g} at delta {one.delta:g}, of {one.budget:g} for up to "
            f"{self.task.trials} trials.",
            f"A run of this file with the same users costs epsilon {one.budget:g} more: at most {both:.3g} at delta "
            f"{2 * one.delta:g} for both.",
        )


def task_of(config: Config, model: str, trials: int = 1) -> Task:
    """What there is to tune. A recommender that the configuration does not have is added to it as it comes.

    trials: under [privacy] how many the budget of the configuration is split over.
    Raises:
        ConfigError: there is none like it, it stays with its tenant, the space has a key or value that cannot be, or
            the configuration is one of devices under [privacy].
    """
    if config.privacy is not None and config.privacy.devices:
        raise ConfigError(
            "A device answers each round of a run once, and trials may repeat one; search with privacy.devices = false."
        )
    if model not in [one.name for one in config.models]:
        config = config.model_copy(update={"models": (*config.models, ModelConfig(name=model))})
    (one,) = (first_values(one) for one in config.models if one.name == model)
    if not candidates_of(one)[0].is_federated:
        raise ConfigError(
            f"{model} stays with its tenant, which chooses for itself: there is nothing to tune together."
        )
    task = Task(config, model, space_of(config, model), trials)
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
        FedrecError: Optuna is not installed, the data is wrong, or too many trials failed in a row; under [privacy]
            also if the search may go on for more trials than its budget is for, or has lost its ledgers.
    """
    search = Search(task.config.seed, task.space, study or open_study(task.name))
    _check_charged(task, limits, search)
    with _work(task) as folder:
        trials = open_trials(task.config, task.model, folder, dataset, Plan(task.trials, task.space))
        search.run(trials.measure, limits, lambda search: told(_found(task, search, trials)))
        found = _found(task, search, trials)
    if not found.ranked:
        raise RoundFailed(f"No trial has a score; the last one failed: {found.trials[-1].reason}")
    return found


def _found(task: Task, search: Search, trials: Trials) -> Tuned:
    return Tuned(task, tuple(search.trials), search.evaluations, trials.spent())


def _check_charged(task: Task, limits: Limits, search: Search) -> None:
    """Raises ConfigError if something would not be charged."""
    if not task.private:
        return
    if limits.trials > task.trials:
        raise ConfigError(f"The budget is for trials={task.trials}, got {limits.trials}; give as many to task_of.")
    known = task.folder is not None and (task.folder / TENANTS).exists()
    if search.evaluations and not known:
        raise ConfigError(
            f"The ledgers of the search are not in {task.folder}, so nobody knows what it has spent; restore them, or "
            "begin a new search with another --out."
        )
    if known and not search.evaluations:
        raise ConfigError(f"{task.folder} holds the ledgers of another search; choose another --out.")


@contextmanager
def _work(task: Task) -> Iterator[Path]:
    """The folder of the search's tenants: the one that the task names, or one that goes with the search."""
    if task.private and task.folder is not None:
        task.folder.mkdir(parents=True, exist_ok=True)
        yield task.folder
        return
    with tempfile.TemporaryDirectory(prefix="fedrec-tune-") as folder:
        yield Path(folder)
