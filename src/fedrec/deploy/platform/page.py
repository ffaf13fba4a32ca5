"""The status of a platform, for a terminal and as a page."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table

from fedrec.deploy.platform.status import Status

TEMPLATE = "status.html"


def page(status: Status) -> str:
    """One HTML page without scripts, which loads itself anew every few seconds."""
    loader = PackageLoader("fedrec.deploy.platform", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(TEMPLATE).render(status=status)


def tables(status: Status) -> list[str | Table]:
    """What is printed: a line, the tenants, the rounds."""
    up = "up" if status.up else "down"
    line = (
        f"{status.name} at {status.address}: {up}, certificate until {status.certificate_until}; "
        f"run {status.run or '-'}: {status.run_status}"
    )
    return [line, _tenants(status), _rounds(status)]


def _tenants(status: Status) -> Table:
    table = Table("tenant", "node", "status", "epsilon at most", box=None, pad_edge=False)
    for one in status.tenants:
        epsilon = "-" if one.epsilon is None else f"{one.epsilon:.4g} at delta {status.delta:g}"
        table.add_row(one.name, str(one.node), one.status, epsilon)
    return table


def _rounds(status: Status) -> Table:
    columns = ("round", "action", "nodes", "cohort", "in the sum", "dropped", "refused", "up", "down", "seconds")
    table = Table(*columns, box=None, pad_edge=False)
    for one in status.rounds:
        cells = [one.number, one.action, one.nodes, one.cohort or "-", one.clients or "-"]
        cells += [len(one.dropped), "; ".join(one.refusals) or "-", one.bytes_up, one.bytes_down, one.seconds]
        table.add_row(*map(str, cells))
    return table
