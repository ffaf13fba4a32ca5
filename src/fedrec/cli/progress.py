"""A run while it happens, on stderr: live on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

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
    asked: Event = field(default_factory=dict)
    seconds: float | None = None

    def tell(self, event: Event) -> None:
        """Take note of an event of this stage."""
        kind = event["event"]
        if kind == "loaded":
            self.note = _loaded(event)
        elif kind == "round-start":
            self.rounds, self.asked = int(event["round"]), event
            self.note = _round(event, 0)
        elif kind == "reply":
            self.note = _round(self.asked, int(event["done"]))
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
        self._ended = False
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
        if event["event"] == "stage-start":
            self._stages.append(Stage(self._titles[event["stage"]]))
            self._stage_begun = time.monotonic()
        self._work(event)
        if self._stages:
            self._stages[-1].tell(event)

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1), expand=True)
        rows.add_column(width=1)
        rows.add_column(width=self._width)
        rows.add_column(width=11, justify="right")
        rows.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for stage in self._stages:
            rows.add_row(*self._row(stage))
        running = bool(self._stages) and self._stages[-1].seconds is None and not self._ended
        return Group(rows, self._bar()) if running else rows

    def _row(self, stage: Stage) -> list[RenderableType]:
        if stage.seconds is not None:
            return [Text("✓", "green"), stage.title, duration(stage.seconds), Text(stage.note, "dim")]
        mark: RenderableType = Text("✗", "red") if self._ended else self._spinner
        return [mark, Text(stage.title, "bold"), _seconds(time.monotonic() - self._stage_begun), Text(stage.note)]

    def _bar(self) -> RenderableType:
        share, left = self._work.share, self._work.remaining_s()
        parts = [f"{int(share * 100)}%", f"{_seconds(time.monotonic() - self._begun)} so far"]
        if left is not None and share < 1:
            parts.append(f"about {_rough(left)} left")
        row = Table.grid(padding=(0, 1))
        row.add_row(" ", ProgressBar(total=1.0, completed=share, width=BAR_WIDTH), Text(", ".join(parts)))
        return row


def _loaded(event: Event) -> str:
    parts = [f"{count(event[what])} {what}" for what in ("users", "items", "events")]
    return ", ".join(parts if event["tenants"] == 1 else [*parts, plural(event["tenants"], "tenant")])


def _round(event: Event, answered: int) -> str:
    """What is asked, of whom now. The tenant comes first: a long question may be cut."""
    action = str(event["action"]).replace("_", " ")
    if event["phase"] == "choose" and action.startswith("score"):
        action = "score candidates"
    nodes = int(event["nodes"])
    tenant = f", tenant {min(answered + 1, nodes)} of {nodes}" if nodes > 1 else ""
    return f"round {event['round']}{tenant}: {action}"


def _seconds(seconds: float) -> str:
    """Whole seconds, so that a running clock does not flicker."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def _rough(seconds: float) -> str:
    """An estimate in steps that do not feign precision."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return plural(round(seconds / 60), "minute")
