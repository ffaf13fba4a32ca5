"""What each recommender cost the federation: rounds, work, bytes. Rounds that serve several are one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedrec.formats import MISSING, clean, count, duration, size
from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Report, Round
from fedrec.simulations.report.table import Cell, Column, Table

SUMS, SCORES = "Sums for closed forms", "Scores"
NOTES = {
    SUMS: "shared by all that need them",
    SCORES: "validation, and each arm on test; in local and tuned each tenant trains",
}


@dataclass(frozen=True)
class Cost:
    """The rounds of one purpose. Seconds are None where nobody measured them. Bytes are of one client, on average."""

    purpose: str
    rounds: int
    server_seconds: float | None
    client_seconds: float | None
    bytes_up: int
    bytes_down: int

    @property
    def up_a_round(self) -> float:
        """Bytes."""
        return self.bytes_up / self.rounds

    @property
    def down_a_round(self) -> float:
        """Bytes."""
        return self.bytes_down / self.rounds


def costs(report: Report) -> list[Cost]:
    """Each trained recommender, the sums, the scores; together all rounds of the report."""
    purposes: dict[str, list[Round]] = {SUMS: [], SCORES: []}
    purposes |= {one.model: [] for one in report.rounds if one.model is not None}
    for one in report.rounds:
        purposes[one.model or (SCORES if one.action.startswith("score") else SUMS)].append(one)
    trained = [name for name in purposes if name not in NOTES]
    named = [(SUMS, SUMS), *((name, standing.title(report, name)) for name in trained), (SCORES, SCORES)]
    return [_cost(title, purposes[name]) for name, title in named if purposes[name]]


def all_together(report: Report) -> Cost:
    """All rounds of the report, of which there is at least one."""
    return _cost("All", report.rounds)


def cost(report: Report) -> Table:
    """One row a purpose, with the total."""
    columns = (
        Column("What for", number=False),
        Column("rounds"),
        Column("server", "its own work"),
        Column("clients", "all together"),
        Column("up", "per client and round"),
        Column("up", "per client"),
        Column("down", "per client and round"),
        Column("down", "per client"),
    )
    rows = tuple(_row(one) for one in costs(report))
    return Table("Cost by recommender", columns, rows, total=_row(all_together(report)) if rows else ())


def seconds(value: float | None) -> str:
    """A time, or that there is none."""
    return MISSING if value is None else duration(value)


def made_again(report: Report) -> int:
    """Rounds that a resumed run made a second time, since an interruption took their result."""
    return len(report.rounds) - len({one.number for one in report.rounds})


def _row(one: Cost) -> tuple[Cell, ...]:
    return (
        Cell(clean(one.purpose), NOTES.get(one.purpose, "")),
        Cell(count(one.rounds)),
        Cell(seconds(one.server_seconds)),
        Cell(seconds(one.client_seconds)),
        Cell(size(one.up_a_round)),
        Cell(size(one.bytes_up)),
        Cell(size(one.down_a_round)),
        Cell(size(one.bytes_down)),
    )


def _cost(purpose: str, rounds: Sequence[Round]) -> Cost:
    return Cost(
        purpose,
        len(rounds),
        _sum(one.server_seconds for one in rounds),
        _sum(one.client_seconds for one in rounds),
        sum(one.bytes_up for one in rounds),
        sum(one.bytes_down for one in rounds),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
