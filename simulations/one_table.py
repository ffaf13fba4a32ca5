"""One table, no federation: what recommenders reach on rows that lie in one place.

It is an experiment with one tenant, in a folder that is thrown away, so no figure is computed by a second code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fedrec.config import Arm, Config, DataConfig, EvaluationConfig, FederationConfig, ModelConfig, TenantsConfig
from fedrec.config_training import Value
from fedrec.data import Dataset
from fedrec.errors import ConfigError
from fedrec.server.choosing import candidates_of
from fedrec.server.events import Listener
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.schema import ModelCard, Report, Result

DEFAULT_EVALUATION = EvaluationConfig(ks=(10,))
FEDERATED: tuple[Arm, ...] = ("federated",)
WITH_TENANT_LOCAL: tuple[Arm, ...] = ("local", "federated")


def evaluate(
    dataset: Dataset,
    models: Sequence[str | ModelConfig],
    evaluation: EvaluationConfig = DEFAULT_EVALUATION,
    seed: int = 0,
    listener: Listener = lambda event: None,
) -> Report:
    """Fit on the training rows, choose on validation, read the test once.

    models: each by name, with hyper-parameters as in `model_of`. Popularity is always among the results; those of
    one recommender are `result_of(report, card)`.

    Raises:
        ConfigError: a recommender or hyper-parameter is unknown, or a recommender is named twice.
    """
    return run(configuration(dataset.name, models, evaluation, seed), dataset, listener)


def configuration(name: str, models: Sequence[str | ModelConfig], evaluation: EvaluationConfig, seed: int) -> Config:
    """A federation of one tenant. name: of the dataset."""
    chosen = tuple(model if isinstance(model, ModelConfig) else model_of(model) for model in models)
    return Config(
        name="one-table",
        seed=seed,
        data=DataConfig(dataset=name),
        tenants=TenantsConfig.model_validate({"split": "iid", "n": 1}),
        evaluation=evaluation,
        federation=FederationConfig(arms=_arms(chosen), min_tenants=1, secure_aggregation=False),
        models=chosen,
    )


def run(config: Config, dataset: Dataset, listener: Listener) -> Report:
    """Run `config` on `dataset`; nothing is kept but the report."""
    with tempfile.TemporaryDirectory(prefix="fedrec-") as folder:
        return Experiment(config, Path(folder), listener, page=False).run(dataset)


def result_of(report: Report, card: ModelCard) -> Result:
    """The test result of one recommender; with one tenant, what it fits alone is what all fit together."""
    arm = "local" if card.scope == "tenant" else "federated"
    return next(result for result in report.results if (result.arm, result.model) == (arm, card.name))


def model_of(text: str) -> ModelConfig:
    """A recommender as `name` or `name:key=value,key=value`; values separated by `|` are chosen among on validation.

    Raises:
        ConfigError: the text is not of this form, or a hyper-parameter is unknown.
    """
    name, _, rest = text.partition(":")
    parameters: dict[str, Value | list[Value]] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"Expected a recommender like 'ease' or 'ease:l2=100|300', got {text!r} at {pair!r}.")
        values = [_value(one) for one in value.split("|")]
        parameters[key.strip()] = values if len(values) > 1 else values[0]
    model = ModelConfig.model_validate({"name": name.strip(), **parameters})
    candidates_of(model)
    return model


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _arms(models: Sequence[ModelConfig]) -> tuple[Arm, ...]:
    """Recommenders that stay with their tenant have a result only under arm `local`."""
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"'{twice}' is named twice; give its values once, separated by '|': {twice}:key=1|2.")
    private = [model for model in models if not candidates_of(model)[0].is_federated]
    for model in private:
        if len(candidates_of(model)) > 1:
            raise ConfigError(
                f"{model.name} stays with its tenant, and so does its choice; give one value for each key."
            )
    return WITH_TENANT_LOCAL if private else FEDERATED
