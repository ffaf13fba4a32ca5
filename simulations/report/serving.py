"""What serves each tenant by its own choice on validation, and what that does for it."""

from __future__ import annotations

from collections import Counter

from fedrec.formats import change, metric, plural, short
from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Report, Tenant
from fedrec.simulations.report.standing import FEDERATED, LOCAL

SERVED_BY = {"federated": "federated", "tuned": "tuned", "fused": "fused", "local": "its own"}
"""An arm -> what serves a tenant, in its words."""


def sentence(report: Report) -> str | None:
    """How tenants fare with what each chose for itself, against staying alone; None without such a choice."""
    served = Counter(tenant.served_by for tenant in report.tenants if tenant.served_by is not None)
    changes = {t.name: gain for t in report.tenants if (gain := standing.personal_gain(report, t)) is not None}
    if not served or not changes:
        return None
    parts = [f"{served[arm]} {words}" for arm, words in SERVED_BY.items() if served[arm]]
    return (
        f"Each tenant with what did best on its own validation ({', '.join(parts)}): "
        f"{_means(report)}, {_worst(changes)}."
    )


def _worst(changes: dict[str, float]) -> str:
    worse = [name for name, gain in changes.items() if gain <= -standing.NEGLIGIBLE]
    if not worse:
        return f"none of {plural(len(changes), 'measured tenant')} worse off than alone"
    most = min(changes, key=lambda name: changes[name])
    of_all = plural(len(changes), "measured tenant")
    return f"{len(worse)} of {of_all} worse off than alone ({short(most, 40)} most, {change(changes[most])})"


def _means(report: Report) -> str:
    """The mean over test users of all tenants that can be compared."""
    rows = [(t.test_users, scores) for t in report.tenants if (scores := _scores(report, t)) is not None]
    users = sum(count for count, _ in rows)
    personal, alone, together = (sum(n * scores[at] for n, scores in rows) / users for at in range(3))
    return f"{report.headline} {metric(personal)} ({metric(alone)} alone, {metric(together)} together)"


def _scores(report: Report, tenant: Tenant) -> tuple[float, float, float] | None:
    found = (
        standing.personal_score(report, tenant),
        standing.tenant_score(report, tenant, LOCAL, tenant.best_local),
        standing.tenant_score(report, tenant, FEDERATED, tenant.best_federated),
    )
    personal, alone, together = found
    return None if personal is None or alone is None or together is None else (personal, alone, together)
