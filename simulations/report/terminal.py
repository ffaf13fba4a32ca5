"""What a person sees when a run ends: the verdict, recommenders, who gains and loses, where the files are.

It reads well at 80 columns and without colour: nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedrec.formats import MISSING, clean, count, duration, metric, plural, short, size
from fedrec.simulations.report import standing, training_charts, training_tables
from fedrec.simulations.report.quality_tables import gain_words
from fedrec.simulations.report.schema import Measure, Report, ServerView, Tenant
from fedrec.simulations.report.standing import FEDERATED, FLOOR, LOCAL
from fedrec.simulations.report.verdict import protection, verdict

MOST_MODELS = 12
MOST_TENANTS = 8
MOST_SEEN = 3
NAME_WIDTH = 30
MOST_ARMS, NARROW_MODEL = 5, 25  # so many columns fit beside a name of so much
NARROW_TENANT = 15  # room for a tenant's name beside what serves it
Compared = tuple[Tenant, float | None]  # a tenant with its gain


def summary(report: Report, files: Sequence[Path] = ()) -> RenderableType:
    """The end of a run, for a rich console. `files` are shown with their paths as given."""
    found = verdict(report)
    parts: list[RenderableType] = [Text(""), Text(found.outcome.value, style="bold"), Text(found.sentence)]
    parts += [Text(""), *(_bullet(fact) for fact in found.details)]
    if standing.arms(report):
        parts += [Text(""), _models(report)]
    if report.tenants:
        parts += [Text(""), _tenants(report)]
    warning = protection(report.privacy)
    if warning is not None:
        parts += [Text(""), Text(f"Privacy: {warning}", style="yellow")]
    if report.privacy.server_view is not None:
        parts += [Text(""), _server_view(report.privacy.server_view)]
    trained = training_charts.in_words(report)
    if trained:
        parts += [Text(""), Text("Training, mean loss of all clients", style="bold"), *map(_bullet, trained)]
    if report.rounds:
        parts += [Text(""), _costs(report)]
    parts += [Text(""), Text(_cost(report), style="dim"), *(_file(path) for path in files)]
    return Padding(Group(*parts), (0, 1), expand=False)


def _server_view(view: ServerView) -> Table:
    table = _table(f"What the server saw of {short(view.tenant, NAME_WIDTH)}")
    table.add_column("users who have", no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
    for heading in ("it saw", "sum of all", "hidden"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in view.rows[:MOST_SEEN]:
        table.add_row(Text(short(clean(row.item), NAME_WIDTH)), *(count(n) for n in (row.seen, row.total, row.own)))
    return table


def _models(report: Report) -> Table:
    arms = standing.arms(report)
    tops = {arm: standing.best(report, arm) for arm in arms}
    cards = standing.ranked_models(report)
    if len(arms) > MOST_ARMS:  # the verdict names the floor
        arms = [arm for arm in arms if arm != FLOOR]
    width = NAME_WIDTH if len(arms) < MOST_ARMS else NARROW_MODEL
    table = _table(f"{report.headline} on all test users (* best of its column)")
    table.add_column("recommender", no_wrap=True, overflow="ellipsis", max_width=width)
    for arm in arms:
        table.add_column(clean(arm), justify="right", no_wrap=True)
    for card in cards[:MOST_MODELS]:
        scores = [standing.measure(report, arm, card.name, report.headline) for arm in arms]
        marks = [(top := tops[arm]) is not None and top.model == card.name for arm in arms]
        cells = [_score(score, mark) for score, mark in zip(scores, marks, strict=True)]
        chosen = " (chosen)" if card.name == report.chosen else ""
        table.add_row(Text(short(card.title, width - len(chosen)) + chosen), *cells)
    _add_rest(table, len(cards) - MOST_MODELS, len(arms), width)
    return table


def _tenants(report: Report) -> Table:
    first, last, hidden = _both_ends(standing.tenants_by_gain(report))
    table = _table("Does joining help me? Each tenant's own view")
    chose = any(tenant.served_by is not None for tenant in report.tenants)
    headings = ["users", "alone", "together", "gain", *(["personal"] if chose else [])]
    width = NARROW_TENANT if chose else NAME_WIDTH
    table.add_column("tenant", no_wrap=True, overflow="ellipsis", max_width=width)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for tenant, gain in first:
        table.add_row(*_tenant(report, tenant, gain)[: 1 + len(headings)])
    _add_rest(table, hidden, len(headings), width)
    for tenant, gain in last:
        table.add_row(*_tenant(report, tenant, gain)[: 1 + len(headings)])
    return table


def _tenant(report: Report, tenant: Tenant, gain: float | None) -> list[Text]:
    alone = standing.tenant_score(report, tenant, LOCAL, tenant.best_local)
    together = standing.tenant_score(report, tenant, FEDERATED, tenant.best_federated)
    unmeasured = "no test users" if tenant.test_users == 0 else MISSING
    return [
        Text(short(tenant.name, NAME_WIDTH)),
        Text(count(tenant.users)),
        Text(metric(alone)),
        Text(metric(together)),
        Text(unmeasured if gain is None else gain_words(gain), style=_style(gain)),
        Text(f"{tenant.served_by or MISSING} {metric(standing.personal_score(report, tenant))}"),
    ]


def _costs(report: Report) -> Table:
    table = _table("Cost by recommender, bytes of one client")
    table.add_column("what for", no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
    for heading in ("rounds", "server", "clients", "up a round", "down a round"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in training_tables.costs(report):
        seconds = [training_tables.seconds(part) for part in (one.server_seconds, one.client_seconds)]
        bytes_a_round = [size(one.up_a_round), size(one.down_a_round)]
        table.add_row(Text(short(one.purpose, NAME_WIDTH)), count(one.rounds), *seconds, *bytes_a_round)
    return table


def _both_ends(ranked: list[Compared]) -> tuple[list[Compared], list[Compared], int]:
    """The largest gains, the largest losses, and how many tenants lie between or cannot be compared."""
    if len(ranked) <= MOST_TENANTS:
        return ranked, [], 0
    measured = [pair for pair in ranked if pair[1] is not None]
    half = MOST_TENANTS // 2
    if len(measured) <= MOST_TENANTS:
        return measured, [], len(ranked) - len(measured)
    return measured[:half], measured[-half:], len(ranked) - 2 * half


def _style(gain: float | None) -> str:
    if gain is None or abs(gain) < standing.NEGLIGIBLE:
        return ""
    return "blue" if gain > 0 else "red"


def _score(found: Measure | None, best: bool) -> Text:
    text = metric(found.mean if found is not None else None)
    return Text(f"*{text}", style="bold") if best else Text(text)


def _add_rest(table: Table, hidden: int, empty: int, width: int) -> None:
    if hidden > 0:
        where = " in report.html" if width >= NAME_WIDTH else ""
        table.add_row(Text(f"… and {hidden} more{where}", style="dim"), *([""] * empty))


def _table(title: str) -> Table:
    return Table(
        title=Text(clean(title)),
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


def _bullet(fact: str) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    row.add_row(Text("·"), Text(fact))
    return row


def _cost(report: Report) -> str:
    up, down = size(standing.bytes_up(report)), size(standing.bytes_down(report))
    rounds = plural(len(report.rounds), "round")
    return f"{duration(standing.seconds(report))}, {rounds}, {up} sent and {down} received per tenant"


def _file(path: Path) -> Text:
    return Text(clean(str(path)), overflow="fold")
