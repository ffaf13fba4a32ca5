"""How training went: one small picture of the losses for each neural recommender, and a line of text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedrec.formats import clean, metric, plural
from fedrec.simulations.report import standing
from fedrec.simulations.report.charts import FEDERATED, INK, MUTED, POOLED, RIGHT, RULE, Chart, Size, Width, drawn
from fedrec.simulations.report.schema import Curve, Report

HEIGHT, BELOW = 150, 42
BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 24
_LABEL = 96  # room for the name of a line right of its last round, in CSS pixels


@dataclass(frozen=True)
class Drawn:
    """One recommender's trainings."""

    title: str
    picture: Chart
    caption: str


def curves(report: Report) -> list[Drawn]:
    """A picture for each recommender that was trained in rounds."""
    names = dict.fromkeys(curve.model for curve in report.training)
    return [
        Drawn(_title(report, name), _picture(f"training-{place}", name, report), _caption(name, report))
        for place, name in enumerate(names)
    ]


def in_words(report: Report) -> list[str]:
    """For each final federated training: from which loss to which, in how many rounds, with a little picture."""
    final = [curve for curve in report.training if curve.arm == standing.FEDERATED and curve.phase == "final"]
    return [f"{_title(report, curve.model)}: {_course(curve)}  {bars(curve.losses)}" for curve in final]


def bars(values: Sequence[float]) -> str:
    """The values as bars of text, the largest full; of many, evenly spread ones with the first and the last."""
    if len(values) > MOST_BARS:
        values = [values[round(at * (len(values) - 1) / (MOST_BARS - 1))] for at in range(MOST_BARS)]
    low, high = min(values), max(values)
    steps = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * steps)] for value in values)


def _title(report: Report, model: str) -> str:
    return clean(standing.title(report, model))


def _caption(model: str, report: Report) -> str:
    """How the final federated training went, and what candidates reached on validation before it."""
    federated = [curve for curve in report.training if (curve.model, curve.arm) == (model, standing.FEDERATED)]
    final = next((curve for curve in federated if curve.phase == "final"), None)
    reached = [metric(curve.validation) for curve in federated if curve.validation is not None]
    parts = [f"Federated: {_course(final)}."] if final is not None else []
    parts += [f"{report.headline} on validation, by candidate: {', '.join(reached)}."] if reached else []
    return " ".join(parts)


def _picture(name: str, model: str, report: Report) -> Chart:
    found = [curve for curve in report.training if curve.model == model]

    def draw(axes: Axes, width: Width) -> None:
        for curve in found:
            _draw(axes, curve)
        _name_ends(axes, [curve for curve in found if curve.phase == "final"])
        _axes(axes, max(curve.rounds[-1] for curve in found), width)

    described = "; ".join(f"{_which(curve)}: {_spoken(report, curve)}" for curve in found)
    words = f"Mean training loss by round of {_title(report, model)}. {described}."
    return drawn(name, words, Size(HEIGHT, below=BELOW), draw)


def _draw(axes: Axes, curve: Curve) -> None:
    color = FEDERATED if curve.arm == standing.FEDERATED else POOLED
    final = curve.phase == "final"
    style = "-" if curve.arm == standing.FEDERATED else (0, (4, 3))
    axes.plot(
        curve.rounds, curve.losses, color=color, linestyle=style, linewidth=2.0 if final else 1.0,
        alpha=1.0 if final else 0.5, marker="o" if len(curve.rounds) == 1 else "", markersize=5,
    )  # fmt: skip


def _name_ends(axes: Axes, final: Sequence[Curve]) -> None:
    """The name and last loss of each final training at its end, apart from each other."""
    low, high = axes.get_ylim()
    least = (high - low) * 16 / HEIGHT
    heights: list[float] = []
    for curve in sorted(final, key=lambda one: one.losses[-1]):
        heights.append(max([curve.losses[-1], *(height + least for height in heights[-1:])]))
        axes.annotate(
            f"{curve.arm} {curve.losses[-1]:.3g}", (curve.rounds[-1], heights[-1]), xytext=(6, 0),
            textcoords="offset points", va="center", color=INK, fontsize=11,
        )  # fmt: skip


def _axes(axes: Axes, last: int, width: Width) -> None:
    across, span = width.pixels - width.margin - RIGHT, max(1, last - 1)
    axes.set_xlim(1 - 0.03 * span, last + span * _LABEL / (across - _LABEL))
    rounds = MaxNLocator(nbins=5, integer=True).tick_values(1, last)
    axes.set_xticks([one for one in rounds if 1 <= one <= last])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.grid(axis="y", color=RULE, linewidth=1)
    axes.set_xlabel("round", color=MUTED)
    axes.set_ylabel("loss", color=MUTED)


def _which(curve: Curve) -> str:
    return curve.arm if curve.phase == "final" else f"{curve.arm}, while settings were chosen"


def _spoken(report: Report, curve: Curve) -> str:
    if curve.validation is None:
        return _course(curve)
    return f"{_course(curve)}, {report.headline} {metric(curve.validation)} on validation"


def _course(curve: Curve) -> str:
    first, last = curve.losses[0], curve.losses[-1]
    change = f"loss {first:.4g}" if math.isclose(first, last) else f"loss {first:.4g} to {last:.4g}"
    return f"{change} in {plural(len(curve.rounds), 'round')}"
