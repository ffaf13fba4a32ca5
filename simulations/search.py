"""A search for the values that reach most, by Optuna's TPE (Bergstra et al., NeurIPS 2011).

It can be kept in a file and taken up again: each trial draws from a stream of its own, so a search that was interrupted
goes on as one that was not. What is measured, and where, it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fedrec.config_training import Value
from fedrec.errors import ConfigError, FedrecError, Refusal
from fedrec.rng import derive
from fedrec.tune_config import Choice, Range, Space

if TYPE_CHECKING:
    import optuna

MAX_FAILURES = 5
"""So many trials in a row may fail before the search gives up."""
SPENT = "budget-spent"
"""With this reason a search ends, with the trials that it has."""
_REASON, _SECONDS = "reason", "seconds"

Measure = Callable[[Mapping[str, Value]], float]
"""Values by key -> what they reach; higher is better."""


@dataclass(frozen=True)
class Trial:
    """One choice of values. score: what it reached; None if it failed, for `reason`."""

    values: Mapping[str, Value]
    score: float | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Limits:
    """A search ends after so many trials in all, or before one that would begin after `timeout_s` in this process."""

    trials: int = 20
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.trials < 1 or (self.timeout_s is not None and not self.timeout_s > 0):
            raise ConfigError(f"Expected trials={self.trials} >= 1 and timeout_s={self.timeout_s} > 0.")


class Search:
    """A search of `space` from `seed`. study: holds its trials, those of an earlier process among them."""

    def __init__(self, seed: int, space: Space, study: optuna.Study) -> None:
        self._seed, self._space, self._study = seed, space, study
        for trial in study.get_trials(deepcopy=False):
            if not trial.state.is_finished():
                _fail(study, trial.number)  # its process ended before it did

    @property
    def evaluations(self) -> int:
        """How often something was measured: every trial that began, also those that failed or were interrupted.

        The one number by which a search is to be charged; a trial counts before it asks anybody.
        """
        return len(self._study.get_trials(deepcopy=False))

    @property
    def trials(self) -> list[Trial]:
        """The trials that came to their end, in order."""
        return [
            Trial(found.params, found.value, found.user_attrs[_SECONDS], found.user_attrs[_REASON])
            for found in self._study.get_trials(deepcopy=False)
            if found.state.is_finished() and _REASON in found.user_attrs
        ]

    def run(self, measure: Measure, limits: Limits, told: Callable[[Search], None] = lambda search: None) -> None:
        """Go on until a limit is reached, or a trial is refused because a budget is spent; `told` after each trial.

        Raises the last error of `measure` if it failed too often in a row.
        """
        started = time.monotonic()
        while len(self.trials) < limits.trials:
            if limits.timeout_s is not None and time.monotonic() - started >= limits.timeout_s:
                return
            error = self._try(measure)
            told(self)
            if isinstance(error, Refusal) and error.reason == SPENT:
                return
            last = self.trials[-MAX_FAILURES:]
            if error is not None and len(last) == MAX_FAILURES and all(trial.score is None for trial in last):
                raise error

    def _try(self, measure: Measure) -> FedrecError | None:
        """One trial; the error with which it failed."""
        asked = self._ask()
        values = {key: _suggested(asked, key, allowed) for key, allowed in self._space.items()}
        started = time.monotonic()
        try:
            score = measure(values)
        except FedrecError as error:
            _note(asked, started, " ".join(str(error).split()))
            _fail(self._study, asked.number)
            return error
        _note(asked, started, "")
        self._study.tell(asked, score)
        return None

    def _ask(self) -> optuna.Trial:
        """The next trial, drawn from a stream that depends on nothing but how many have ended."""
        from optuna.samplers import TPESampler

        stream = derive(self._seed, "tune", len(self.trials))
        self._study.sampler = TPESampler(seed=int(stream.integers(1 << 31)))
        return self._study.ask()


def open_study(name: str, path: Path | None = None, resume: bool = False) -> optuna.Study:
    """The study `name` in an SQLite file, or in memory.

    Raises:
        ConfigError: Optuna is not installed; the file is there without `resume`, or holds another search.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("Tuning needs Optuna, which is not installed: pip install fedrec[tune]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # who searches is told of each trial, and tells it better
    storage = None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{path}"
        if path.exists():
            _check_same(path, optuna.get_all_study_names(storage), name, resume)
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


def _check_same(path: Path, held: list[str], name: str, resume: bool) -> None:
    if not resume:
        raise ConfigError(f"{path} holds a search; go on with --resume, or choose another --out.")
    if held != [name]:
        raise ConfigError(
            f"{path} holds a search of another configuration, recommender or space; go on with the one that it began "
            "with, or choose another --out."
        )


def _suggested(asked: optuna.Trial, key: str, allowed: Range | Choice) -> Value:
    if not isinstance(allowed, Range):
        return cast(Value, asked.suggest_categorical(key, allowed))
    if allowed.whole:
        return asked.suggest_int(key, int(allowed.low), int(allowed.high), log=allowed.log)
    return asked.suggest_float(key, allowed.low, allowed.high, log=allowed.log)


def _note(asked: optuna.Trial, started: float, reason: str) -> None:
    asked.set_user_attr(_SECONDS, round(time.monotonic() - started, 3))
    asked.set_user_attr(_REASON, reason)


def _fail(study: optuna.Study, number: int) -> None:
    from optuna.trial import TrialState

    study.tell(number, state=TrialState.FAIL)
