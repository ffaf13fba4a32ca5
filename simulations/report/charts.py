"""Charts as inline SVG, the same bytes for the same report.

Matplotlib draws in stand-in colours that are then replaced by CSS variables, so a chart follows the page into
dark mode and print. Each chart is drawn wide and narrow; the page shows the one that fits the screen.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedrec.formats import short
from fedrec.simulations.report import standing
from fedrec.simulations.report.quality_tables import gain_words
from fedrec.simulations.report.schema import Measure, Report

MOST_BARS = 40
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
LOCAL, FEDERATED, POOLED, FLOOR, GAIN, LOSS = "#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a"
_VARIABLES = {
    INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "card", LOCAL: "local", FEDERATED: "federated",
    POOLED: "pooled", FLOOR: "floor", GAIN: "gain", LOSS: "loss",
}  # fmt: skip
_ARM_STYLE = {
    standing.LOCAL: (LOCAL, "s"),
    standing.FEDERATED: (FEDERATED, "o"),
    standing.POOLED: (POOLED, "D"),
}
Draw = Callable[[Axes, "Width"], None]
_LONGEST, _LABEL = 2.0, 54  # gain at which a bar is cut in any case; room for the label beyond a bar
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 12}
_TOP, RIGHT = 4, 12
_DPI = 72  # one SVG unit is one CSS pixel


@dataclass(frozen=True)
class Width:
    """A drawing's width and its room for names, in CSS pixels and characters."""

    name: str
    pixels: int
    margin: int
    characters: int
    name_size: int


WIDTHS = (Width("wide", 880, 212, 28, 12), Width("narrow", 350, 122, 16, 11))


@dataclass(frozen=True)
class Size:
    """A chart's height without, and the room below for, its axis; in CSS pixels."""

    rows: int
    below: int


@dataclass(frozen=True)
class Chart:
    """One picture in both widths, with the text that stands in for it."""

    description: str
    drawings: tuple[tuple[str, str], ...]  # (width name, svg)


def models(report: Report) -> Chart | None:
    """The headline metric of every model under every arm, with intervals where there are any."""
    arms = [arm for arm in standing.arms(report) if arm in _ARM_STYLE]
    cards = standing.ranked_models(report)
    if not arms or not cards:
        return None
    names = [card.title for card in cards]
    scores = [[standing.measure(report, arm, card.name, report.headline) for arm in arms] for card in cards]
    floor = standing.floor(report)

    def draw(axes: Axes, width: Width) -> None:
        if floor is not None:
            axes.axvline(floor.measure.mean, color=FLOOR, linewidth=1.8, linestyle=(0, (4, 3)))
        for row, found in enumerate(scores):
            _draw_model(axes, row, arms, found)
        _name_rows(axes, names, width)
        axes.set_xlabel(report.headline, color=MUTED)
        axes.margins(x=0.04)

    lines = "; ".join(f"{name}: {_spoken(arms, found)}" for name, found in zip(names, scores, strict=True))
    plain = f"The floor is {floor.measure.mean:.4f}. " if floor is not None else ""
    description = f"{report.headline} of each recommender under each arm. {plain}{lines}."
    return drawn("models", description, Size(len(names) * 38, below=42), draw)


def gains(report: Report) -> Chart | None:
    """What joining changes for each tenant, as sorted bars; with many tenants only both ends of the list."""
    ranked = [(tenant.name, gain) for tenant, gain in standing.tenants_by_gain(report) if gain is not None]
    if not ranked:
        return None
    half = MOST_BARS // 2
    shown = ranked if len(ranked) <= MOST_BARS else [*ranked[:half], *ranked[-half:]]

    longest = longest_bar(report)

    def draw(axes: Axes, width: Width) -> None:
        for row, (_, gain) in enumerate(shown):
            _draw_gain(axes, row, gain, longest)
        _name_rows(axes, [name for name, _ in shown], width)
        _gain_axis(axes, [max(-longest, min(longest, gain)) for _, gain in shown], width)

    spoken = "; ".join(f"{name} {gain_words(gain)}" for name, gain in shown)
    description = f"Gain of each tenant by joining, largest first. {spoken}."
    return drawn("gains", description, Size(len(shown) * 21, below=4), draw)


