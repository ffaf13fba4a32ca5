"""The numbers of a platform for Prometheus. Counters are over all runs that are still in its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from fedrec.deploy.metrics import Families, Family, Histogram, Sample, counts, gauge
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.rounds import Round, rounds
from fedrec.deploy.platform.status import (
    ENDED,
    FINISHED,
    INTERRUPTED,
    NO_RUN,
    ONLINE,
    UNKNOWN,
    Status,
    history,
    is_over,
    status_of,
)
from fedrec.deploy.reasons import known

SECONDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
STATES = ("none", "waiting", "running", "finished", "failed", "interrupted", UNKNOWN)
STRANGER = "unknown"  # a node or member that is not there any more


def look(platform: Platform) -> Families:
    """What there is to tell of a platform now."""
    status = status_of(platform)
    made = [one for name, events in history(platform).items() for one in rounds(events, _goes_on(status, name))]
    return [*_platform(status), *_tenants(status), *_run(status), *_rounds(status, made)]


def state_of(run_status: str) -> str:
    """One of `STATES` for what Flower or fedrec says of a run."""
    fixed = {NO_RUN: "none", FINISHED: "finished", INTERRUPTED: "interrupted"}
    if run_status.startswith(ENDED):
        return "failed"
    if run_status in ("pending", "starting"):
        return "waiting"
    return fixed.get(run_status, run_status if run_status in STATES else UNKNOWN)


def _goes_on(status: Status, run: str) -> bool:
    return run == status.run and not is_over(status.run_status)


def _platform(status: Status) -> Iterator[Family]:
    until = datetime.fromisoformat(status.certificate_until).timestamp()
    yield from gauge("fedrec_platform_up", "Whether `fedrec platform up` is at work.", status.up)
    yield from gauge(
        "fedrec_platform_certificate_expiry_timestamp_seconds", "When the server's certificate ends, Unix time.", until
    )


def _tenants(status: Status) -> Iterator[Family]:
    def each(name: str, help_: str, values: Sequence[float | None]) -> Family:
        pairs = zip(status.tenants, values, strict=True)
        return Family(name, help_, tuple(Sample(value, {"tenant": t.name}) for t, value in pairs if value is not None))

    online = [None if one.status == UNKNOWN else float(one.status == ONLINE) for one in status.tenants]
    told = [one for one in online if one is not None]
    yield from gauge("fedrec_platform_tenants", "Tenants that were let in.", len(online))
    yield from gauge("fedrec_platform_tenants_online", "Tenants whose node is online.", sum(told) if told else None)
    yield each("fedrec_platform_tenant_online", "Whether a tenant's node is online, if the platform is up.", online)
    help_ = "The most that {} can have cost a user of the tenant, by what the platform has received."
    name = "fedrec_platform_tenant_epsilon_spent"
    yield each(name, help_.format("all runs together"), [one.ever for one in status.tenants])
    name = "fedrec_platform_run_epsilon_spent"
    yield each(name, help_.format("the newest run"), [one.epsilon for one in status.tenants])


def _run(status: Status) -> Iterator[Family]:
    now = state_of(status.run_status)
    states = tuple(Sample(float(state == now), {"state": state}) for state in STATES)
    yield Family("fedrec_platform_run_state", "1 for the state that the newest run is in.", states)
    yield from gauge("fedrec_platform_run_epsilon_budget", "What the newest run may cost a user.", status.epsilon)
    yield from gauge("fedrec_platform_drift_alarms", "What the newest run found to have drifted.", len(status.alarms))
    done = [one for one in status.rounds if one.outcome == "done"]
    if done:
        help_ = "Tenants {} the last round of the newest run."
        yield from gauge("fedrec_platform_round_asked", help_.format("asked in"), done[-1].nodes)
        yield from gauge("fedrec_platform_round_cohort", help_.format("in the cohort of"), done[-1].cohort)
        yield from gauge("fedrec_platform_round_clients", help_.format("in the sum of"), done[-1].clients)


def _rounds(status: Status, made: Sequence[Round]) -> Iterator[Family | Histogram]:
    done = [one for one in made if one.outcome == "done"]
    outcomes = {("done",): len(done), ("discarded",): sum(one.outcome == "discarded" for one in made)}
    yield counts("fedrec_platform_rounds_total", "Rounds that are over.", outcomes, ("outcome",))
    seconds = [one.seconds for one in done]
    yield Histogram("fedrec_platform_round_duration_seconds", "How long rounds took.", seconds, SECONDS)
    name_of, member = {t.node: t.name for t in status.tenants}, {t.number: t.name for t in status.tenants}
    drops = Counter((member.get(number, STRANGER),) for one in made for number in one.dropped)
    yield counts("fedrec_platform_drops_total", "Rounds that a tenant dropped out of.", drops, ("tenant",))
    told = [declined for one in made for declined in one.declined]
    refusals = Counter((name_of.get(one.node or 0, STRANGER), known(one.reason)) for one in told)
    help_ = "Answers that were refusals, or did not come."
    yield counts("fedrec_platform_refusals_total", help_, refusals, ("tenant", "reason"))
    sent = {("up",): sum(one.bytes_up for one in done), ("down",): sum(one.bytes_down for one in done)}
    help_ = "Payload of one tenant's messages in rounds that were done, by direction."
    yield counts("fedrec_platform_payload_bytes_total", help_, sent, ("direction",))
