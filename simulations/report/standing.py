"""Who is best, by how much, and for whom: the numbers on which every sentence and table of a report rests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedrec.simulations.report.schema import Measure, ModelCard, Report, Tenant

FLOOR, LOCAL, FEDERATED, POOLED = "floor", "local", "federated", "pooled"
EVERYONE, LISTS = "all", "lists"  # slices: all test users; and what their lists are like beyond being right
NEGLIGIBLE = 0.005  # a relative change below half a percent is called "about the same"


@dataclass(frozen=True)
class Standing:
    """One recommender's headline result under one arm."""

    arm: str
    model: str
    title: str
    measure: Measure


@dataclass(frozen=True)
class Tally:
    """How many tenants are better or worse off with the federation. `unmeasured` have no comparison."""

    better: int
    same: int
    worse: int
    unmeasured: int

    @property
    def measured(self) -> int:
        """Tenants for which joining can be compared with staying alone."""
        return self.better + self.same + self.worse


def title(report: Report, model: str) -> str:
    """The model's readable name."""
    return next((card.title for card in report.models if card.name == model), model)


def measure(report: Report, arm: str, model: str, metric: str, part: str = EVERYONE) -> Measure | None:
    """One measured number, or None where it is missing or not a number."""
    for result in report.results:
        if result.arm == arm and result.model == model:
            found = result.slices.get(part, {}).get(metric)
            return found if found is not None and math.isfinite(found.mean) else None
    return None


def standings(report: Report, arm: str) -> list[Standing]:
    """All recommenders of one arm, best headline result first; ties in the order of the report."""
    models = dict.fromkeys(result.model for result in report.results if result.arm == arm)
    found = [(model, measure(report, arm, model, report.headline)) for model in models]
    measured = [Standing(arm, model, title(report, model), m) for model, m in found if m is not None]
    return sorted(measured, key=lambda standing: -standing.measure.mean)


def best(report: Report, arm: str) -> Standing | None:
    """The best recommender of the arm by the headline metric."""
    return next(iter(standings(report, arm)), None)


def pick(report: Report, arm: str) -> Standing | None:
    """The recommender that stands for the arm: the federation's choice on validation, else the best on test.

    Taking the best on test for the arms that the federation is compared with favours those arms.
    """
    if arm == FEDERATED:
        chosen = next((one for one in standings(report, arm) if one.model == report.chosen), None)
        return chosen or best(report, arm)
    return best(report, arm)


def is_popularity(model: str) -> bool:
    """Whether the model shows everyone the same popular items."""
    return "popular" in model.lower()


def floor(report: Report) -> Standing | None:
    """What a plain popularity list reaches: the floor arm, or else popularity itself, federated or local."""
    if best(report, FLOOR) is not None:
        return best(report, FLOOR)
    plain = [s for arm in (FEDERATED, LOCAL) for s in standings(report, arm) if is_popularity(s.model)]
    return next(iter(plain), None)


def arms(report: Report) -> list[str]:
    """The arms that have results, in the order of the report."""
    present = dict.fromkeys([*report.arms, *(result.arm for result in report.results)])
    return [arm for arm in present if standings(report, arm)]


def ranked_models(report: Report) -> list[ModelCard]:
    """The models with any headline result, best federated first, then those that were not federated."""
    by_arm = {arm: {s.model: s.measure.mean for s in standings(report, arm)} for arm in arms(report)}
    known = {card.name: card for card in report.models}
    names = dict.fromkeys(name for scores in by_arm.values() for name in scores)

    def order(name: str) -> tuple[bool, float]:
        federated = by_arm.get(FEDERATED, {})
        others = [scores[name] for scores in by_arm.values() if name in scores]
        return (name not in federated, -federated.get(name, max(others)))

    return [known.get(name) or _uncarded(name) for name in sorted(names, key=order)]


def _uncarded(name: str) -> ModelCard:
    return ModelCard(name=name, title=name, scope="federated", parameters={})


