"""A run on disk: its report, its models, its tenants."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.cli.folders import CONFIG, EVENTS, PAGE, REPORT, RUNS, go_on
from fedrec.client.store import TenantStore
from fedrec.config import Config, load
from fedrec.errors import ConfigError, DataError
from fedrec.models import Recommender
from fedrec.models import load as load_model
from fedrec.server.run import RESULTS
from fedrec.simulations.report.load import read
from fedrec.simulations.report.schema import Report


def find(given: Path | None) -> RunFolder:
    """The run in `given`, which may also be its report.json; None is the newest in `runs/`.

    Raises:
        ConfigError: there is no run.
    """
    if given is None:
        found = sorted(RUNS.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise ConfigError(f"There is no run in {RUNS}/ yet; start one with `fedrec simulate`, or name its folder.")
        return RunFolder(found[-1].parent)
    folder = given.parent if given.name in (REPORT, CONFIG, PAGE) else given
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} holds no run (there is no {CONFIG}); give the folder that `fedrec simulate` made.")
    return RunFolder(folder)


@dataclass(frozen=True)
class RunFolder:
    """One run on disk; see `fedrec.simulations.experiment`."""

    path: Path

    def config(self) -> Config:
        """The configuration as run."""
        return load(self.path / CONFIG)

    def report(self) -> Report:
        """Its report. Raises DataError if there is none, or it is damaged."""
        if not (self.path / REPORT).exists():
            raise self._unfinished("there is no report")
        return read(self.path / REPORT)

    def _unfinished(self, lack: str) -> DataError:
        cure = f"{EVENTS} says how far it came; go on with `{go_on(self.path)}`"
        return DataError(f"the run did not come to its end, so {lack}", cure=cure, source=str(self.path))

    def server(self) -> dict[str, Any]:
        """What the server wrote about its models."""
        path = self.path / "server" / RESULTS
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise self._unfinished("there is no model") from None
        except (OSError, ValueError) as error:
            cure = "run the simulation again"
            raise DataError(f"the file is damaged ({error})", cure=cure, source=str(path)) from None

    def model(self, name: str | None) -> tuple[str, Recommender]:
        """A global model by name, or the one chosen on validation, with its name."""
        chosen = name or str(self.server().get("chosen", ""))
        folder = self.path / "server" / "models"
        known = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if chosen not in known:
            kept = ", ".join(known) or "none"
            hint = _hint(chosen, known)
            raise ConfigError(f"The run in {self.path} has no global model '{chosen}'{hint}; it has: {kept}.")
        return chosen, load_model(folder / chosen)

    def tenants(self) -> list[TenantStore]:
        """All tenants, in the order of their names."""
        folder = self.path / "tenants"
        return [TenantStore(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def tenant(self, name: str) -> TenantStore:
        """One tenant. Raises ConfigError, naming the nearest."""
        known = {store.name: store for store in self.tenants()}
        if name not in known:
            raise ConfigError(
                f"There is no tenant '{name}' in {self.path}{_hint(name, list(known))}; there are: {', '.join(known)}."
            )
        return known[name]


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
