"""The numbers of a tenant for its own Prometheus, at its own endpoint on loopback.

How many users and events it has, and what each of its releases cost, is the tenant's own business: the platform learns
neither, and this endpoint answers this machine only. Who scrapes it from elsewhere must be the tenant, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fedrec.client.guard import guard_of
from fedrec.deploy.certificates import valid_until
from fedrec.deploy.invitation import CA
from fedrec.deploy.logs import LOG
from fedrec.deploy.metrics import Families, Family, counts, gauge
from fedrec.deploy.supervisor import is_up
from fedrec.deploy.tenant.folder import PLATFORM, Tenant
from fedrec.deploy.tenant.heard import Heard
from fedrec.privacy.accountant import epsilon_of


@dataclass
class Looking:
    """Looks at one tenant, again and again."""

    tenant: Tenant
    heard: Heard

    @classmethod
    def at(cls, tenant: Tenant) -> Looking:
        """From the beginning of its log."""
        return cls(tenant, Heard(tenant.folder / LOG))

    def __call__(self) -> Families:
        """What there is to tell now. Raises Refusal if the ledger is damaged."""
        self.heard.listen()
        return [*_itself(self.tenant), *_budget(self.tenant), *_answers(self.heard)]


def _itself(tenant: Tenant) -> Iterator[Family]:
    rows, ca = tenant.store.dataset(), tenant.folder / PLATFORM / CA
    until = valid_until(ca.read_bytes()).timestamp() if ca.exists() else None
    yield from gauge("fedrec_tenant_up", "Whether `fedrec tenant up` is at work.", is_up(tenant.folder.resolve()))
    yield from gauge("fedrec_tenant_users", "Users in the tenant's rows.", rows.num_users)
    yield from gauge("fedrec_tenant_events", "The tenant's rows.", rows.num_events)
    yield from gauge("fedrec_tenant_ca_expiry_timestamp_seconds", "When the platform's CA ends, Unix time.", until)


def _budget(tenant: Tenant) -> Iterator[Family]:
    """By the ledger, which counts every release before it leaves. Nothing without a budget."""
    guard = guard_of(tenant.store)
    if guard is None:
        return
    entries, policy = guard.ledger.entries(), guard.policy
    spent = epsilon_of([one for entry in entries for one in entry.mechanisms], policy.delta)
    last = datetime.fromisoformat(entries[-1].at).timestamp() if entries and entries[-1].at else None
    yield from gauge("fedrec_tenant_epsilon_spent", "What all releases can have cost one user.", spent)
    yield from gauge("fedrec_tenant_epsilon_budget", "What they may cost, by the tenant's policy.", policy.epsilon)
    yield from gauge("fedrec_tenant_delta", "The chance of failure at which epsilon holds.", policy.delta)
    yield counts("fedrec_tenant_releases_total", "Releases on the ledger.", {(): len(entries)}, ())
    yield from gauge("fedrec_tenant_last_release_timestamp_seconds", "When the last one was, Unix time.", last)


def _answers(heard: Heard) -> Iterator[Family]:
    yield counts(
        "fedrec_tenant_answers_total", "Messages that were answered, with refusals or without.", {(): heard.answers}, ()
    )
    help_ = "Answers that were refusals, by reason."
    yield counts("fedrec_tenant_refusals_total", help_, heard.refusals, ("reason",))
    yield from gauge("fedrec_tenant_last_round", "The round that was answered last.", heard.last_round)
    yield from gauge("fedrec_tenant_last_answer_timestamp_seconds", "When that was, Unix time.", heard.last_answer)
