"""Whom each part of a fusion serves: the shares of users for whom it weighs most, of all tenants and of each."""

from __future__ import annotations

from fedrec.formats import MISSING, clean, percent
from fedrec.simulations.report.schema import Report, Tenant
from fedrec.simulations.report.table import Cell, Column, Table

FUSED, SERVED = "fused", "served"
"""The arm, and the slice of its result that holds the shares."""
PARTS = {
    "collaborative": "recommenders of all tenants",
    "second": "the second of them",
    "own": "what the tenant makes alone",
    "content": "likeness of content",
    "popularity": "popularity",
}


LEAST = 0.005
"""Smaller shares would be read as 0 %."""


def shares(report: Report) -> dict[str, float]:
    """Part -> its share of all tenants' test users; nothing without arm `fused`."""
    found = next((result for result in report.results if result.arm == FUSED), None)
    measures = {} if found is None else found.slices.get(SERVED, {})
    return {part: measures[part].mean for part in PARTS if part in measures}


def sentence(report: Report) -> str | None:
    """Which part leads for how many users."""
    served = [
        f"for {percent(share)} of users by {PARTS[part]}" for part, share in shares(report).items() if share >= LEAST
    ]
    return f"Fused lists are led {', '.join(served)}." if served else None


def table(report: Report) -> Table:
    """The shares of all tenants together, then of each."""
    rows = [_row("all tenants", shares(report))] if shares(report) else []
    rows += [_row(tenant.name, tenant.served) for tenant in _served(report)]
    columns = (Column("Tenant", number=False), *(Column(part, note) for part, note in PARTS.items()))
    return Table("Which part of a fusion serves whom", columns, tuple(rows))


def _served(report: Report) -> list[Tenant]:
    return [tenant for tenant in report.tenants if tenant.served]


def _row(name: str, of: dict[str, float]) -> tuple[Cell, ...]:
    return (Cell(clean(name)), *(Cell(percent(of[part]) if part in of else MISSING) for part in PARTS))
