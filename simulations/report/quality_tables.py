"""The tables on recommendation quality: who is good, for which users, and at what else than accuracy."""

from __future__ import annotations

import math

from fedrec.formats import MISSING, change, clean, count, metric, percent, short
from fedrec.simulations.report import served, standing
from fedrec.simulations.report.schema import Measure, ModelCard, Report, Result, Tenant
from fedrec.simulations.report.standing import FEDERATED, FLOOR, LOCAL, Standing
from fedrec.simulations.report.table import Cell, Column, Table

MOST_TENANTS = 200
BEYOND = {
    "coverage": "share of items shown",
    "gini": "0 even, 1 uneven",
    "novelty": "bits, higher is rarer",
    "diversity": "within one list",
}
ARM_NOTES = {
    "floor": "what is popular",
    "local": "each tenant alone",
    "federated": "together, rows stay",
    "tuned": "federated, fitted at home",
    "fused": "several at once",
    "personal": "what each tenant chose",
    "pooled": "all rows in one place",
}
SLICE_NAMES = {
    "activity:0": "Cold users, with no earlier event",
    "target:head": "Popular items, the top fifth of events",
    "target:mid": "Items between popular and rare",
    "target:tail": "Rare items, the last fifth of events",
    "target:cold": "Cold items, never seen in training",
}
_EMPTY = Cell(MISSING)


def arms_by_models(report: Report) -> Table:
    """The headline metric of each model under each arm, with intervals; the best of each arm is marked."""
    arms = _reading_order(standing.arms(report))
    tops = {arm: standing.best(report, arm) for arm in arms if len(standing.standings(report, arm)) > 1}
    notes = {arm: ARM_NOTES.get(arm, "") for arm in arms}
    rows = []
    for card in standing.ranked_models(report):
        scores = {arm: standing.measure(report, arm, card.name, report.headline) for arm in arms}
        best = {arm for arm in arms if _is(tops.get(arm), card.name)}
        rows.append((_model(card, report.chosen), *_scores(scores, best)))
    columns = (Column("Recommender", number=False), *_score_columns(notes))
    return Table(f"{report.headline} on all test users", columns, tuple(rows))


def slices(report: Report) -> Table:
    """The model that stands for each arm on each slice of the users and items."""
    arms = _reading_order(standing.arms(report))
    tops = [best for arm in arms if (best := standing.pick(report, arm)) is not None]
    rows = []
    for part in _parts(report, tops):
        scores = {top.arm: _on_slice(report, top, part) for top in tops}
        if any(scores.values()):
            users = max(score.users for score in scores.values() if score is not None)
            rows.append((Cell(_part_name(part)), Cell(count(users)), *_scores(scores, set())))
    titles = {top.arm: clean(top.title) for top in tops}
    columns = (Column("Slice", number=False), Column("users"), *_score_columns(titles))
    return Table(f"{report.headline} by slice", columns, tuple(rows))


def _reading_order(arms: list[str]) -> list[str]:
    """The comparison that matters first, and its gain beside it; the floor last."""
    first = [arm for arm in (LOCAL, FEDERATED) if arm in arms]
    last = [arm for arm in arms if arm == FLOOR]
    return [*first, *(arm for arm in arms if arm not in (*first, *last)), *last]


def _score_columns(notes: dict[str, str]) -> list[Column]:
    columns = [Column(clean(arm), note) for arm, note in notes.items()]
    if {LOCAL, FEDERATED} <= notes.keys():
        columns.insert(2, Column("gain", "by federating"))
    return columns


def _scores(scores: dict[str, Measure | None], best: set[str]) -> list[Cell]:
    cells = [_measured(score, arm in best) for arm, score in scores.items()]
    if {LOCAL, FEDERATED} <= scores.keys():
        cells.insert(2, _gain(scores[FEDERATED], scores[LOCAL]))
    return cells