def longest_bar(report: Report) -> float:
    """Where a bar is cut so that one outlier does not flatten the others; its label says the true gain."""
    sizes = sorted(abs(gain) for _, gain in standing.tenants_by_gain(report) if gain is not None)
    typical = sizes[int(0.9 * (len(sizes) - 1))] if sizes else 0.0
    return min(1.5 * typical, _LONGEST) or _LONGEST


def _draw_model(axes: Axes, row: int, arms: Sequence[str], found: Sequence[Measure | None]) -> None:
    offsets = [(index - (len(arms) - 1) / 2) * 0.22 for index in range(len(arms))]
    for arm, offset, score in zip(arms, offsets, found, strict=True):
        if score is None:
            continue
        color, marker = _ARM_STYLE[arm]
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [row + offset] * 2, color=color, linewidth=1.6, alpha=0.55)
        fill = PAPER if arm == standing.POOLED else color
        edge = 1.8 if arm == standing.POOLED else 0
        axes.plot(
            [score.mean], [row + offset], marker=marker, markersize=8, color=color, markerfacecolor=fill,
            markeredgewidth=edge,
        )  # fmt: skip


def _draw_gain(axes: Axes, row: int, gain: float, longest: float) -> None:
    length = max(-longest, min(longest, gain))
    axes.barh(row, length, height=0.66, color=GAIN if gain >= 0 else LOSS, linewidth=0)
    if length != gain:
        axes.plot([length * 0.955, length * 0.97], [row + 0.42, row - 0.42], color=PAPER, linewidth=3)
    axes.annotate(
        gain_words(gain), (length, row), xytext=(5 if gain >= 0 else -5, 0), textcoords="offset points",
        ha="left" if gain >= 0 else "right", va="center", color=INK, fontsize=11,
    )  # fmt: skip


def _gain_axis(axes: Axes, lengths: Sequence[float], width: Width) -> None:
    low, high = min(0.0, *lengths), max(0.0, *lengths)
    sides = (low < 0) + (high > 0)
    across = width.pixels - width.margin - RIGHT - sides * _LABEL
    room = (high - low or 1.0) * _LABEL / across
    axes.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 else 0))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_xticks([])
    axes.grid(visible=False)


def _name_rows(axes: Axes, names: Sequence[str], width: Width) -> None:
    axes.set_yticks(range(len(names)), [short(name, width.characters) for name in names], color=INK,
                    fontsize=width.name_size)  # fmt: skip
    axes.set_ylim(len(names) - 0.5, -0.5)


def _spoken(arms: Sequence[str], found: Sequence[Measure | None]) -> str:
    pairs = [f"{arm} {score.mean:.4f}" for arm, score in zip(arms, found, strict=True) if score is not None]
    return ", ".join(pairs) or "not measured"


def drawn(name: str, description: str, size: Size, draw: Draw) -> Chart:
    """A picture in both widths. name: of its ids on the page."""
    drawings = tuple((width.name, _svg(name, width, size, draw)) for width in WIDTHS)
    return Chart(description, drawings)


def _svg(name: str, width: Width, size: Size, draw: Draw) -> str:
    prefix, height = f"{name}-{width.name}", size.rows + size.below + _TOP
    with mpl.rc_context({**_STYLE, "svg.hashsalt": prefix}), warnings.catch_warnings():
        # A name in another script is drawn by the reader's browser, which has the font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width.pixels / _DPI, height / _DPI), dpi=_DPI)
        axes = figure.add_axes(_area(width, size))
        _calm(axes)
        draw(axes, width)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), prefix)


def _area(width: Width, size: Size) -> tuple[float, float, float, float]:
    height = size.rows + size.below + _TOP
    across = width.pixels - width.margin - RIGHT
    return (width.margin / width.pixels, size.below / height, across / width.pixels, size.rows / height)


def _calm(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=MUTED, pad=6)
    axes.grid(axis="x", color=RULE, linewidth=1)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=5)


def _inline(svg: str, prefix: str) -> str:
    """The drawing without XML prologue and fixed size, its ids unique on the page and its colours themed."""
    start = svg.index("<svg")
    end = svg.index(">", start)
    tag = re.sub(r'\s(?:xmlns(?::xlink)?|width|height|version)="[^"]*"', "", svg[start:end])
    svg = tag + svg[end:]
    svg = re.sub(r'(\sid="|="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(f": {color}", f": var(--{variable})")
    return svg.strip()
