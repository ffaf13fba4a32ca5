"""A run while it happens, on stderr: live on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fedrec.cli.work import Work
from fedrec.config import Config
from fedrec.server.events import Event, Listener
from fedrec.simulations.report.formats import count, duration, plural

FEDERATED_RUN = {"load": "load", "pooled": "pooled", "federation": "federation", "report": "report"}
ONE_TABLE = {"load": "load", "federation": "evaluate", "report": "collect"}
BAR_WIDTH = 30
REFRESHES_A_SECOND = 5


@contextmanager
def watching(config: Config, titles: Mapping[str, str], quiet: bool) -> Iterator[Listener]:
    """Show a run on stderr while the block lasts. titles: of the stages that it may have."""
    console = Console(stderr=True)
    if quiet:
        yield lambda event: None
    elif console.is_terminal and not console.is_dumb_terminal:
        display = Display(console, Work(config), titles)
        with _notes(console), display:
            yield display
    else:
        with _notes(console):
            yield Lines(console, titles)


@contextmanager
def _notes(console: Console) -> Iterator[None]:
    """Show warnings as notes, above the display rather than through it."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: console.print(Text(f"note: {message}"), soft_wrap=True)
        yield


@dataclass
class Stage:
    """One line: a stage with what happens in it."""

    title: str
    note: str = ""
    rounds: int = 0
    seconds: float | None = None

    def tell(self, event: Event) -> None:
        """Take note of an event of this stage."""
        kind = event["event"]
        if kind == "loaded":
            self.note = _loaded(event)
        elif kind == "round-start":
            self.rounds = int(event["round"])
            self.note = _round(event)
        elif kind == "stage-end":
            self.seconds = float(event["seconds"])
            self.note = plural(self.rounds, "round") if self.rounds else self.note


class Lines:
    """One plain line for each stage that has ended."""

    def __init__(self, console: Console, titles: Mapping[str, str]) -> None:
        self._console, self._titles = console, titles
        self._stage = Stage("")

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if event["event"] == "stage-start":
            self._stage = Stage(self._titles[event["stage"]])
        self._stage.tell(event)
        if event["event"] == "stage-end":
            note = f" ({self._stage.note})" if self._stage.note else ""
            line = f"{self._stage.title}: {duration(float(event['seconds']))}{note}"
            self._console.print(Text(line), soft_wrap=True)


class Display:
    """Stages, what the present round does, and how long it may still take; redrawn in place."""

    def __init__(self, console: Console, work: Work, titles: Mapping[str, str]) -> None:
        self._work, self._titles = work, titles
        self._stages: list[Stage] = []
        self._nodes, self._answered, self._ended = 0, 0, False
        self._begun = self._stage_begun = time.monotonic()
        self._spinner = Spinner("dots")
        self._width = max(len(title) for title in titles.values())
        self._live = Live(self, console=console, refresh_per_second=REFRESHES_A_SECOND)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        kind = event["event"]
        if kind == "stage-start":
            self._stages.append(Stage(self._titles[event["stage"]]))
            self._stage_begun = time.monotonic()
        elif kind == "round-start":
            self._nodes, self._answered = int(event["nodes"]), 0
        elif kind == "reply":
            self._answered = int(event["done"])
        self._work(event)
        if self._stages:
            self._stages[-1].tell(event)

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        rows.add_column(width=1)
        rows.add_column(width=self._width, no_wrap=True)
        rows.add_column(width=12, justify="right", no_wrap=True)
        rows.add_column(no_wrap=True, overflow="ellipsis")
        for stage in self._stages:
            rows.add_row(*self._row(stage))
        running = bool(self._stages) and self._stages[-1].seconds is None and not self._ended
        return Group(rows, self._bar()) if running else rows

    def _row(self, stage: Stage) -> list[RenderableType]:
        if stage.seconds is not None:
            return [Text("✓", "green"), stage.title, duration(stage.seconds), Text(stage.note, "dim")]
        mark: RenderableType = Text("✗", "red") if self._ended else self._spinner
        elapsed = time.monotonic() - self._stage_begun
        tenant = f", tenant {min(self._answered + 1, self._nodes)} of {self._nodes}" if self._nodes > 1 else ""
        return [mark, Text(stage.title, "bold"), _seconds(elapsed), Text(stage.note + tenant * bool(stage.rounds))]

    def _bar(self) -> RenderableType:
        share, left = self._work.share, self._work.remaining_s()
        elapsed = _seconds(time.monotonic() - self._begun)
        rest = f"about {_rough(left)} left" if left is not None else ""
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=share, width=BAR_WIDTH)
        row.add_row(" ", bar, Text(f"{share:4.0%}"), Text(f"{elapsed} so far"), Text(rest))
        return row


def _loaded(event: Event) -> str:
    parts = [f"{event['dataset']}: {count(event['users'])} users", f"{count(event['items'])} items"]
    parts += [f"{count(event['events'])} events"]
    return ", ".join(parts if event["tenants"] == 1 else [*parts, plural(event["tenants"], "tenant")])


def _round(event: Event) -> str:
    phase = "choosing, " if event["phase"] == "choose" else ""
    return f"round {event['round']}: {phase}{str(event['action']).replace('_', ' ')}"


def _seconds(seconds: float) -> str:
    """Whole seconds, so that a running clock does not flicker."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def _rough(seconds: float) -> str:
    """An estimate in steps that do not feign precision."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return plural(round(seconds / 60), "minute")
