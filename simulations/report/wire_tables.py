"""The tables on what crossed the wire: rounds, their cost and failures, and what each tenant sent."""

from __future__ import annotations

from collections import Counter

from fedrec.formats import clean, count, duration, plural, size
from fedrec.simulations.report import standing, training_tables
from fedrec.simulations.report.schema import Report, Round, Sent, ServerView
from fedrec.simulations.report.table import Cell, Column, Table

MOST_ROUNDS = 200
MOST_ACTIONS = 3
PHASES = {"choose": "choosing settings", "final": "final fit", "test": "test"}


def rounds(report: Report) -> Table:
    """One row a round, with totals."""
    columns = (
        Column("Round"),
        Column("phase", number=False),
        Column("what was asked", number=False),
        Column("clients"),
        Column("failed"),
        Column("up", "per client"),
        Column("down", "per client"),
        Column("time"),
        Column("server", "its own work"),
        Column("clients", "all together"),
    )
    hidden = len(report.rounds) - MOST_ROUNDS
    return Table(
        "Rounds and their cost",
        columns,
        tuple(_round(exchange) for exchange in report.rounds[:MOST_ROUNDS]),
        total=_total(report) if report.rounds else (),
        left_out=f"{count(hidden)} more rounds are in report.json." if hidden > 0 else "",
    )


def _round(exchange: Round) -> tuple[Cell, ...]:
    return (
        Cell(str(exchange.number)),
        Cell(PHASES.get(exchange.phase, clean(exchange.phase))),
        Cell(clean(exchange.action)),
        Cell(count(exchange.clients)),
        Cell(count(len(exchange.failed)), tone="loss" if exchange.failed else ""),
        Cell(size(exchange.bytes_up)),
        Cell(size(exchange.bytes_down)),
        Cell(duration(exchange.seconds)),
        Cell(training_tables.seconds(exchange.server_seconds)),
        Cell(training_tables.seconds(exchange.client_seconds)),
    )


def _total(report: Report) -> tuple[Cell, ...]:
    together = training_tables.all_together(report)
    return (
        Cell("All"),
        Cell(plural(len(report.rounds), "round")),
        Cell(""),
        Cell(""),
        Cell(count(sum(len(exchange.failed) for exchange in report.rounds))),
        Cell(size(standing.bytes_up(report))),
        Cell(size(standing.bytes_down(report))),
        Cell(duration(sum(exchange.seconds for exchange in report.rounds))),
        Cell(training_tables.seconds(together.server_seconds)),
        Cell(training_tables.seconds(together.client_seconds)),
    )


def server_view(view: ServerView) -> Table:
    """One tenant's upload as the server saw it, beside the sum and beside the truth."""
    columns = (
        Column("Item", number=False),
        Column("what the server saw", "of this tenant"),
        Column("what it computed", "the sum over all tenants"),
        Column("what the tenant had", "known to this simulation only"),
    )
    rows = tuple(
        (Cell(clean(row.item)), Cell(count(row.seen)), Cell(count(row.total)), Cell(count(row.own)))
        for row in view.rows
    )
    return Table(f"The first numbers of {clean(view.tenant)}: users who have each item", columns, rows)


def failures(report: Report) -> list[str]:
    """One line for each reply that failed: which round, which node, why."""
    return [
        f"Round {exchange.number}, {clean(node)}: {clean(reason)}"
        for exchange in report.rounds
        for node, reason in exchange.failed.items()
    ]


def sent(report: Report) -> Table:
    """Each kind of block that left every client, with the bound that one user has on it, and what for."""
    asked: dict[str, Counter[str]] = {}
    kinds: dict[str, Sent] = {}
    for exchange in report.rounds:
        for block in exchange.sent:
            kind = block.model_dump_json()
            kinds[kind] = block
            asked.setdefault(kind, Counter())[exchange.action] += 1
    columns = (
        Column("Block", number=False),
        Column("sent for", number=False),
        Column("times"),
        Column("shape"),
        Column("bits", "per number"),
        Column("step", "rounding grid"),
        Column("bound", "of one user, L2 norm"),
    )
    rows = tuple(_block(block, asked[kind]) for kind, block in kinds.items())
    return Table("What left each tenant", columns, rows)


def _block(block: Sent, asked: Counter[str]) -> tuple[Cell, ...]:
    actions = [clean(action) for action in asked]
    more = f" and {len(actions) - MOST_ACTIONS} more" if len(actions) > MOST_ACTIONS else ""
    return (
        Cell(clean(block.block)),
        Cell(", ".join(actions[:MOST_ACTIONS]) + more),
        Cell(count(asked.total())),
        Cell(" × ".join(count(length) for length in block.shape) or "1 number"),
        Cell(str(block.bits)),
        Cell(f"{block.resolution:.3g}".replace("e-0", "e−")),
        Cell(f"{block.user_l2:.4g}"),
    )
