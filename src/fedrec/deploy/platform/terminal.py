"""The status of a platform for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from fedrec.deploy.platform.findings import findings, reasons
from fedrec.deploy.platform.page import epsilon_words
from fedrec.deploy.platform.status import Status
from fedrec.formats import clean, duration, size

LAST = 20
_TONES = {"bad": "red", "warn": "yellow", "good": "green"}


def shown(status: Status) -> list[str | Text | Table]:
    """What is printed: a line, what to know first, the tenants, the rounds, who declined."""
    up = "up" if status.up else "down"
    line = f"{status.name} at {status.address}: {up}, certificate until {status.certificate_until[:10]}"
    told = [Text(clean(one.text), style=_TONES[one.tone]) for one in findings(status)]
    tables = [_tenants(status)] if status.tenants else []
    tables += [_rounds(status)] if status.rounds else []
    tables += [_declined(status)] if reasons(status) else []
    return [line, *told, *(part for table in tables for part in ("", table))]


def _tenants(status: Status) -> Table:
    table = _table("tenant", "status", "epsilon of this run", "of all runs")
    for one in status.tenants:
        table.add_row(one.name, one.status, epsilon_words(one.epsilon, status.epsilon), epsilon_words(one.ever))
    return table


def _rounds(status: Status) -> Table:
    """The last rounds; what came before is on the page."""
    title = f"the last {LAST} of {len(status.rounds)} rounds" if len(status.rounds) > LAST else None
    table = _table("round", "action", "", "in the sum", "up", "down", "time", title=title)
    for one in status.rounds[-LAST:]:
        in_sum = f"{one.clients} of {one.cohort or one.nodes}"
        cells = [one.number, one.action, one.outcome, in_sum, size(one.bytes_up), size(one.bytes_down)]
        table.add_row(*map(str, cells), duration(one.seconds))
    return table


def _declined(status: Status) -> Table:
    table = _table("declined", "reason", "times", "in its words")
    for who, reason, times, detail in reasons(status):
        table.add_row(*(Text(clean(cell)) for cell in (who, reason, str(times), detail)))
    return table


def _table(*columns: str, title: str | None = None) -> Table:
    return Table(*columns, box=None, pad_edge=False, title=title, title_justify="left")
