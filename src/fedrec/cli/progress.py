"""A run while it happens, on stderr: live on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import math
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
from fedrec.formats import count, duration, plural
from fedrec.server.events import Event, Listener

FEDERATED_RUN = {"load": "load", "pooled": "pooled", "federation": "federation", "report": "report"}
ONE_TABLE = {"load": "load", "federation": "evaluate", "report": "collect"}
BAR_WIDTH = 30
REFRESHES_A_SECOND = 5
RECENT = 5
MOST_LINES = 20  # of one training, where lines are not redrawn


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
class Training:
    """The rounds of one training, as far as this process has seen them."""

    name: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    seconds: list[float] = field(default_factory=list)

    @staticmethod
    def of(event: Event, before: Training) -> Training:
        """The training that an event is about: the one before it, or a new one."""
        return before if event["training"] == before.name else Training(event["training"])

    def tell(self, event: Event) -> None:
        """Take note of an event of this training."""
        self.step, self.steps = int(event["step"]), int(event["steps"])
        if event["event"] == "round-end":
            self.loss = float(event["loss"]) if "loss" in event else None  # private rounds tell none
            self.seconds.append(float(event["seconds"]))

    def words(self, done: int) -> str:
        """Loss, seconds of a round, and how long the rest may take. done: rounds that are over."""
        if not self.seconds:
            return ""
        recent = self.seconds[-RECENT:]  # the first round of a process takes longer
        a_round = sum(recent) / len(recent)
        left = f", {_rough(a_round * (self.steps - done))} left" if done < self.steps else ""
        loss = "" if self.loss is None else f"loss {self.loss:.4g}, "
        return f": {loss}{duration(a_round)} a round{left}"


@dataclass
class Stage:
    """One line: a stage with what happens in it."""

    title: str
    note: str = ""
    rounds: int = 0
    asked: Event = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    seconds: float | None = None

    def tell(self, event: Event) -> None:
        """Take note of an event of this stage."""
        kind = event["event"]
        if "training" in event:
            self.training = Training.of(event, self.training)
            self.training.tell(event)
        if kind == "loaded":
            self.note = _loaded(event)
        elif kind == "round-start":
            self.rounds, self.asked = int(event["round"]), event
            self.note = self._asked(0)
        elif kind == "reply":
            self.note = self._asked(int(event["done"]))
        elif kind == "stage-end":
            self.seconds = float(event["seconds"])
            self.note = plural(self.rounds, "round") if self.rounds else self.note

    def _asked(self, answered: int) -> str:
        """What is asked, of whom now. What comes last may be cut."""
        tenant = _tenant(self.asked, answered)
        if "training" in self.asked:
            action = _action(self.asked).removeprefix("train ")
            return action + self.training.words(self.training.step - 1) + tenant
        return f"round {self.asked['round']}{tenant}: {_action(self.asked)}"


class Lines:
    """One plain line for each stage that has ended, and a few for each training."""

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
            self._print(f"{self._stage.title}: {duration(float(event['seconds']))}{note}")
        elif "training" in event:
            self._trained(event)

    def _trained(self, event: Event) -> None:
        step, steps = int(event["step"]), int(event["steps"])
        name = f"  {event['training']} {step}/{steps}"
        if event["event"] == "round-end" and (step % math.ceil(steps / MOST_LINES) == 0 or step == steps):
            self._print(name + self._stage.training.words(step))
        elif event["event"] == "round-discarded":
            self._print(f"{name}: discarded, {event['reason']}")
        elif event["event"] == "resumed":
            self._print(f"{name}: there from before the interruption")

    def _print(self, line: str) -> None:
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


def _action(event: Event) -> str:
    action = str(event["action"]).replace("_", " ")
    if event["phase"] == "choose" and action.startswith("score"):
        return "score candidates"
    return action


def _tenant(event: Event, answered: int) -> str:
    nodes = int(event["nodes"])
    return f", tenant {min(answered + 1, nodes)} of {nodes}" if nodes > 1 else ""


def _seconds(seconds: float) -> str:
    """Whole seconds, so that a running clock does not flicker."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def _rough(seconds: float) -> str:
    """An estimate in steps that do not feign precision."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return plural(round(seconds / 60), "minute")
