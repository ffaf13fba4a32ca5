"""Recommenders from disk."""

from __future__ import annotations

from pathlib import Path

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.models import saved
from fedrec.models.protocols import Scoring, Weights
from fedrec.models.recommender import Recommender
from fedrec.models.registry import create


def load(directory: str | Path) -> Recommender:
    """The recommender that `Recommender.save` left in `directory`.

    It knows users only if it was saved with `include_private`.

    Raises:
        ModelError: the files are missing, damaged or of another version.
    """
    model = saved.read(Path(directory))
    private = dict(model.private or {})
    starts, events = private.pop(saved.STARTS, None), private.pop(saved.EVENTS, None)
    try:
        algorithm = create(model.algorithm, model.parameters)
    except ConfigError as error:
        raise ModelError(f"{directory} does not hold a model of this fedrec: {error}") from error
    _check_names(directory, algorithm, model.shared, private)
    histories = None if starts is None or events is None else Histories(starts, events, len(model.item_ids))
    return Recommender(algorithm, {**model.shared, **private}, model.item_ids, model.user_ids, histories)


def _check_names(directory: str | Path, algorithm: Scoring, shared: Weights, private: Weights) -> None:
    unknown = sorted((set(shared) - set(algorithm.shared)) | (set(private) - set(algorithm.private)))
    if unknown:
        raise ModelError(
            f"{directory} has weights {', '.join(unknown)} that {algorithm.name} does not know; save the model again."
        )
