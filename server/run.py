"""The server's course through one run: choose on validation, fit for good, score each arm on test once.

A run that was interrupted goes on in its folder, see `server/course.py`: what was chosen or scored stays so, sums are
asked for again, and the rounds of a training continue from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedrec.config import Arm, Config, ModelConfig
from fedrec.data import Catalogue
from fedrec.errors import ConfigError
from fedrec.files import write_text
from fedrec.messages import Phase
from fedrec.models import ClosedForm, ItemFeatures, Weights
from fedrec.server.arms import POPULARITY, Entrants, Models, in_order, measure_tuning, specs_of
from fedrec.server.choosing import Candidate, Chosen, best, candidates_of, winner
from fedrec.server.content import items_of
from fedrec.server.content_card import card_of_run
from fedrec.server.course import RESULTS as RESULTS
from fedrec.server.course import Course, read_course, run_of
from fedrec.server.drift import NewEvents, read_drift
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.server.freshness import check_fading, following, told_of
from fedrec.server.fusing import measure_mixes
from fedrec.server.neural import train_weights
from fedrec.server.predecessor import predecessor_of
from fedrec.server.private_run import Tuning, bounded, compared, first_personal, plan_privacy, scored_arms
from fedrec.server.released import RELEASED, Released
from fedrec.server.scoring import score_arm
from fedrec.server.store import save_model
from fedrec.server.validating import Choice, Options, choose_noised, fitted_of
from fedrec.server.warm_start import AT_RANDOM, warm_start_of


def run(exchange: Exchange, catalogue: Catalogue, out: Path, pooled: Path | None = None) -> None:
    """Run the configuration of `exchange`; models and `server.json` go to `out`.

    pooled: a run on all rows in one place, whose models are scored as arm `pooled` (only a simulation has one). A run
    that follows another one, which lies in the folder beside `out`, chooses nothing and scores no arm.
    Raises ConfigError if `out` holds a finished run, or one of another configuration.
    """
    if (out / RESULTS).exists():
        raise ConfigError(f"{out} holds a finished run; choose another folder for a new one.")
    before = predecessor_of(exchange.config, out, catalogue)
    exchange = exchange if before is None else following(exchange, before)
    options = _begin(exchange)
    items = items_of(exchange.config, catalogue)
    plan_privacy(exchange, items, options)
    if before is not None:
        NewEvents(exchange, before, catalogue, items).measure(out)
    exchange.released = released = Released(out / RELEASED)
    course, tried = _course(exchange, items, options, out)
    final = [choice.candidate for choice in course.chosen]
    federated = [candidate for candidate in final if candidate.is_federated]
    models = fitted_of(federated, tried) if tried else _models(exchange, federated, items, "final", out)
    card = card_of_run(exchange, items, [fitted for _, fitted in models.values()])
    counts = models[POPULARITY][1]["popularity"]
    entrants = Entrants(course.chosen, options, models, pooled, course.agreed)
    arms = () if before is not None else in_order(exchange.config.federation.arms)
    for arm in scored_arms(exchange.config, arms):
        if entrants.specs(arm) and not _is_scored(exchange, arm, course):
            course = course.with_arm(arm, entrants.scored(exchange, arm, counts))
            course.write(out)
    for label, (candidate, fitted) in models.items():
        save_model(out / "models" / label, candidate, fitted, catalogue, card)
    _write_results(out, course, exchange)
    released.forget()
    exchange.events.emit("run-end")


def choose_only(exchange: Exchange, catalogue: Catalogue, out: Path, tuning: Tuning | None = None) -> None:
    """The first half of a run: what each recommender reaches on validation goes to `course.json` in `out`.

    tuning: the search that this is one trial of, under [privacy]: the noise is planned for all of it, only what is
    tuned is scored, and sums that trials share are released once. No client is asked for its test, and none answers if
    it has read it: what is chosen so is not yet measured.
    """
    options, items = _begin(exchange), items_of(exchange.config, catalogue)
    plan_privacy(exchange, items, options, tuning)
    exchange.released = None if tuning is None else Released(tuning.shared, shared=True)
    _course(exchange, items, options, out, tuning)
    exchange.events.emit("run-end")


def _begin(exchange: Exchange) -> dict[str, tuple[Candidate, ...]]:
    """Note that the run begins; the candidates of each of its recommenders."""
    config, before = exchange.config, exchange.before
    after = {} if before is None else {"after": before.name}
    named = [model.name for model in config.models]
    exchange.events.emit("run-start", name=config.name, seed=config.seed, models=named, **after)
    options = options_of(config)
    check_fading(config, options)
    if before is None and config.freshness.after is not None:
        raise ConfigError("A run that follows another one chooses nothing; leave freshness.after out to choose.")
    return options if before is None else before.narrowed(options)


def options_of(config: Config) -> dict[str, tuple[Candidate, ...]]:
    """The candidates of each recommender of a run, popularity among them."""
    return {model.name: candidates_of(model) for model in bounded(config, _with_floor(config.models))}


def _course(
    exchange: Exchange, items: ItemFeatures, options: Options, out: Path, tuning: Tuning | None = None
) -> tuple[Course, Models]:
    """The run with its choice made, now or before it was interrupted; and under [privacy], where there was something to
    choose from, all candidates with the weights by which they were compared, which they keep."""
    before = exchange.before
    if before is not None:
        return _settled(exchange, out, lambda: (before.chosen(options), before.course.agreed)), {}
    if exchange.spending is None:
        return _settled(exchange, out, lambda: _choose(exchange, options, _tried(exchange, items, options, out))), {}
    scored = compared(options, tuning)
    tried = _tried(exchange, items, options, out) if scored else {}
    return _settled(exchange, out, lambda: choose_noised(exchange, options, tried, scored)), tried


def _settled(exchange: Exchange, out: Path, choose: Callable[[], Choice]) -> Course:
    """The course that is there, or else a new one with what `choose` chooses."""
    course = read_course(out, exchange.config)
    if course is None:
        chosen, agreed = choose()
        course = Course(run_of(exchange.config), exchange.round, tuple(chosen), agreed)
        course.write(out)
    else:
        exchange.skip(course.rounds - exchange.round)
    labels = [choice.candidate.label for choice in course.chosen]
    exchange.events.emit("chosen", round=exchange.round, models=labels, kept=list(course.results))
    return course


def _is_scored(exchange: Exchange, arm: Arm, course: Course) -> bool:
    """Whether the sum of an arm is there from before an interruption; its round is then counted, not made."""
    if arm in course.results:
        exchange.skip(1)
    return arm in course.results


def training_name(phase: Phase, label: str) -> str:
    """The folder of a candidate's training, which names it in events, too."""
    return f"{phase}-{label.replace(':', '-')}"


