"""What a run says, in sentences: does joining help, how close to pooling, for whom, how protected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fedrec.formats import change, clean, metric, percent, plural, short
from fedrec.simulations.report import served, serving, standing
from fedrec.simulations.report.schema import Privacy, Report
from fedrec.simulations.report.standing import FEDERATED, LOCAL, POOLED, Standing


class Outcome(Enum):
    """What the comparison came to. The value is the heading that a reader sees."""

    NOTHING = "Nothing was measured"
    NOT_FEDERATED = "Nothing was federated"
    NOT_COMPARED = "Not compared with staying alone"
    POPULARITY = "Popularity wins"
    HELPS = "Joining helps"
    UNCLEAR = "Joining makes no clear difference"
    HURTS = "Joining does not help"


@dataclass(frozen=True)
class Verdict:
    """`sentence` answers the question; each of `details` adds one fact that changes how to read it."""

    outcome: Outcome
    sentence: str
    details: tuple[str, ...]


def verdict(report: Report) -> Verdict:
    """The verdict on the federation's recommender against the best that tenants do alone."""
    outcome = _outcome(report)
    quality = (_against_pooled(report), _against_floor(report, outcome))
    details = (*quality, _tenants(report), serving.sentence(report), served.sentence(report), _failures(report))
    return Verdict(outcome, _sentence(report, outcome), tuple(text for text in details if text is not None))


def protection(privacy: Privacy) -> str | None:
    """A warning where noise or masks were off; None where both were on."""
    if not privacy.noise_on and not privacy.masks_on:
        return (
            "No noise was added and no masks were on: the server could read each tenant's sums, and there is "
            "no differential-privacy guarantee. This run measures quality and cost, not privacy."
        )
    if not privacy.noise_on:
        return "Masks were on, but no noise was added: the sums carry no differential-privacy guarantee."
    if not privacy.masks_on:
        return "Noise was added, but no masks were on: the server could read each tenant's own noised sums."
    return None


def _outcome(report: Report) -> Outcome:
    federated, local = standing.pick(report, FEDERATED), standing.best(report, LOCAL)
    if federated is None:
        return Outcome.NOT_FEDERATED if standing.arms(report) else Outcome.NOTHING
    if _popularity_wins(report):
        return Outcome.POPULARITY
    if local is None:
        return Outcome.NOT_COMPARED
    if not standing.is_clear(federated.measure, local.measure):
        return Outcome.UNCLEAR
    return Outcome.HELPS if federated.measure.mean > local.measure.mean else Outcome.HURTS


def _popularity_wins(report: Report) -> bool:
    lists, personal = _lists_and_personal(report)
    if not lists or not personal:
        return bool(lists)
    return lists[0].measure.mean >= personal[0].measure.mean


def _lists_and_personal(report: Report) -> tuple[list[Standing], list[Standing]]:
    """Popularity lists and personal recommenders of all arms that tenants could really have, best first."""
    real = [arm for arm in standing.arms(report) if arm != POOLED]
    found = [one for arm in real for one in standing.standings(report, arm)]
    found.sort(key=lambda one: -one.measure.mean)
    lists = [one for one in found if one.arm == standing.FLOOR or standing.is_popularity(one.model)]
    return lists, [one for one in found if one not in lists]


def _sentence(report: Report, outcome: Outcome) -> str:
    federated, local = standing.pick(report, FEDERATED), standing.best(report, LOCAL)
    if federated is None:
        return _without_federation(report)
    if outcome is Outcome.POPULARITY:
        return _popularity(report)
    if local is None:
        return (
            f"{_named(federated)} reaches {report.headline} {metric(federated.measure.mean)} with all "
            "tenants together, but no tenant was tried alone, so whether joining helps is not known."
        )
    return f"{_answer(outcome)}: {_compared(report, federated, local)}{_doubt(outcome)}."


def _answer(outcome: Outcome) -> str:
    return {
        Outcome.HELPS: "On average, users get better recommendations when their tenant joins",
        Outcome.HURTS: "On average, users get worse recommendations when their tenant joins",
    }.get(outcome, "On average, joining changes little for a tenant's users")


