"""How far the data went from what the run before saw: measured before a run that follows it learns from the new events.

    <out>/drift.json   the finding, which `server.json` repeats

Two questions, each one bounded sum under the same masks as everything else. Do users choose other things: the shares of
groups of items before the moment of the run before and after it, see `PeriodShares`. Has its model become worse: it is
scored on the events that are newer than it (test, then train: Gama et al., 2013), against what was measured alike.

Under [privacy] neither is asked for: no part of the budget is set aside for it, and metric sums carry no noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedrec.contribution import Layout
from fedrec.data import Catalogue
from fedrec.errors import RoundFailed
from fedrec.files import write_text
from fedrec.messages import EncoderSpec, ranking_protocol
from fedrec.metrics import MetricSums
from fedrec.metrics.drifting import CONFIDENCE, LEAST_USERS, Figure, by_chance, divergence, groups_of, surely_less
from fedrec.models import ItemFeatures
from fedrec.models.statistics import PeriodShares
from fedrec.server.arms import POPULARITY, Models, specs_of
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import sum_over_federation
from fedrec.server.freshness import moment_of
from fedrec.server.predecessor import Predecessor
from fedrec.server.scoring import encoder_of_models, shared_weights
from fedrec.strategies.fresh import FRESH, FreshBody

DRIFT = "drift.json"


@dataclass(frozen=True)
class Drift:
    """What was found. alarms: in words, for people. popularity: divergence in bits, threshold, users then and now.
    quality: label -> `metric` of the model that served, and of popularity, on new events; then: of the model before it,
    where that was measured alike. why_not: why nothing, or not all, was measured."""

    alarms: tuple[str, ...] = ()
    popularity: Mapping[str, float] | None = None
    metric: str | None = None
    quality: Mapping[str, Figure] | None = None
    then: Figure | None = None
    why_not: str | None = None


@dataclass(frozen=True, eq=False)
class NewEvents:
    """What is asked about: the events that are newer than `since`, the moment of the run before."""

    exchange: Exchange
    before: Predecessor
    catalogue: Catalogue
    items: ItemFeatures

    def measure(self, out: Path) -> None:
        """Measure, tell, and write `DRIFT`, once in a run; nothing if the configuration asks for nothing."""
        if not self.exchange.config.freshness.drift or (out / DRIFT).exists():
            return
        found = asdict(self._found())
        self.exchange.events.emit("drift", round=self.exchange.round, after=self.before.name, **found)
        write_text(out / DRIFT, json.dumps(found, indent=1))

    def _found(self) -> Drift:
        if self.exchange.config.privacy is not None:
            return Drift(why_not="[privacy] is on, and drift is measured without noise")
        since, serving = self.before.as_of, self.before.serving
        if since is None:
            return Drift(why_not=f"the run '{self.before.name}' does not say up to which moment it took events")
        popularity = self._popularity(since)
        if (users := popularity["users_now"]) < LEAST_USERS:
            return Drift((), popularity, why_not=f"{users:g} users did something new, of {LEAST_USERS} needed")
        changed = _changed(popularity)
        if self.before.models[serving][0].algorithm.private:
            return Drift(changed, popularity, why_not=f"'{serving}' has private weights, which stay with its tenants")
        try:
            metric, quality = self._quality(since)
        except RoundFailed as error:  # such as a tenant that was asked before: it tells of its new events once
            return Drift(changed, popularity, why_not=f"new events were not scored: {error}")
        then = _figure_then(self.before, metric)
        return Drift((*changed, *self._worse(metric, quality, then)), popularity, metric, quality, then)

    def _popularity(self, since: int) -> dict[str, float]:
        """The divergence of what users choose now from what they chose then, and the one from which on it is told."""
        config = self.exchange.config
        groups = groups_of(self.catalogue, self.before.models[POPULARITY][1]["popularity"])
        asked = PeriodShares(groups, int(groups.max()) + 1, since, moment_of(config))
        values = sum_over_federation(self.exchange, self.items, "final")(asked).values
        users = (round(float(values["users"][0])), round(float(values["users"][1])))
        found = {"divergence": 0.0, "threshold": 1.0, "users_then": users[0], "users_now": users[1]}
        if min(users) < LEAST_USERS:
            return found
        by_luck = by_chance(values["then"] + values["now"], users, config.freshness.false_alarms, config.seed)
        between = float(divergence(values["then"] / users[0], values["now"] / users[1]))
        return found | {"divergence": between, "threshold": max(config.freshness.divergence, by_luck)}

    def _quality(self, since: int) -> tuple[str, dict[str, Figure]]:
        """The metric that has intervals, of the model that served and of popularity on all that users discovered."""
        models = {label: self.before.models[label] for label in dict.fromkeys((self.before.serving, POPULARITY))}
        counts = np.asarray(self.before.models[POPULARITY][1]["popularity"], np.float64)
        body, layout = self._question(models, since), Layout(())
        protocol = ranking_protocol(body.holdout)
        for label in models:
            layout = layout.join(MetricSums.layout(protocol, len(counts)).prefixed(label))
        arrays = {"counts": counts} | shared_weights("federated", models)
        total = self.exchange.ask(FRESH, body, arrays, layout, "score new events")
        headline = self.exchange.config.evaluation.headline
        metric = headline if headline in protocol.main_metrics else protocol.main_metrics[-1]
        sums = {label: MetricSums.from_total(total.part(label), protocol) for label in models}
        return metric, {label: _figure(one.summary(CONFIDENCE)["all"][metric]) for label, one in sums.items()}

    def _question(self, models: Models, since: int) -> FreshBody:
        starts = (since + 1, moment_of(self.exchange.config) + 1)
        return FreshBody(
            round=self.exchange.next_round(),
            phase="choose",
            capacity=self.exchange.capacity,
            holdout=self.exchange.holdout.model_copy(update={"rule": "time", "starts": starts}),
            arm="federated",
            encoder=EncoderSpec.of(encoder_of_models(models)),
            models=tuple(specs_of(models)),
        )

    def _worse(self, metric: str, quality: Mapping[str, Figure], then: Figure | None) -> list[str]:
        rate, name = self.exchange.config.freshness.false_alarms, self.before.serving
        now, floor, alarms = quality[name], quality[POPULARITY], []
        if then is not None and surely_less(now, then, rate):
            alarms.append(f"'{name}' became worse: {metric} {now['mean']:.4f} on new events, {then['mean']:.4f} before")
        if name != POPULARITY and surely_less(now, floor, rate):
            alarms.append(f"'{name}' is worse than popularity: {metric} {now['mean']:.4f} against {floor['mean']:.4f}")
        return alarms


def read_drift(out: Path) -> dict[str, Any] | None:
    """What `NewEvents.measure` wrote; None if nothing was measured."""
    path = out / DRIFT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _changed(found: Mapping[str, float]) -> tuple[str, ...]:
    if found["divergence"] <= found["threshold"]:
        return ()
    return (f"users choose other things: divergence {found['divergence']:.4f} bits, above {found['threshold']:.4f}",)


def _figure(found: Mapping[str, Any]) -> Figure:
    return {key: float(found[key]) for key in ("mean", "low", "high", "users") if found.get(key) is not None}


def _figure_then(before: Predecessor, metric: str) -> Figure | None:
    """What the run before found when it measured alike: on events that were new to the model of the run before it, or
    on a test that was split off by time. A last item left out is another question."""
    drift = before.told.get("drift") or {}
    if drift.get("metric") == metric and before.serving in (drift.get("quality") or {}):
        return _figure(drift["quality"][before.serving])
    if before.told.get("holdout") != "time":
        return None
    tested = before.told["results"].get("federated", {}).get(before.serving, {}).get("all", {})
    return _figure(tested[metric]) if metric in tested else None
