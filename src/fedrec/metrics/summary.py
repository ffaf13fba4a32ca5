"""Reading an evaluation: means and intervals from sums, and what several seeds say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError
from fedrec.metrics.bootstrap import interval
from fedrec.metrics.lists import coverage, gini
from fedrec.metrics.protocol import RankingProtocol
from fedrec.metrics.slices import ALL, SLICES

Float64Array = NDArray[np.float64]
Figures = dict[str, float | int | None]
Summary = dict[str, dict[str, Figures]]

LISTS = "lists"


def summarise(values: Mapping[str, Float64Array], protocol: RankingProtocol, confidence: float) -> Summary:
    """slice -> metric -> figures, from the blocks of `MetricSums`.

    Figures are "mean" and "users", and "low" and "high" where bootstrapped; None where there is no user to
    average over. The entry `lists` describes the recommended lists: coverage and Gini of the exposure over
    the whole catalogue, mean novelty (bits) and mean diversity. On a noised total coverage and Gini are not
    meaningful: noise looks like exposure.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"Expected 0 < confidence={confidence} < 1; for example 0.95.")
    summary = {name: _slice_figures(index, values, protocol, confidence) for index, name in enumerate(SLICES)}
    summary[LISTS] = _list_figures(values, protocol)
    return summary


def over_seeds(summaries: Sequence[Summary]) -> Summary:
    """slice -> metric -> {"mean", "std", "seeds"} of several runs' means; std with n - 1, None for one run.

    A figure that is missing in one run is None. Raises ConfigError without any run, or if the runs differ in
    slices or metrics.
    """
    if not summaries:
        raise ConfigError("Expected at least one summary, got none; give one for each seed.")
    names = [{part: sorted(metrics) for part, metrics in summary.items()} for summary in summaries]
    if any(other != names[0] for other in names):
        raise ConfigError("Expected summaries of the same slices and metrics; evaluate every seed alike.")
    return {
        part: {name: _spread([summary[part][name]["mean"] for summary in summaries]) for name in metrics}
        for part, metrics in summaries[0].items()
    }


def _slice_figures(
    index: int, values: Mapping[str, Float64Array], protocol: RankingProtocol, confidence: float
) -> dict[str, Figures]:
    users = values["users"][index]
    figures = {
        name: _mean(values["metrics"][index, column], users) for column, name in enumerate(protocol.metric_names)
    }
    if "bootstrap_users" in values:
        counts = values["bootstrap_users"][index]
        for sums, name in zip(values["bootstrap_metrics"][index], protocol.main_metrics, strict=True):
            ends = interval(sums, counts, confidence) or (None, None)
            figures[name].update(low=ends[0], high=ends[1])
    return figures


def _list_figures(values: Mapping[str, Float64Array], protocol: RankingProtocol) -> dict[str, Figures]:
    users, length = values["users"][SLICES.index(ALL)], protocol.list_length
    with_diversity, diversity = values["diversity"]
    exposure, count = values["exposure"], round(float(users))
    spread = gini(exposure)
    return {
        f"coverage@{length}": {"mean": coverage(exposure), "users": count},
        f"gini@{length}": {"mean": None if np.isnan(spread) else spread, "users": count},
        f"novelty@{length}": _mean(values["novelty"][0], users),
        f"diversity@{length}": _mean(diversity, with_diversity),
    }


def _mean(total: float, users: float) -> Figures:
    count = round(float(users))
    return {"mean": float(total) / float(users) if count > 0 else None, "users": count}


def _spread(means: Sequence[float | int | None]) -> Figures:
    known = [mean for mean in means if mean is not None]
    if len(known) < len(means):
        return {"mean": None, "std": None, "seeds": len(means)}
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "std": deviation, "seeds": len(means)}
