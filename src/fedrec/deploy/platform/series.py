"""Runs of one configuration, one after the other: NAME, NAME-2, NAME-3, ..., each after the newest that was finished.

All that is known of a series is in the folders of its runs, so that whoever goes on with it needs nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fedrec.config import load
from fedrec.deploy.platform.folder import RUNS, Platform
from fedrec.deploy.platform.runs import CONFIG, Run
from fedrec.errors import ProtocolError


@dataclass(frozen=True)
class Series:
    """The runs of the configuration that is called `name`."""

    platform: Platform
    name: str

    def runs(self) -> list[Run]:
        """Oldest first."""
        found = {self._number(path.parent.name): path.parent for path in self._folder.glob(f"*/{CONFIG}")}
        return [Run(self.platform, found[number]) for number in sorted(found) if number > 0]

    def last_finished(self) -> str | None:
        """The name of the newest run that was finished; None before there is one."""
        return next((run.folder.name for run in reversed(self.runs()) if run.is_finished), None)

    def next_name(self) -> str:
        """A name that no run has."""
        runs = self.runs()
        return f"{self.name}-{self._number(runs[-1].folder.name) + 1}" if runs else self.name

    def began_at(self) -> int | None:
        """When the newest run was begun, in unix seconds; None before there is one."""
        runs = self.runs()
        return load(runs[-1].folder / CONFIG).freshness.as_of if runs else None

    def under_way(self) -> Run | None:
        """The newest run, if the SuperLink is still at it."""
        runs = self.runs()
        if not runs or runs[-1].is_finished or runs[-1].number is None:
            return None
        try:
            status = self.platform.flower.status(runs[-1].number)
        except ProtocolError:  # Flower has forgotten it
            return None
        return None if status.startswith("finished") else runs[-1]

    def _number(self, name: str) -> int:
        """The place of a run in the series; 0 if it is not in it."""
        if name == self.name:
            return 1
        found = re.fullmatch(re.escape(self.name) + r"-([1-9]\d*)", name)
        return int(found[1]) if found and int(found[1]) > 1 else 0

    @property
    def _folder(self) -> Path:
        return self.platform.folder / RUNS