def relative(new: float, old: float) -> float | None:
    """new/old - 1, or None where the old value is not positive."""
    return new / old - 1 if old > 0 else None


def is_clear(new: Measure, old: Measure) -> bool:
    """Whether the difference is larger than its uncertainty.

    The half-widths are added in squares, as for independent samples. Both arms are tested on the same users,
    so this overstates the uncertainty. Without intervals, a change below half a percent is not clear.
    """
    change = relative(new.mean, old.mean)
    if change is not None and abs(change) < NEGLIGIBLE:
        return False
    if new.low is None or new.high is None or old.low is None or old.high is None:
        return new.mean != old.mean
    return abs(new.mean - old.mean) > math.hypot(new.high - new.low, old.high - old.low) / 2


def share_of_pooled(report: Report) -> float | None:
    """The federation's choice over the best pooled result; None where either is missing."""
    federated, pooled = pick(report, FEDERATED), best(report, POOLED)
    if federated is None or pooled is None or pooled.measure.mean <= 0:
        return None
    return federated.measure.mean / pooled.measure.mean


def tenant_score(report: Report, tenant: Tenant, arm: str, model: str | None) -> float | None:
    """The headline metric on the tenant's own test users."""
    for result in tenant.results:
        if result.arm == arm and result.model == model:
            value = result.metrics.get(report.headline)
            return value if value is not None and math.isfinite(value) else None
    return None


def tenant_gain(report: Report, tenant: Tenant) -> float | None:
    """The tenant's relative gain; infinite where alone it scores nothing and together something."""
    if tenant.gain is not None:
        return tenant.gain if math.isfinite(tenant.gain) else None
    return _against_alone(report, tenant, tenant_score(report, tenant, FEDERATED, tenant.best_federated))


def personal_score(report: Report, tenant: Tenant) -> float | None:
    """The headline metric of what serves the tenant by its own choice."""
    return None if tenant.served_by is None else tenant_score(report, tenant, tenant.served_by, tenant.best_personal)


def personal_gain(report: Report, tenant: Tenant) -> float | None:
    """As `tenant_gain`, with what serves the tenant by its own choice."""
    return _against_alone(report, tenant, personal_score(report, tenant))


def _against_alone(report: Report, tenant: Tenant, score: float | None) -> float | None:
    alone = tenant_score(report, tenant, LOCAL, tenant.best_local)
    if alone is None or score is None:
        return None
    return relative(score, alone) if alone > 0 else (math.inf if score > 0 else 0.0)


def tenants_by_gain(report: Report) -> list[tuple[Tenant, float | None]]:
    """Tenants with their gains, the largest first and the unmeasured last; ties by name."""
    gains = [(tenant, tenant_gain(report, tenant)) for tenant in report.tenants]
    return sorted(gains, key=lambda pair: (pair[1] is None, -(pair[1] or 0.0), pair[0].name))


def tally(report: Report) -> Tally:
    """Counts of tenants that are better off, about the same, worse off, or not comparable."""
    gains = [gain for _, gain in tenants_by_gain(report)]
    measured = [gain for gain in gains if gain is not None]
    better = sum(gain >= NEGLIGIBLE for gain in measured)
    worse = sum(gain <= -NEGLIGIBLE for gain in measured)
    return Tally(better, len(measured) - better - worse, worse, len(gains) - len(measured))


def seconds(report: Report) -> float:
    """Wall-clock time of the run: the entry "total", or else the sum of all phases."""
    return report.seconds.get("total", sum(report.seconds.values()))


def bytes_up(report: Report) -> int:
    """Bytes that one client sent in all rounds, on average."""
    return sum(exchange.bytes_up for exchange in report.rounds)


def bytes_down(report: Report) -> int:
    """Bytes that one client received in all rounds, on average."""
    return sum(exchange.bytes_down for exchange in report.rounds)
