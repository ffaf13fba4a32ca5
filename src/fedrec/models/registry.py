"""Every recommender by the name under which configurations, messages and files know it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from fedrec.errors import ConfigError
from fedrec.models.als import ALS
from fedrec.models.content_factors import ContentFactors
from fedrec.models.content_knn import ContentKNN
from fedrec.models.content_map import ContentMap
from fedrec.models.content_pca import ContentPCA
from fedrec.models.ease import EASE
from fedrec.models.item_knn import ItemKNN
from fedrec.models.markov import Markov
from fedrec.models.pca import PCA
from fedrec.models.popularity import Popularity
from fedrec.models.protocols import ClosedForm, Scoring
from fedrec.models.user_knn import UserKNN

ALGORITHMS: dict[str, type[ClosedForm]] = {
    kind.name: kind
    for kind in (
        Popularity,
        Markov,
        ItemKNN,
        UserKNN,
        EASE,
        PCA,
        ALS,
        ContentKNN,
        ContentMap,
        ContentPCA,
        ContentFactors,
    )
}
"""Name -> class."""

NO_RANKING = {
    "widedeep": "widedeep predicts clicks on items that are shown; it does not rank a catalogue. Train it by "
    "fedrec.simulations.clicks.federate_clicks(WideDeep(click_at=...), tenants), which reports AUC, log-loss and "
    "calibration, or choose a recommender for [[models]]."
}
"""Models that are no recommenders, and what to do instead."""


def create(name: str, parameters: Mapping[str, Any]) -> Scoring:
    """The recommender `name`, closed-form or neural, with hyper-parameters. Raises ConfigError as `create_closed`."""
    if name in ALGORITHMS:
        return create_closed(name, parameters)
    from fedrec.models.neural.registry import NEURAL, create_neural  # torch, for those who use it

    if name in NO_RANKING:
        raise ConfigError(NO_RANKING[name])
    if name not in NEURAL:
        raise ConfigError(f"There is no recommender '{name}'{_hint(name, [*ALGORITHMS, *NEURAL])}")
    return create_neural(name, parameters)


def create_closed(name: str, parameters: Mapping[str, Any]) -> ClosedForm:
    """The recommender `name` with hyper-parameters.

    Raises:
        ConfigError: the name, a hyper-parameter or a value is unknown or out of range; the nearest is named.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"There is no recommender '{name}'{_hint(name, list(ALGORITHMS))}")
    known = [field.name for field in fields(cast(Any, ALGORITHMS[name]))]
    for key in parameters:
        if key not in known:
            raise ConfigError(f"{name} has no hyper-parameter '{key}'{_hint(key, known)}")
    return ALGORITHMS[name](**parameters)


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(known)}."
