"""How good the recommenders are on public data, fitted and ranked by real federated runs (leave-last-out)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import configured, scratch
from benchmarks.figures import Bar, Row, at_least, within
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.schema import Measure, ModelCard, Report

METRICS = ("HR@10", "NDCG@10")
Bars = Mapping[tuple[str, str], Bar]

ML_1M: Bars = {
    ("popularity", "HR@10"): within(0.037, 0.0005),
    ("popularity", "NDCG@10"): within(0.018, 0.0005),
    ("ease", "NDCG@10"): at_least(0.092),
    ("markov", "NDCG@10"): at_least(0.080),
}
ML_100K: Bars = {("ease", "NDCG@10"): at_least(0.098)}
REPLICATES = 200


def rows(settings: Settings) -> Iterator[Row]:
    """ML-100K over 21 tenants, and unless quick ML-1M over 10. Only ALS starts from random numbers."""
    yield from _dataset_rows("ML-100K, 21 tenants", "demo", ML_100K, settings)
    if not settings.quick:
        yield from _dataset_rows("ML-1M, 10 tenants", "ml-1m", ML_1M, settings)


BENCHMARK = Benchmark("quality", "ranking quality of every recommender on ML-100K and ML-1M, federated", 12, rows)


def _dataset_rows(title: str, preset: str, bars: Bars, settings: Settings) -> Iterator[Row]:
    first, *others = settings.seeds
    report = _federated(preset, first)
    measures = _measures(report)
    for card in report.models:
        if card.name in measures and card.name != "als":
            for metric in METRICS:
                measure = measures[card.name][metric]
                yield Row(
                    f"{title}: {card.title} {metric}",
                    measure.mean,
                    "",
                    bars.get((card.name, metric)),
                    note=_note(measure, card),
                )
    als = [measures["als"], *(_measures(_federated(preset, seed, als_only=True))["als"] for seed in others)]
    for metric in METRICS:
        means = [measure[metric].mean for measure in als]
        note = f"{min(means):.4f} to {max(means):.4f} by seed" if others else _interval(als[0][metric])
        yield Row(f"{title}: Implicit ALS {metric}", statistics.fmean(means), "", None, settings.seeds, note)


def _federated(preset: str, seed: int, als_only: bool = False) -> Report:
    """The federated arm of a preset; `seed` is also that of the first item factors of ALS."""
    config = configured(preset, arms=("federated",), seed=seed, bootstrap=REPLICATES)
    chosen = [m for m in config.models if m.name != "als" and not als_only]
    chosen += [m.model_copy(update={"seed": seed}) for m in config.models if m.name == "als"]
    with scratch() as folder:
        return Experiment(config.model_copy(update={"models": tuple(chosen)}), folder / "run", page=False).run()


def _measures(report: Report) -> dict[str, dict[str, Measure]]:
    """Recommender -> metric -> mean over all test users."""
    return {result.model: result.slices["all"] for result in report.results if result.arm == "federated"}


def _note(measure: Measure, card: ModelCard) -> str:
    tried = {key: {row[key] for row in card.candidates} for key in card.parameters if card.candidates}
    choice = [f"{key}={card.parameters[key]:g} of {len(values)}" for key, values in tried.items() if len(values) > 1]
    return "; ".join([_interval(measure), *choice])


def _interval(measure: Measure) -> str:
    return "" if measure.low is None else f"95 % interval {measure.low:.4f} to {measure.high:.4f}"