def _with_floor(models: Sequence[ModelConfig]) -> Sequence[ModelConfig]:
    """The configured recommenders, and popularity if it is not among them."""
    named = any(model.name == POPULARITY for model in models)
    return models if named else (ModelConfig(name=POPULARITY), *models)


def _fitted(
    exchange: Exchange, candidates: Sequence[Candidate], items: ItemFeatures, phase: Phase, out: Path
) -> dict[str, Weights]:
    """Label -> weights: sums for the closed forms, then rounds for each neural recommender."""
    closed = {c.label: c.algorithm for c in candidates if isinstance(c.algorithm, ClosedForm)}
    start = warm_start_of(exchange.config, candidates, items, exchange.before)
    weights = fit_federated(exchange, closed | dict(start.closed if start else {}), items, phase)
    counts = next(w["popularity"] for label, w in weights.items() if "popularity" in w)
    for candidate in candidates:
        if candidate.label not in closed:
            folder = out / "training" / training_name(phase, candidate.label)
            model = candidate.algorithm
            first = start.first_weights(model, weights) if start else AT_RANDOM
            weights[candidate.label] = train_weights(exchange, model, items, counts, phase, folder, first)
    return weights


def _models(
    exchange: Exchange, candidates: Sequence[Candidate], items: ItemFeatures, phase: Phase, out: Path
) -> Models:
    """Label -> candidate and weights."""
    weights = _fitted(exchange, candidates, items, phase, out)
    return {candidate.label: (candidate, weights[candidate.label]) for candidate in candidates}


def _tried(exchange: Exchange, items: ItemFeatures, options: Options, out: Path) -> Models:
    """All candidates of which anything is learnt together, fitted on training rows."""
    federated = [c for several in options.values() for c in several if c.is_federated]
    return _models(exchange, federated, items, "choose", out)


def _choose(exchange: Exchange, options: Options, models: Models) -> Choice:
    """The best candidate of each recommender on validation, and what mixes of them reach there. Tenant-local
    recommenders are chosen by each tenant. models: of all candidates."""
    counts = models[options[POPULARITY][0].label][1]["popularity"]
    scores = score_arm(exchange, "federated", specs_of(models), models, counts, "choose")
    metric = exchange.config.evaluation.headline
    headline = {label: float(summary["all"][metric]["mean"] or 0.0) for label, summary in scores.items()}
    exchange.events.emit("validation", round=exchange.round, metric=metric, scores=headline)
    chosen = [best(several, headline) for several in options.values()]
    measure_tuning(exchange, chosen, models, counts)
    return chosen, measure_mixes(exchange, chosen, options, models, counts)


def _card(choice: Chosen) -> dict[str, Any]:
    """A recommender in the results; where its choice had noise, how much, and whether that left the best one open."""
    noise = {"margin": choice.margin, "told_apart": choice.told_apart} if choice.margin else {}
    return {
        "name": choice.candidate.label,
        "model": choice.candidate.model,
        "scope": "federated" if choice.candidate.is_federated else "tenant",
        "parameters": choice.candidate.params,
        "candidates": [{"parameters": params, "validation": score} for params, score in choice.scores],
        **noise,
    }


def _write_results(out: Path, course: Course, exchange: Exchange) -> None:
    cards = [_card(choice) for choice in course.chosen]
    private = exchange.spending is not None  # then recommenders are not compared with each other
    best_one = None if private else winner(course.chosen)
    label = best_one.label if best_one is not None else first_personal(course.chosen, POPULARITY)
    content = {"models": cards, "chosen": label, "results": dict(course.results), **told_of(exchange)}
    found = read_drift(out)
    content |= {} if found is None else {"drift": found}
    write_text(out / RESULTS, json.dumps(content, indent=1))
