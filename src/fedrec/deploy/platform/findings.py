"""What an operator should know first, in words: what is wrong, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fedrec.deploy.platform.rounds import NO_ANSWER
from fedrec.deploy.platform.status import ENDED, FINISHED, INTERRUPTED, NO_RUN, ONLINE, UNKNOWN, WAITING, Status
from fedrec.formats import plural

SOON_DAYS = 30
CURES = {
    "budget-spent": "the run would cost its users more than they have left. Only its owner can give more; runs go on "
    "without it where federation.min_tenants allows it",
    "test-already-read": "it was scored before; its owner says `fedrec tenant open`, or takes in new rows, before the "
    "next run, and the tenant may stay up",
    "forged-roster": "it knows another roster; give everyone the same invitation, to join again with",
    "wrong-version": "it has another version of fedrec; install the same everywhere",
    "noise-required": "it has a privacy budget; give the run [privacy]",
    "no-privacy-policy": "it has no privacy budget; its owner makes a tenant with --epsilon, or leave out [privacy]",
}


@dataclass(frozen=True)
class Finding:
    """One sentence. tone: whether something has to be done, or may have to, or nothing."""

    tone: Literal["bad", "warn", "good"]
    text: str


def findings(status: Status) -> list[Finding]:
    """What there is to say, the worst first."""
    order = ("bad", "warn", "good")
    found = [*_platform(status), *_tenants(status), *_run(status), *_refusals(status)]
    return sorted(found, key=lambda finding: order.index(finding.tone))


def days_left(status: Status) -> int:
    """Whole days until the server's certificate ends; negative afterwards."""
    return (datetime.fromisoformat(status.certificate_until) - datetime.fromisoformat(status.at)).days


def reasons(status: Status) -> list[tuple[str, str, int, str]]:
    """Who declined, why, how often in this run, and what was said last; the most frequent first."""
    told = [one for round_ in status.rounds for one in round_.declined]
    counted = Counter((status.name_of(one.node), one.reason) for one in told)
    last = {(status.name_of(one.node), one.reason): one.detail for one in told}
    return [(*who, times, last[who]) for who, times in counted.most_common()]


def _platform(status: Status) -> Iterator[Finding]:
    left = days_left(status)
    if not status.up:
        yield Finding("bad", "The platform is down: no tenant can reach it. Start it with `fedrec platform up`.")
    if left < 0:
        yield Finding("bad", "The server's certificate has ended: no tenant connects. See `fedrec platform renew`.")
    elif left < SOON_DAYS:
        yield Finding("warn", f"The server's certificate ends in {plural(left, 'day')}. See `fedrec platform renew`.")


def _tenants(status: Status) -> Iterator[Finding]:
    if not status.tenants:
        yield Finding("warn", "There is no tenant yet. Let them in with `fedrec platform add-tenant`.")
    if not status.up:
        return
    silent = [one.name for one in status.tenants if one.status == UNKNOWN]
    away = [one.name for one in status.tenants if one.status not in (ONLINE, UNKNOWN)]
    if silent:
        yield Finding("warn", f"The SuperLink says nothing of {', '.join(silent)}; its log is in logs/superlink.log.")
    if away:
        yield Finding("warn", f"Not online: {', '.join(away)}. Their owners start them with `fedrec tenant up`.")


def _run(status: Status) -> Iterator[Finding]:
    name, word = status.run, status.run_status
    lost = sum(one.outcome == "discarded" for one in status.rounds)
    why = f" It said: {status.why}" if status.why else ""
    resume = f"`fedrec platform run --resume {name}` takes it up where it was"
    if word == NO_RUN:
        yield Finding("good", "There was no run yet. Start one with `fedrec platform run`.")
    elif word == FINISHED:
        yield Finding("good", f"Run {name} is finished; its models are in runs/{name}/models.")
    elif word == INTERRUPTED:
        yield Finding("bad", f"Run {name} was interrupted; {resume}.{why}")
    elif word == WAITING:
        yield Finding("warn", f"Run {name} waits for its tenants, or was given up before it began; then {resume}.")
    elif word.startswith(ENDED):
        yield Finding("bad", f"Run {name} ended as {word.removeprefix(ENDED)}; {resume}.{why}")
    elif word == UNKNOWN:
        yield Finding("warn", f"The SuperLink says nothing of run {name}; its log is in logs/superlink.log.")
    else:
        yield Finding("good", f"Run {name} is {word}.")
    for alarm in status.alarms:
        yield Finding("warn", alarm)
    if lost:
        yield Finding("warn", f"Discarded in run {name}, so that nothing of it was used: {plural(lost, 'round')}.")


def _refusals(status: Status) -> Iterator[Finding]:
    for who, reason, times, _ in reasons(status):
        if reason == NO_ANSWER:
            yield Finding("warn", f"{who} gave no answer {plural(times, 'time')}.")
            continue
        cure = f": {CURES[reason]}" if reason in CURES else ""
        yield Finding("bad" if cure else "warn", f"{who} declined {plural(times, 'time')} ({reason}){cure}.")
