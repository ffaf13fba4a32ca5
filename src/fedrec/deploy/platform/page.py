"""The status of a platform as one HTML page: no script, no font, nothing from any network."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.deploy.platform import bars
from fedrec.deploy.platform.findings import days_left, findings, reasons
from fedrec.deploy.platform.status import ONLINE, Status
from fedrec.formats import MISSING, count, plural, size
from fedrec.pages import environment

TEMPLATE = "status.html"
LAST, REFRESH_S = 50, 5


@dataclass(frozen=True)
class Tile:
    """One number at the top of the page."""

    label: str
    value: str
    note: str = ""


def page(status: Status, refresh: bool = False) -> str:
    """The whole page; what tenants say goes in as text. refresh: whether it loads itself anew every few seconds."""
    return (
        environment("fedrec.deploy.platform")
        .get_template(TEMPLATE)
        .render(
            status=status,
            findings=findings(status),
            tiles=_tiles(status),
            days=days_left(status),
            reasons=reasons(status),
            last=status.rounds[-LAST:],
            rows=bars.rows(status.rounds),
            drawing=bars,
            refresh_s=REFRESH_S if refresh else None,
            epsilon=epsilon_words,
        )
    )


def epsilon_words(epsilon: float | None, budget: float | None = None) -> str:
    """Spent, of how much: "2.5 of 8"."""
    if epsilon is None:
        return MISSING
    return f"{epsilon:.4g}" + (f" of {budget:g}" if budget is not None else "")


def _tiles(status: Status) -> list[Tile]:
    done = [one for one in status.rounds if one.outcome == "done"]
    lost = sum(one.outcome == "discarded" for one in status.rounds)
    online = sum(one.status == ONLINE for one in status.tenants)
    worst = max((one.epsilon for one in status.tenants if one.epsilon is not None), default=None)
    in_sum = f"{done[-1].clients} of {done[-1].nodes}" if done else MISSING
    return [
        Tile("platform", "up" if status.up else "down", status.address),
        Tile("tenants online", f"{online} of {len(status.tenants)}" if status.up else MISSING),
        Tile("run", status.run or MISSING, status.run_status),
        Tile("rounds", count(len(done)), f"{count(lost)} discarded"),
        Tile("tenants in the last sum", in_sum, f"{plural(len(done[-1].dropped), 'drop')}" if done else ""),
        Tile("epsilon of this run", epsilon_words(worst, status.epsilon), "at most, of any tenant" if worst else ""),
        Tile("sent by each tenant", size(sum(one.bytes_up for one in done)), "in this run"),
        Tile("certificate", "ended" if days_left(status) < 0 else plural(days_left(status), "day"), "left"),
    ]
