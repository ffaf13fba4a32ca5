"""Where neural recommenders begin: at random, at the item factors that the federation fitted in the same phase, or at
the weights of the run before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from fedrec.config import Config
from fedrec.config_content import NO_CONTENT
from fedrec.errors import ConfigError
from fedrec.messages import AnyArray
from fedrec.models import ClosedForm, ItemFeatures, Weights, create
from fedrec.models.protocols import EncoderId, Scoring
from fedrec.server.choosing import Candidate
from fedrec.server.predecessor import Predecessor

TOWER_L2 = 3.0
"""Of the regression onto content, as in `fedrec.models.ContentFactors`."""
LABEL = "warm_start"
"""Under which a closed form is fitted that the run has no other use for."""


@dataclass(frozen=True, eq=False)
class FirstWeights:
    """Weights to begin from by name; all others are drawn. fitted_by: in words, with its hyper-parameters."""

    fitted_by: str = "none"
    arrays: Mapping[str, AnyArray] = field(default_factory=dict)


AT_RANDOM = FirstWeights()


class Start(Protocol):
    """What neural recommenders begin from."""

    @property
    def closed(self) -> Mapping[str, ClosedForm]:
        """What has to be fitted for it, by label."""
        ...

    def first_weights(self, model: Scoring, fitted: Mapping[str, Weights]) -> FirstWeights:
        """Those of one recommender. fitted: the weights of all that has been fitted, by label."""
        ...


@dataclass(frozen=True)
class WarmStart:
    """The closed form that neural recommenders begin from, and its label among the fitted ones.

    content: of the items, if the tower begins there, too. That costs no sum more, see `fedrec.models.alignment`.
    """

    label: str
    algorithm: ClosedForm
    content: AnyArray | None = None

    @property
    def closed(self) -> Mapping[str, ClosedForm]:
        """See `Start.closed`."""
        return {self.label: self.algorithm}

    def first_weights(self, model: Scoring, fitted: Mapping[str, Weights]) -> FirstWeights:
        """The residuals of a neural recommender's items, and the tower if that is wanted."""
        from fedrec.models.neural.protocol import RESIDUAL  # torch, for runs that use it
        from fedrec.models.neural.warm_start import warm_start, with_tower

        dim, weights = cast(Any, model).dim, fitted[self.label]
        first = warm_start(_factors(weights, dim), dim)
        if self.content is None:
            return FirstWeights(repr(self.algorithm), first)
        both = with_tower(first[RESIDUAL], self.content, weights["popularity"], TOWER_L2)
        return FirstWeights(f"{self.algorithm!r} with tower", both)


@dataclass(frozen=True)
class RunBefore:
    """The shared weights of the run that this one follows: they were released then, so that to begin there releases
    nothing more. What tenants keep private of a network begins anew, since the rows behind it may have changed.
    """

    before: Predecessor
    items: ItemFeatures
    closed: Mapping[str, ClosedForm] = field(default_factory=dict)

    def first_weights(self, model: Scoring, fitted: Mapping[str, Weights]) -> FirstWeights:
        """See `Start.first_weights`. Raises ConfigError if items were described by another encoder."""
        weights, neural = self.before.models[model.name][1], cast(Any, model)
        encoder = EncoderId.of(weights)
        if encoder != self.items.encoder:
            raise ConfigError(
                f"'{model.name}' of the run '{self.before.name}' knows items by {encoder}, this run by "
                f"{self.items.encoder}; set [content] to what it was, or start a run that follows none."
            )
        network = neural.build(self.items.num_items, self.items.widths.tolist(), 0)
        names = sorted(set(network.state_dict()) - set(neural.private))
        return FirstWeights(f"run {self.before.name} {self.before.course.run}", {name: weights[name] for name in names})


def warm_start_of(
    config: Config, candidates: Sequence[Candidate], items: ItemFeatures, before: Predecessor | None = None
) -> Start | None:
    """What the neural recommenders among `candidates` begin from; None at random.

    It is the run `before`, if this run follows one. Else it is the first candidate of the named closed form. If there
    is none, the closed form is made as wide as the widest of them, with its other hyper-parameters as they come. Raises
    ConfigError if there are no residuals to begin from, or no tower that could, or if the closed form would be one that
    a run with [privacy] has not planned.
    """
    wanted = config.training.warm_start
    neural = [cast(Any, c.algorithm) for c in candidates if not isinstance(c.algorithm, ClosedForm)]
    if before is not None:
        return RunBefore(before, items) if neural else None
    if config.training.warm_tower:
        _check_towers(config, neural)
    if wanted == "none" or not neural:
        return None
    for model in neural:
        if model.residual != "shared":
            raise ConfigError(
                f"training.warm_start is where item residuals begin that all tenants share; {model.name} has "
                f"residual='{model.residual}'. Set it to 'shared', or training.warm_start to 'none'."
            )
    content = items.content if config.training.warm_tower else None
    for candidate in candidates:
        if candidate.model == wanted:
            return WarmStart(candidate.label, cast(ClosedForm, candidate.algorithm), content)
    if config.privacy is not None:
        raise ConfigError(f"[privacy] pays for the run's own recommenders; add [[models]] with name = '{wanted}'.")
    rank = min(max(model.dim for model in neural), items.num_items - 1)
    return WarmStart(LABEL, cast(ClosedForm, create(wanted, {"rank": rank})), content)


def _check_towers(config: Config, neural: Sequence[Any]) -> None:
    """Raises ConfigError if there is no tower, or nothing to begin it from."""
    if config.training.warm_start == "none" or config.content.encoder == NO_CONTENT:
        raise ConfigError(
            "training.warm_tower begins the tower at item factors and content; set training.warm_start to 'als' or "
            "'pca' and content.encoder to 'hashed' or 'minilm', or warm_tower to false."
        )
    gated = [model.name for model in neural if model.fusion != "sum"]
    if gated:
        raise ConfigError(
            f"training.warm_tower is for content as the encoder weighs it; {gated[0]} has fusion='gate'. Set that to "
            "'sum', or warm_tower to false."
        )


def _factors(weights: Weights, rank: int) -> AnyArray:
    """(num_items, any rank) of ALS, or PCA's first `rank`: orthonormal, so that only their order says which are the
    strongest."""
    return weights["components"][:, :rank] if "components" in weights else weights["item_factors"]
