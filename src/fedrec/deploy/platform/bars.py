"""Rounds over time as rows of bars: plain SVG whose colours are those of the page, so it follows into dark mode.

Each bar says its number when it is pointed at, and the picture has a sentence that stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedrec.deploy.platform.rounds import Round
from fedrec.formats import count, duration, size

MOST, WIDTH, HEIGHT = 120, 880, 72
_GAP, _WIDEST = 0.2, 48.0


@dataclass(frozen=True)
class Bar:
    """One round. x, y, width, height: in CSS pixels. tone: "" or "loss", for what should not be. told: in words."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    told: str


@dataclass(frozen=True)
class Row:
    """One quantity of all rounds. most: its largest value, in words."""

    title: str
    most: str
    bars: tuple[Bar, ...]
    described: str


def rows(rounds: Sequence[Round]) -> list[Row]:
    """Seconds, bytes and losses of the last `MOST` rounds that are over; nothing if there are none."""
    shown = [one for one in rounds if one.outcome != "under way"][-MOST:]
    if not shown:
        return []
    return [
        _row("time of a round", shown, lambda one: one.seconds, duration),
        _row("sent by a tenant", shown, lambda one: one.bytes_up, size),
        _row("sent to a tenant", shown, lambda one: one.bytes_down, size),
        _row("dropped out or declined", shown, _lost, count, tone="loss"),
    ]


def _lost(one: Round) -> int:
    """How many were asked and are not in the sum, or spoke up; a discarded round has lost everyone."""
    return one.nodes if one.outcome == "discarded" else max(len(one.dropped), len(one.declined))


def _row(
    title: str, shown: Sequence[Round], value: Callable[[Round], float], words: Callable[[float], str], tone: str = ""
) -> Row:
    values = [value(one) for one in shown]
    most, step = max(values), min(_WIDEST, WIDTH / len(shown))
    bars = tuple(
        Bar(
            x=round(place * step, 2),
            y=round(HEIGHT - _height(one, most), 2),
            width=round(step * (1 - _GAP), 2),
            height=_height(one, most),
            tone=tone or ("loss" if asked.outcome == "discarded" else ""),
            told=f"round {asked.number}, {asked.action}: {words(one)}"
            + (", discarded" if asked.outcome == "discarded" else ""),
        )
        for place, (asked, one) in enumerate(zip(shown, values, strict=True))
    )
    described = f"{title} in {len(shown)} rounds: {words(min(values))} to {words(most)}, last {words(values[-1])}"
    return Row(title, words(most), bars, described)


def _height(value: float, most: float) -> float:
    """A value that is not 0 is always to be seen."""
    return round(max(2.0, HEIGHT * value / most), 2) if value > 0 else 0.0
