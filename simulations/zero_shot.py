"""What a saved model does for a tenant that had no part in its training: nothing is fitted, the test is read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.client.store import held_out
from fedrec.config import Config
from fedrec.data import Dataset
from fedrec.data.categories import category_vectors
from fedrec.messages import Holdout, ranking_protocol
from fedrec.metrics import MetricSums, Summary, evaluate
from fedrec.models import Recommender, load
from fedrec.models.new_tenant import for_tenant
from fedrec.server.exchange import holdout_of
from fedrec.simulations.experiment import with_moments
from fedrec.simulations.report.assemble import measures_of
from fedrec.simulations.report.schema import Result

ARM = "zero-shot"


def zero_shot(folder: Path, config: Config, dataset: Dataset) -> Result:
    """What the model in `folder` reaches on the test users of `dataset`. config: what is held out and measured.

    The popularity of items, for novelty and slices, is the model's: the tenant's own rows are only ranked for.

    Raises:
        ModelError: there is no model, or it cannot serve this tenant, see `for_tenant`.
    """
    recommender = for_tenant(load(folder), dataset)
    summary = _summary(recommender, holdout_of(with_moments(config, dataset)), dataset)
    return Result(arm=ARM, model=str(folder), slices={part: measures_of(found) for part, found in summary.items()})


def _summary(recommender: Recommender, holdout: Holdout, dataset: Dataset) -> Summary:
    fold = held_out(dataset, holdout.rule, holdout.starts).open_test()

    def scores(start: int, stop: int) -> NDArray[np.floating]:
        part = fold.history.select(np.arange(start, stop))
        return recommender.algorithm.scores(recommender.weights, part)

    metrics = evaluate(
        scores,
        fold.history,
        fold.targets,
        item_counts=recommender.weights["popularity"],
        item_vectors=category_vectors(dataset.catalogue),
        protocol=ranking_protocol(holdout),
    )
    return MetricSums.of(metrics, tenant=dataset.name, positions=fold.users).summary()
