"""The run that a run follows: what was chosen in it, its models, and how good it was.

It is a finished run in the folder beside this run's own, by the name that `freshness.after` gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.config import Config
from fedrec.data import Catalogue
from fedrec.errors import ConfigError, ModelError
from fedrec.models import Weights, load, parameters_of
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.course import RESULTS, Course, course_in

Options = Mapping[str, tuple[Candidate, ...]]


@dataclass(frozen=True, eq=False)
class Predecessor:
    """A finished run. course: what was chosen. models: label -> candidate and weights, as they were released.
    told: its `server.json`."""

    name: str
    course: Course
    models: Mapping[str, tuple[Candidate, Weights]]
    told: Mapping[str, Any]

    @property
    def as_of(self) -> int | None:
        """The moment up to which it took events; None if it did not say."""
        moment = self.told.get("as_of")
        return None if moment is None else int(moment)

    @property
    def serving(self) -> str:
        """The label of the model that it says to serve by."""
        return str(self.told["chosen"])

    def narrowed(self, options: Options) -> dict[str, tuple[Candidate, ...]]:
        """The candidates of this run with those that were chosen before in the place of all. Recommenders that each
        tenant makes for itself stay as they are.

        Raises ConfigError for a recommender that was not in the run before, or not with what was chosen there.
        """
        chosen = {choice.candidate.model: choice.candidate for choice in self.course.chosen}
        missing = [name for name in options if name not in chosen]
        if missing:
            raise ConfigError(
                f"'{missing[0]}' was not in the run '{self.name}', so nothing was chosen for it; leave it out, or "
                "start a run that follows none."
            )
        return {name: self._kept(chosen[name], several) for name, several in options.items()}

    def chosen(self, options: Options) -> list[Chosen]:
        """What was chosen, of the recommenders of this run, with the scores from when it was chosen."""
        return [choice for choice in self.course.chosen if choice.candidate.model in options]

    def _kept(self, chosen: Candidate, several: Sequence[Candidate]) -> tuple[Candidate, ...]:
        if not chosen.is_federated:
            return tuple(several)
        if chosen.params not in [one.params for one in several]:
            raise ConfigError(
                f"models: '{chosen.model}' has other hyper-parameters than the run '{self.name}' chose: "
                f"{json.dumps(chosen.params)}. Give these, or start a run that follows none."
            )
        return (chosen,)


def predecessor_of(config: Config, out: Path, catalogue: Catalogue) -> Predecessor | None:
    """The run that `config` follows, in the folder beside `out`; None if it follows none.

    Raises ConfigError if there is none of that name, it is not finished, it is of other items, or it is not older.
    """
    name = config.freshness.after
    if name is None:
        return None
    folder = out.resolve().parent / name
    if folder == out.resolve() or not (folder / RESULTS).exists():
        raise ConfigError(f"freshness.after = '{name}': there is no finished run in {folder}; name one that is over.")
    models = _models(folder / "models", catalogue)
    found = Predecessor(name, course_in(folder), models, _told(folder / RESULTS))
    as_of = config.freshness.as_of
    if as_of is not None and found.as_of is not None and as_of <= found.as_of:
        raise ConfigError(
            f"freshness.as_of = {as_of} is not later than {found.as_of}, that of the run '{name}'; there is nothing "
            "new."
        )
    return found


def _told(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}; follow another run.") from error


def _models(folder: Path, catalogue: Catalogue) -> dict[str, tuple[Candidate, Weights]]:
    models = {}
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        model = load(path)
        if tuple(model.item_ids) != tuple(catalogue.item_ids):
            raise ConfigError(
                f"The models in {folder} are of other items than the catalogue; start a run that follows none."
            )
        models[path.name] = (Candidate(path.name, model.algorithm.name, parameters_of(model.algorithm)), model.weights)
    return models
