"""How far a run came: what was chosen on validation, and which arms were scored on test.

    <out>/course.json   written when the choice is made, before any client reads its test, and after each arm
    <out>/server.json   written last: the run is over

A server that is started again in the same folder goes on from there. It chooses nothing anew, since a client that has
read its test refuses that, and it asks for no arm whose sum it has. All that it computes again comes out the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fedrec.config import Config
from fedrec.errors import ConfigError, ModelError
from fedrec.files import write_text
from fedrec.messages import Params
from fedrec.server.choosing import Candidate, Chosen

COURSE, RESULTS = "course.json", "server.json"
SCHEMA = 1


@dataclass(frozen=True)
class Course:
    """A run after its choice. run: names its configuration. rounds: made for it. agreed: what each mix of arm `fused`
    reached on validation, if that was measured. results: arm -> label -> slices."""

    run: str
    rounds: int
    chosen: tuple[Chosen, ...]
    agreed: tuple[float, ...] = ()
    results: Mapping[str, Any] = field(default_factory=dict)

    def with_arm(self, arm: str, results: Mapping[str, Any]) -> Course:
        """The same run with one more arm scored."""
        return replace(self, results={**self.results, arm: results})

    def write(self, out: Path) -> None:
        """Replace the course in `out`."""
        chosen = [_choice(choice).model_dump() for choice in self.chosen]
        content = {"schema_version": SCHEMA, "run": self.run, "rounds": self.rounds, "chosen": chosen}
        rest = {"agreed": list(self.agreed), "results": dict(self.results)}
        write_text(out / COURSE, json.dumps(content | rest, indent=1))


class _Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    model: str
    parameters: Params
    scores: list[tuple[Params, float]]
    margin: float = 0.0


class _Course(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    run: str
    rounds: int
    chosen: list[_Choice]
    agreed: tuple[float, ...] = ()
    results: dict[str, Any]


def run_of(config: Config) -> str:
    """Names a configuration: equal for equal ones."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]


def read_course(out: Path, config: Config) -> Course | None:
    """The course of the run of `config` in `out`; None if it has chosen nothing yet.

    Raises:
        ConfigError: it is of another configuration.
        ModelError: it is damaged.
    """
    if not (out / COURSE).exists():
        return None
    course = course_in(out)
    if course.run != run_of(config):
        raise ConfigError(f"{out / COURSE} is of another configuration; go on with the one that the run began with.")
    return course


def course_in(out: Path) -> Course:
    """The course of whichever run there was in `out`. Raises ModelError if it is damaged."""
    path = out / COURSE
    try:
        found = _Course.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise ModelError(f"{path} is damaged or of another version: {error}; start the run again.") from error
    if found.schema_version != SCHEMA:
        raise ModelError(f"{path} has schema {found.schema_version}; this fedrec reads {SCHEMA}: start the run again.")
    return Course(found.run, found.rounds, tuple(map(_chosen, found.chosen)), found.agreed, found.results)


def _choice(choice: Chosen) -> _Choice:
    one = choice.candidate
    scores = list(choice.scores)
    return _Choice(label=one.label, model=one.model, parameters=one.params, scores=scores, margin=choice.margin)


def _chosen(choice: _Choice) -> Chosen:
    candidate = Candidate(choice.label, choice.model, choice.parameters)
    return Chosen(candidate, _scores(choice.scores), choice.margin)


def _scores(scores: Sequence[tuple[Params, float]]) -> tuple[tuple[Params, float], ...]:
    return tuple((params, score) for params, score in scores)
