"""One HTML file that answers a reader's questions in their order: no script, no font, no request to anywhere.

Everything that comes from a report is escaped by the templates; only our own charts go in as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.formats import MISSING, clean, count, duration, metric, plural, size
from fedrec.pages import environment
from fedrec.simulations.report import (
    charts,
    quality_tables,
    served,
    standing,
    training_charts,
    training_tables,
    wire_tables,
)
from fedrec.simulations.report.schema import Report
from fedrec.simulations.report.standing import FEDERATED, LOCAL, POOLED, Standing
from fedrec.simulations.report.verdict import protection, verdict


@dataclass(frozen=True)
class Tile:
    """One number at the top of the page."""

    label: str
    value: str
    note: str = ""
    kind: str = ""  # the arm whose colour marks the tile


def render(report: Report) -> str:
    """The whole page. The same report gives the same bytes, whenever and wherever it is drawn."""
    page = environment("fedrec.simulations.report").get_template("report.html")
    return page.render(
        report=report,
        verdict=verdict(report),
        warning=protection(report.privacy),
        tiles=_tiles(report),
        quality=quality_tables,
        wire=wire_tables,
        served=served.table(report),
        model_chart=charts.models(report),
        gain_chart=charts.gains(report),
        bars_cut=_bars_cut(report),
        arms=standing.arms(report),
        floor=standing.floor(report),
        cost=training_tables.cost(report),
        made_again=training_tables.made_again(report),
        curves=training_charts.curves(report),
        total_up=standing.bytes_up(report),
        total_down=standing.bytes_down(report),
    )


def _tiles(report: Report) -> list[Tile]:
    bests = {arm: standing.pick(report, arm) for arm in (LOCAL, FEDERATED, POOLED)}
    return [
        Tile("tenants", count(report.data.tenants), clean(report.data.name)),
        Tile("users", count(report.data.users), plural(report.data.items, "item")),
        _quality("floor", standing.floor(report)),
        _quality(LOCAL, bests[LOCAL]),
        _quality(FEDERATED, bests[FEDERATED], quality_tables.share_of_pooled(report)),
        _quality(POOLED, bests[POOLED]),
        Tile("time", duration(standing.seconds(report)), f"{size(report.peak_memory_bytes)} of memory"),
        Tile("sent per tenant", size(standing.bytes_up(report)), f"in {plural(len(report.rounds), 'round')}"),
    ]


def _quality(arm: str, best: Standing | None, note: str = "") -> Tile:
    if best is None:
        return Tile(arm, MISSING, "not measured", arm)
    named = clean(best.title)
    return Tile(arm, metric(best.measure.mean), f"{named}, {note}" if note else named, arm)


def _bars_cut(report: Report) -> bool:
    longest = charts.longest_bar(report)
    return any(gain is not None and abs(gain) > longest for _, gain in standing.tenants_by_gain(report))
