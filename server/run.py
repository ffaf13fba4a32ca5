"""The server's course through one run: choose on validation, fit for good, score each arm on test once.

A run that was interrupted goes on in its folder, see `server/course.py`: what was chosen or scored stays so, sums are
asked for again, and the rounds of a training continue from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedrec.config import Arm, ModelConfig
from fedrec.data import Catalogue
from fedrec.errors import ConfigError
from fedrec.files import write_text
from fedrec.messages import Phase
from fedrec.models import ClosedForm, ItemFeatures, Weights
from fedrec.server.arms import POPULARITY, Entrants, in_order, measure_tuning, specs_of
from fedrec.server.choosing import Candidate, Chosen, best, candidates_of, winner
from fedrec.server.content import items_of
from fedrec.server.content_card import card_of_run
from fedrec.server.course import Course, read_course, run_of
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.server.fusing import measure_mixes
from fedrec.server.neural import train_weights
from fedrec.server.private_run import bounded, first_personal, plan_privacy, scored_arms, settled
from fedrec.server.released import RELEASED, Released
from fedrec.server.scoring import score_arm
from fedrec.server.store import save_model
from fedrec.server.warm_start import AT_RANDOM, warm_start_of

RESULTS = "server.json"


def run(exchange: Exchange, catalogue: Catalogue, out: Path, pooled: Path | None = None) -> None:
    """Run the configuration of `exchange`; models and `server.json` go to `out`.

    pooled: a run on all rows in one place, whose models are scored as arm `pooled` (only a simulation has one).
    Raises ConfigError if `out` holds a finished run, or one of another configuration.
    """
    if (out / RESULTS).exists():
        raise ConfigError(f"{out} holds a finished run; choose another folder for a new one.")
    options = _begin(exchange)
    items = items_of(exchange.config, catalogue)
    plan_privacy(exchange, items, options)
    exchange.released = released = Released(out / RELEASED)
    course = _course(exchange, items, options, out)
    final = [choice.candidate for choice in course.chosen]
    federated = [candidate for candidate in final if candidate.is_federated]
    weights = _fitted(exchange, federated, items, "final", out)
    models = {c.label: (c, weights[c.label]) for c in federated}
    card = card_of_run(exchange, items, [fitted for _, fitted in models.values()])
    counts = weights[POPULARITY]["popularity"]
    entrants = Entrants(course.chosen, options, models, pooled, course.agreed)
    for arm in scored_arms(exchange.config, in_order(exchange.config.federation.arms)):
        if entrants.specs(arm) and not _is_scored(exchange, arm, course):
            course = course.with_arm(arm, entrants.scored(exchange, arm, counts))
            course.write(out)
    for label, (candidate, fitted) in models.items():
        save_model(out / "models" / label, candidate, fitted, catalogue, card)
    _write_results(out, course)
    released.forget()
    exchange.events.emit("run-end")


def choose_only(exchange: Exchange, catalogue: Catalogue, out: Path) -> None:
    """The first half of a run: what each recommender reaches on validation goes to `course.json` in `out`.

    No client is asked for its test, and none answers if it has read it: what is chosen so is not yet measured. Raises
    ConfigError under [privacy], where a choice on validation would be a release without noise.
    """
    if exchange.config.privacy is not None:
        raise ConfigError("Nothing is chosen on validation in a run with [privacy]; leave that out to choose.")
    options = _begin(exchange)
    _course(exchange, items_of(exchange.config, catalogue), options, out)
    exchange.events.emit("run-end")


def _begin(exchange: Exchange) -> dict[str, tuple[Candidate, ...]]:
    """Note that the run begins; the candidates of each of its recommenders."""
    config = exchange.config
    exchange.events.emit("run-start", name=config.name, seed=config.seed, models=[m.name for m in config.models])
    return {model.name: candidates_of(model) for model in bounded(config, _with_floor(config.models))}


def _course(exchange: Exchange, items: ItemFeatures, options: Mapping[str, tuple[Candidate, ...]], out: Path) -> Course:
    """The run with its choice made, now or before it was interrupted."""
    course = read_course(out, exchange.config)
    if course is None:
        private = exchange.spending is not None
        chosen, agreed = (settled(options), ()) if private else _choose(exchange, items, options, out)
        course = Course(run_of(exchange.config), exchange.round, tuple(chosen), agreed)
        course.write(out)
    else:
        exchange.skip(course.rounds)
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
    start = warm_start_of(exchange.config, candidates, items)
    weights = fit_federated(exchange, closed | ({start.label: start.algorithm} if start else {}), items, phase)
    counts = next(w["popularity"] for label, w in weights.items() if "popularity" in w)
    for candidate in candidates:
        if candidate.label not in closed:
            folder = out / "training" / training_name(phase, candidate.label)
            model = candidate.algorithm
            first = start.first_weights(model, weights) if start else AT_RANDOM
            weights[candidate.label] = train_weights(exchange, model, items, counts, phase, folder, first)
    return weights


def _choose(
    exchange: Exchange, items: ItemFeatures, options: Mapping[str, tuple[Candidate, ...]], out: Path
) -> tuple[list[Chosen], tuple[float, ...]]:
    """The best candidate of each recommender on validation, and what mixes of them reach there. Tenant-local
    recommenders are chosen by each tenant."""
    federated = [c for several in options.values() for c in several if c.is_federated]
    weights = _fitted(exchange, federated, items, "choose", out)
    models = {c.label: (c, weights[c.label]) for c in federated}
    counts = weights[options[POPULARITY][0].label]["popularity"]
    scores = score_arm(exchange, "federated", specs_of(models), models, counts, "choose")
    metric = exchange.config.evaluation.headline
    headline = {label: float(summary["all"][metric]["mean"] or 0.0) for label, summary in scores.items()}
    exchange.events.emit("validation", round=exchange.round, metric=metric, scores=headline)
    chosen = [best(several, headline) for several in options.values()]
    measure_tuning(exchange, chosen, models, counts)
    return chosen, measure_mixes(exchange, chosen, options, models, counts)


def _write_results(out: Path, course: Course) -> None:
    cards = [
        {
            "name": choice.candidate.label,
            "model": choice.candidate.model,
            "scope": "federated" if choice.candidate.is_federated else "tenant",
            "parameters": choice.candidate.params,
            "candidates": [{"parameters": params, "validation": score} for params, score in choice.scores],
        }
        for choice in course.chosen
    ]
    best_one = winner(course.chosen)
    label = best_one.label if best_one is not None else first_personal(course.chosen, POPULARITY)
    content = {"models": cards, "chosen": label, "results": dict(course.results)}
    write_text(out / RESULTS, json.dumps(content, indent=1))
