"""One run of a platform: a folder with its configuration, submitted to the SuperLink and watched until it ends."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedrec.config import Config, parse, to_toml
from fedrec.deploy.flower import Flower
from fedrec.deploy.platform.folder import CATALOGUE, ROSTER, RUNS, Platform
from fedrec.deploy.supervisor import is_up
from fedrec.errors import ConfigError, ProtocolError, RoundFailed
from fedrec.files import write_text
from fedrec.server.events import EVENTS, Event, read_events
from fedrec.server.run import RESULTS

CONFIG, SUBMITTED = "config.toml", "flower-run.json"
POLL_S, SILENCE_S = 0.5, 20.0
Told = Callable[[Event], None]


@dataclass(frozen=True)
class Run:
    """A run in its folder."""

    platform: Platform
    folder: Path

    @property
    def number(self) -> int | None:
        """Flower's number of the last attempt; None if there was none."""
        path = self.folder / SUBMITTED
        return int(json.loads(path.read_text())["run"]) if path.exists() else None

    @property
    def is_finished(self) -> bool:
        """Whether its models are there."""
        return (self.folder / RESULTS).exists()

    def events(self) -> list[Event]:
        """What the server did so far."""
        return read_events(self.folder / EVENTS)

    def submit(self) -> int:
        """Hand the run to the SuperLink, anew or where it was interrupted. Flower's number of it."""
        if self.is_finished:
            raise ConfigError(f"{self.folder} holds a finished run; choose another name for a new one.")
        self._check_over()
        here, folder = self.platform.folder.resolve(), self.folder.resolve()
        paths = {
            "config": folder / CONFIG,
            "catalogue": here / CATALOGUE,
            "roster": here / ROSTER,
            "out": folder,
        }
        number = self.platform.flower.start(here / "app", {key: str(path) for key, path in paths.items()})
        write_text(self.folder / SUBMITTED, json.dumps({"run": number}))
        return number

    def follow(self, told: Told, patience_s: float) -> None:
        """Tell of every event until the run is over. Raises RoundFailed if it failed, or takes longer."""
        number, deadline, heard = self.number, time.monotonic() + patience_s, time.monotonic()
        if number is None:
            raise ConfigError(f"The run in {self.folder} was not submitted; use `fedrec platform run`.")
        seen = len(self.events()) if self.is_finished else 0
        while not self.is_finished:
            seen, before = self._tell(told, seen), seen
            if seen > before:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_S:
                self._check(number)
                heard = time.monotonic()
            if time.monotonic() > deadline:
                raise RoundFailed(f"The run in {self.folder} is not over after {patience_s:g} s; it goes on.")
            time.sleep(POLL_S)
        self._tell(told, seen)

    def _tell(self, told: Told, seen: int) -> int:
        """Tell of the events from number `seen` on; how many there are now."""
        events = self.events()
        for event in events[seen:]:
            told(event)
        return len(events)

    def _check_over(self) -> None:
        """Two attempts at once would write to the same files. Raises ConfigError if one is under way."""
        number = self.number
        if number is None:
            return
        try:
            status = self.platform.flower.status(number)
        except ProtocolError:  # of an attempt that Flower has forgotten; a platform that is down says so next
            return
        if not status.startswith("finished"):
            raise ConfigError(
                f"Flower's run {number} in {self.folder} is still {status}. Wait for its end: one that was killed is "
                f"given up within two minutes. `fedrec platform status` shows it."
            )

    def _check(self, number: int) -> None:
        try:
            status = self.platform.flower.status(number)
        except ProtocolError:
            if is_up(self.platform.folder.resolve()):
                return  # the SuperLink ended and is being started again
            raise
        if status.startswith("finished") and not self.is_finished:
            raise RoundFailed(
                f"Flower's run {number} ended as {status.removeprefix('finished:')} and {self.folder} has no "
                f"{RESULTS}; `fedrec platform status` says why. `fedrec platform run --resume` takes it up again."
            )


def new_run(platform: Platform, source: Path, name: str | None = None, after: str | None = None) -> Run:
    """A folder for the configuration in a TOML file, which need not name data: the tenants have it.

    name: instead of its own. after: the run that it follows. Raises ConfigError if it is wrong, or there was a run of
    its name.
    """
    config = read_config(platform, source, name, after)
    folder = platform.folder / RUNS / config.name
    if folder.exists():
        raise ConfigError(f"There was a run '{config.name}'; change `name` in {source}, or give --resume.")
    write_text(folder / CONFIG, to_toml(config))
    return Run(platform, folder)


def read_config(platform: Platform, source: Path, name: str | None = None, after: str | None = None) -> Config:
    """The configuration of a run over the platform's own tenants. Its moment is now, unless it says another one: the
    platform's clock, so that all tenants have the same, and a run that is resumed the one that it began with."""
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Cannot read the configuration {source}: {error}.") from error
    raw.setdefault("data", {"path": str((platform.folder / CATALOGUE).resolve())})
    raw |= {} if name is None else {"name": name}
    follows = {} if after is None else {"after": after}
    if isinstance(given := raw.get("freshness", {}), dict):
        raw["freshness"] = {"as_of": int(time.time()), **given, **follows}
    return parse(raw, str(source))


def existing_run(platform: Platform, name: str | None) -> Run:
    """The run of a name; the newest without one. Raises ConfigError if there is none."""
    folders = sorted((platform.folder / RUNS).glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    runs = {path.parent.name: path.parent for path in folders}
    if not runs or (name is not None and name not in runs):
        known = ", ".join(runs) or "none"
        raise ConfigError(f"There is no run {f'{name!r}' if name else 'yet'} in {platform.folder}; there are: {known}.")
    return Run(platform, runs[name] if name else folders[-1].parent)


def wait_for_nodes(flower: Flower, least: int, patience_s: float) -> int:
    """Wait until so many nodes are online; how many are. Raises RoundFailed if they do not come."""
    deadline = time.monotonic() + patience_s
    while True:
        online = sum(status == "online" for status in flower.nodes().values())
        if online >= least:
            return online
        if time.monotonic() > deadline:
            raise RoundFailed(f"{online} nodes are online after {patience_s:g} s, the run asks for {least}.")
        time.sleep(2)