def beyond_accuracy(report: Report) -> Table:
    """Coverage, Gini, novelty and diversity of each model, federated where it was."""
    shown = [(card, arm) for card in standing.ranked_models(report) if (arm := _shown_arm(report, card.name))]
    present = {name for result in report.results for name in _on_everyone(result)}
    names = [name for kind in BEYOND for name in sorted(present) if _kind(name) == kind]
    columns = (Column("Recommender", number=False), *(Column(name, BEYOND[_kind(name)]) for name in names))
    rows = tuple(
        (
            Cell(clean(card.title), "" if arm == FEDERATED else arm),
            *(_plain(_about_lists(report, arm, card.name, name)) for name in names),
        )
        for card, arm in shown
    )
    return Table("Beyond accuracy, on all test users", columns, rows if names else ())


def all_metrics(report: Report) -> Table:
    """Every metric of every model and arm on all test users."""
    rows = [(result.arm, result.model, _on_everyone(result)) for result in report.results]
    names = list(dict.fromkeys(name for _, _, metrics in rows for name in metrics))
    words = (Column("Recommender", number=False), Column("arm", number=False))
    cells = tuple(
        (Cell(clean(standing.title(report, model))), Cell(arm), *(_plain(metrics.get(n)) for n in names))
        for arm, model, metrics in rows
    )
    return Table("All metrics on all test users", (*words, *(Column(name) for name in names)), cells)


def tenants(report: Report) -> Table:
    """What each tenant would use alone, what it gets together and what it chose, the largest gain first."""
    columns = (
        Column("Tenant", number=False),
        Column("gain"),
        Column("alone", report.headline),
        Column("together", report.headline),
        *((Column("personal", report.headline), Column("change", "personal, against alone")) if _chose(report) else ()),
        Column("users"),
        Column("test users"),
    )
    ranked = standing.tenants_by_gain(report)
    hidden = len(ranked) - MOST_TENANTS
    return Table(
        "Does joining help me? Each tenant's own view",
        columns,
        tuple(_tenant(report, tenant, gain) for tenant, gain in ranked[:MOST_TENANTS]),
        left_out=f"{count(hidden)} more tenants are in report.json." if hidden > 0 else "",
    )


def _tenant(report: Report, tenant: Tenant, gain: float | None) -> tuple[Cell, ...]:
    unmeasured = "no test users" if tenant.test_users == 0 else "not measured"
    return (
        Cell(clean(tenant.name)),
        Cell(MISSING, unmeasured) if gain is None else Cell(gain_words(gain), tone=_tone(gain)),
        _own(report, tenant, LOCAL, tenant.best_local),
        _own(report, tenant, FEDERATED, tenant.best_federated),
        *(_personal(report, tenant) if _chose(report) else ()),
        Cell(count(tenant.users)),
        Cell(count(tenant.test_users)),
    )


def _chose(report: Report) -> bool:
    return any(tenant.served_by is not None for tenant in report.tenants)


def _personal(report: Report, tenant: Tenant) -> tuple[Cell, Cell]:
    """What serves the tenant, and what it does for it."""
    if tenant.served_by is None or tenant.best_personal is None:
        return _EMPTY, _EMPTY
    gain = standing.personal_gain(report, tenant)
    by = f"{short(standing.title(report, tenant.best_personal), 24)}, {tenant.served_by}"
    score = Cell(metric(standing.personal_score(report, tenant)), by)
    return score, _EMPTY if gain is None else Cell(gain_words(gain), tone=_tone(gain))


def gain_words(gain: float | None) -> str:
    """A tenant's gain as it is written; "from zero" where it scores nothing alone."""
    return "from zero" if gain == math.inf else change(gain)


def _own(report: Report, tenant: Tenant, arm: str, model: str | None) -> Cell:
    if model is None:
        return _EMPTY
    score = standing.tenant_score(report, tenant, arm, model)
    return Cell(metric(score), short(standing.title(report, model), 24))


def _model(card: ModelCard, chosen: str | None) -> Cell:
    if card.scope == "tenant":
        return Cell(clean(card.title), "stays at the tenant")
    return Cell(clean(card.title), "chosen on validation" if card.name == chosen else "")


