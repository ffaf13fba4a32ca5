"""What serves a tenant by its own choice: the federation's recommender, that one tuned or fused, or one of its own.

What the tenant did not keep is made again from its rows, in the same way as it was for the test: a fit of its own
recommender takes seconds in closed form, and the epochs of `[training]` for a neural one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.cli.run_folder import RunFolder
from fedrec.client.fusing import Fusion, fusion_of
from fedrec.client.recommenders import fitted_alone, own_choice, received, rows_of
from fedrec.client.store import TenantStore
from fedrec.config import Arm, ModelConfig
from fedrec.data import Histories
from fedrec.errors import ConfigError
from fedrec.messages import AnyArray, Capacity, EncoderSpec, ModelSpec, ScoreBody
from fedrec.models import Attribution, Popularity, Recommender, Weights, create, parameters_of
from fedrec.models.blending import PARTS, Mix
from fedrec.models.protocols import Float32Array
from fedrec.server.choosing import Candidate, candidates_of
from fedrec.server.content import encoder_of
from fedrec.server.exchange import holdout_of
from fedrec.server.fusing import own_specs
from fedrec.server.neural import own_plan


@dataclass(frozen=True, eq=False)
class Fused:
    """A tenant's fusion as a recommender. Its shares have no exact attribution to the items of a history."""

    fusion: Fusion
    mix: Mix

    name: ClassVar[str] = "fused"
    shared: ClassVar[tuple[str, ...]] = ()
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        return self.fusion.scores(histories, self.mix)[0]

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """Raises ConfigError: a fused score is in units of the whole list. What leads the list can be explained."""
        raise ConfigError("A fused list is not explained item by item; name one of its recommenders with --model.")


def chosen_by(run: RunFolder, store: TenantStore) -> tuple[str, str, Recommender] | None:
    """The recommender that serves the tenant by its own choice, its name before it, and the arm; None if it made none.

    Raises ConfigError or DataError if the run does not hold what was chosen.
    """
    choice = store.choice()
    if choice is None:
        return None
    name, arm = choice
    if arm == "fused":
        return name, arm, _fused(run, store, name)
    if arm == "local":
        return name, arm, _own(run, store, name)
    model = run.model(name)[1]
    if arm == "tuned":
        body = _body(run, "tuned", (_spec(name, model),))
        model = Recommender(model.algorithm, received(model.algorithm, model.weights, store, body), model.item_ids)
    return name, arm, model


def _own(run: RunFolder, store: TenantStore, name: str) -> Recommender:
    options = _options(run)
    if name not in options:
        raise ConfigError(f"{store.name} chose '{name}', which {run.path} does not have; name another with --model.")
    spec = ModelSpec(label=name, name=options[name][0].model, candidates=tuple(one.params for one in options[name]))
    body, popularity = _body(run, "local", (spec,)), run.model(Popularity.name)[1]
    model = create(spec.name, own_choice(spec, body, _counts(popularity), store)[0])
    return Recommender(model, fitted_alone(model, rows_of(body, store), store, body), popularity.item_ids)


def _fused(run: RunFolder, store: TenantStore, lead: str) -> Recommender:
    kept = store.results()["fused"][lead]
    parts = {name: run.model(name)[1] for name in kept["parts"]}
    body = _body(run, "fused", tuple(_spec(name, model) for name, model in parts.items()))
    body = body.model_copy(update={"own": own_specs(_options(run))})
    counts = _counts(run.model(Popularity.name)[1])
    fusion = fusion_of(body, {name: model.weights for name, model in parts.items()}, counts, store)
    mix = tuple(float(kept["mix"][part]) for part in PARTS)
    return Recommender(Fused(fusion, mix), {"popularity": counts}, next(iter(parts.values())).item_ids)


def _body(run: RunFolder, arm: Arm, specs: tuple[ModelSpec, ...]) -> ScoreBody:
    """The question that was asked on test."""
    config, encoder = run.config(), encoder_of(run.config())
    public = config.federation
    return ScoreBody(
        round=1,
        phase="final",
        capacity=Capacity(max_clients=public.max_tenants, max_users=public.max_users_per_tenant),
        holdout=holdout_of(config),
        arm=arm,
        training=own_plan(arm, config),
        encoder=None if encoder is None else EncoderSpec.of(encoder.identity),
        models=specs,
    )


def _spec(name: str, model: Recommender) -> ModelSpec:
    return ModelSpec(label=name, name=model.algorithm.name, candidates=(parameters_of(model.algorithm),))


def _options(run: RunFolder) -> dict[str, tuple[Candidate, ...]]:
    models = run.config().models
    floor = () if any(model.name == Popularity.name for model in models) else (ModelConfig(name=Popularity.name),)
    return {model.name: candidates_of(model) for model in (*floor, *models)}


def _counts(popularity: Recommender) -> AnyArray:
    return np.asarray(popularity.weights["popularity"], np.float64)