def _compared(report: Report, federated: Standing, local: Standing) -> str:
    relative = standing.relative(federated.measure.mean, local.measure.mean)
    by = f" ({change(relative)})" if relative is not None else ""
    return (
        f"{report.headline} is {metric(federated.measure.mean)} with federated {_named(federated)} against "
        f"{metric(local.measure.mean)} with {_named(local)} at each tenant alone{by}"
    )


def _doubt(outcome: Outcome) -> str:
    return ", a difference within the uncertainty of this test" if outcome is Outcome.UNCLEAR else ""


def _without_federation(report: Report) -> str:
    found = [one for arm in standing.arms(report) for one in standing.standings(report, arm)]
    if not found:
        return f"This report holds no test result for {report.headline}."
    top = max(found, key=lambda one: one.measure.mean)
    return (
        f"No federated result is in this report; the best of the others is {_named(top)} ({top.arm}) with "
        f"{report.headline} {metric(top.measure.mean)}."
    )


def _popularity(report: Report) -> str:
    lists, personal = _lists_and_personal(report)
    text = f"A plain popularity list does best here, with {report.headline} {metric(lists[0].measure.mean)}"
    if not personal:
        return f"{text}; no personal recommender was tried."
    rival = personal[0]
    return (
        f"{text}; the best personal recommender, {_named(rival)} ({rival.arm}), reaches "
        f"{metric(rival.measure.mean)}, so personalising these data is not worth it yet."
    )


def _against_pooled(report: Report) -> str | None:
    federated, pooled = standing.pick(report, FEDERATED), standing.best(report, POOLED)
    share = standing.share_of_pooled(report)
    if federated is None:
        return None
    if pooled is None or share is None:
        return "Pooling all rows in one place was not tried, so what federating costs is not known."
    where = f"{_named(pooled)}, {metric(pooled.measure.mean)}"
    if round(share, 3) == 1:
        return f"That equals pooling all rows in one place ({where})."
    if share > 1:
        return f"Pooling all rows in one place does no better ({where})."
    return f"That is {percent(share)} of what pooling all rows in one place reaches ({where})."


def _against_floor(report: Report, outcome: Outcome) -> str | None:
    if outcome is Outcome.POPULARITY:
        return _shared_list(report)
    federated, plain = standing.pick(report, FEDERATED), standing.floor(report)
    if federated is None or plain is None:
        return None
    relative = standing.relative(federated.measure.mean, plain.measure.mean)
    if relative is None:
        return None
    return f"Against a plain popularity list ({metric(plain.measure.mean)}) it is {change(relative)}."


def _shared_list(report: Report) -> str | None:
    shared, own = (
        next((s for s in standing.standings(report, arm) if standing.is_popularity(s.model)), None)
        for arm in (FEDERATED, LOCAL)
    )
    if shared is None or own is None:
        return None
    relative = standing.relative(shared.measure.mean, own.measure.mean)
    scores = f"{metric(shared.measure.mean)} against {metric(own.measure.mean)}"
    return f"The list of all tenants together against each tenant's own list: {scores} ({change(relative)})."


def _tenants(report: Report) -> str | None:
    found = standing.tally(report)
    if not found.measured:
        return None
    parts = [f"{found.better} of {plural(found.measured, 'measured tenant')} better off"]
    parts += [f"{found.same} about the same"] if found.same else []
    parts += [f"{found.worse} worse off{_worst(report)}"] if found.worse else ["none worse off"]
    parts += [f"{found.unmeasured} without a comparison"] if found.unmeasured else []
    return "Tenant by tenant, against what each would use alone: " + ", ".join(parts) + "."


def _worst(report: Report) -> str:
    gains = [(gain, tenant.name) for tenant, gain in standing.tenants_by_gain(report) if gain is not None]
    gain, name = min(gains)
    return f" ({short(name, 40)} most, {change(gain)})"


def _failures(report: Report) -> str | None:
    failed = sum(len(exchange.failed) for exchange in report.rounds)
    if not failed:
        return None
    nodes = {node for exchange in report.rounds for node in exchange.failed}
    return f"Failed replies, which were left out of their sums: {failed}, from {plural(len(nodes), 'node')}."


def _named(one: Standing) -> str:
    return clean(one.title)