def _is(top: Standing | None, model: str) -> bool:
    return top is not None and top.model == model


def _measured(found: Measure | None, best: bool) -> Cell:
    if found is None or not math.isfinite(found.mean):
        return _EMPTY
    spread = (
        ""
        if found.low is None or found.high is None
        else f"{metric(found.low)}\N{NO-BREAK SPACE}– {metric(found.high)}"
    )
    return Cell(metric(found.mean), spread, best)


def _plain(found: Measure | None) -> Cell:
    return _EMPTY if found is None else Cell(metric(found.mean))


def _gain(new: Measure | None, old: Measure | None) -> Cell:
    relative = None if new is None or old is None else standing.relative(new.mean, old.mean)
    return _EMPTY if relative is None else Cell(change(relative), tone=_tone(relative))


def _tone(gain: float) -> str:
    return "gain" if gain >= standing.NEGLIGIBLE else "loss" if gain <= -standing.NEGLIGIBLE else ""


def _on_slice(report: Report, top: Standing, part: str) -> Measure | None:
    return standing.measure(report, top.arm, top.model, report.headline, part)


def _parts(report: Report, tops: list[Standing]) -> list[str]:
    chosen = {(top.arm, top.model) for top in tops}
    found = [result.slices for result in report.results if (result.arm, result.model) in chosen]
    names = dict.fromkeys(name for parts in found for name in parts)
    return [name for name in names if name not in (standing.EVERYONE, standing.LISTS, served.SERVED)]


def _part_name(part: str) -> str:
    if part in SLICE_NAMES:
        return SLICE_NAMES[part]
    kind, _, rest = part.partition(":")
    if kind == "activity" and rest:
        return f"Users with {clean(rest).replace('-', '–')} earlier events"
    return clean(part)


def _on_everyone(result: Result) -> dict[str, Measure]:
    return {**result.slices.get(standing.EVERYONE, {}), **result.slices.get(standing.LISTS, {})}


def _about_lists(report: Report, arm: str, model: str, name: str) -> Measure | None:
    in_lists = standing.measure(report, arm, model, name, standing.LISTS)
    return in_lists or standing.measure(report, arm, model, name)


def _kind(name: str) -> str:
    return name.lower().split("@")[0]


def _shown_arm(report: Report, model: str) -> str:
    found = [arm for arm in standing.arms(report) if standing.measure(report, arm, model, report.headline)]
    return FEDERATED if FEDERATED in found else next(iter(found), "")


def settings(report: Report) -> Table:
    """The hyper-parameters that each model was used with."""
    columns = (Column("Recommender", number=False), Column("settings", number=False), Column("candidates"))
    rows = [
        (_model(card, report.chosen), Cell(_parameters(card)), Cell(count(len(card.candidates))))
        for card in report.models
    ]
    return Table("Settings used", columns, tuple(rows))


def _parameters(card: ModelCard) -> str:
    return ", ".join(f"{clean(name)} {_setting(value)}" for name, value in card.parameters.items()) or "none"


def candidates(card: ModelCard) -> Table:
    """What was tried on validation users, in the order of the report."""
    names = list(dict.fromkeys(name for candidate in card.candidates for name in candidate))
    noise = (
        "" if card.margin is None else f", with noise: of those within {card.margin:.2g} of the best the first is taken"
    )
    return Table(
        f"{clean(card.title)}: candidates and their scores on validation users{noise}",
        tuple(Column(name) for name in names),
        tuple(tuple(_candidate(candidate.get(name)) for name in names) for candidate in card.candidates),
    )


def _candidate(value: float | int | str | bool | None) -> Cell:
    return Cell(_setting(value))


def _setting(value: float | int | str | bool | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.5g}".replace("-", "−")
    return clean(str(value))


def share_of_pooled(report: Report) -> str:
    """How much of the pooled quality the federation reaches, for a tile."""
    share = standing.share_of_pooled(report)
    return "" if share is None else f"{percent(share)} of pooled"
