"""A run's configuration: TOML in, validated and immutable out. Defaults and forbidden combinations live here only."""

from __future__ import annotations

import difflib
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedrec.config_content import ContentConfig, check_content
from fedrec.config_freshness import RUN_NAME, FreshnessConfig, check_freshness
from fedrec.config_privacy import PrivacyConfig, check_privacy
from fedrec.config_training import TrainingConfig, Value
from fedrec.errors import ConfigError
from fedrec.metrics.protocol import CUT_OFF_METRICS
from fedrec.tune_config import TuneConfig

Arm = Literal["floor", "local", "federated", "tuned", "fused", "personal", "pooled"]
ARMS: tuple[Arm, ...] = ("floor", "local", "federated", "tuned", "fused", "personal", "pooled")
"""In the order in which they are scored: `personal` chooses between those before it."""

SYNTHETIC = "synthetic"
"""The dataset that is generated, from the seed of the run."""


class Section(BaseModel):
    """Immutable, and closed against unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where the rows come from: a public dataset by name, a file of the user's own, or the generator.

    `dataset = "synthetic"` generates a marketplace; `synthetic` are its settings (see `fedrec.data.Marketplace`).
    """

    dataset: str | None = None
    path: Path | None = None
    catalogue: Path | None = None
    users: Path | None = None
    synthetic: dict[str, Value] = {}
    columns: dict[str, str] = {}
    duplicates: Literal["error", "drop", "sum"] = "error"
    unknown_items: Literal["error", "drop", "add"] = "error"

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.dataset is None) == (self.path is None):
            raise ValueError("give either `dataset` (a name from `fedrec data list`) or `path` (a file), not both")
        if self.synthetic and self.dataset != SYNTHETIC:
            raise ValueError(f"`synthetic` describes the generator; it needs dataset = '{SYNTHETIC}'")
        return self


class TenantsConfig(Section):
    """How the rows are split among tenants. Keys other than `split` go to the split function."""

    model_config = ConfigDict(frozen=True, extra="allow")

    split: str = "iid"

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything but `split`."""
        return dict(self.model_extra or {})


class EvaluationConfig(Section):
    """What is held out and how it is ranked. Public: every tenant is told.

    `starts` are the moments (unix seconds) at which validation and test begin under `holdout = "time"`; a simulation
    that does not give them takes the last tenths of all events.
    """

    holdout: Literal["leave-last-out", "time"] = "leave-last-out"
    starts: tuple[int, int] | None = None
    exclude_seen: bool = True
    ks: tuple[int, ...] = (10, 20)
    bootstrap: int = Field(default=200, ge=0, le=10_000)
    headline: str = "NDCG@10"

    @model_validator(mode="after")
    def _cutoffs(self) -> EvaluationConfig:
        if not self.ks or any(k < 1 for k in self.ks):
            raise ValueError("ks: expected at least one cut-off, each >= 1")
        name, _, k = self.headline.partition("@")
        if name not in CUT_OFF_METRICS or not k.isdigit() or int(k) not in self.ks:
            raise ValueError(f"headline: expected one of {', '.join(CUT_OFF_METRICS)} at one of ks={list(self.ks)}")
        return self


class FederationConfig(Section):
    """Who takes part in a round, and the public capacity from which overflow is excluded.

    arms: what is compared. `tuned`, `fused` and `personal` are cheap beside `local`: `tuned` are a few epochs of neural
    recommenders and nothing without them, `fused` serves each user by several recommenders at once, `personal` is a
    choice between results that are already there.
    secure_aggregation: the server learns sums over tenants only. groups: sums over so many disjoint groups of tenants;
    a tenant then hides among fewer.
    """

    arms: tuple[Arm, ...] = ARMS
    secure_aggregation: bool = True
    groups: int = Field(default=1, ge=1)
    min_tenants: int = Field(default=3, ge=1)
    on_failure: Literal["continue", "discard"] = "continue"
    timeout_s: float = Field(default=3600.0, gt=0)
    max_tenants: int = Field(default=1024, ge=1)
    max_users_per_tenant: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _federated(self) -> FederationConfig:
        if "federated" not in self.arms:
            raise ValueError("arms: expected 'federated' to be among them; the other arms are what it is compared with")
        if "personal" in self.arms and "local" not in self.arms:
            raise ValueError("arms: 'personal' chooses between 'federated' and 'local'; give 'local', too")
        if self.groups > 1 and not self.secure_aggregation:
            raise ValueError("groups: without secure_aggregation there is nothing to group")
        return self


class ModelConfig(Section):
    """One recommender. A hyper-parameter given as a list is chosen among its values on validation."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def parameters(self) -> dict[str, Value | list[Value]]:
        """Hyper-parameters as written."""
        return dict(self.model_extra or {})

    def in_one_place(self) -> ModelConfig:
        """The same for all rows in one place: weights that would be private to each tenant are shared there."""
        values = self.parameters
        if "residual" in values:
            given = values["residual"] if isinstance(values["residual"], list) else [values["residual"]]
            values["residual"] = list(dict.fromkeys("shared" if one == "private" else one for one in given))
        return ModelConfig.model_validate({"name": self.name, **values})


class Config(Section):
    """One run."""

    name: str = Field(default="run", pattern=RUN_NAME, max_length=80)
    seed: int = Field(default=0, ge=0)
    data: DataConfig
    tenants: TenantsConfig = TenantsConfig()
    content: ContentConfig = ContentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    federation: FederationConfig = FederationConfig()
    freshness: FreshnessConfig = FreshnessConfig()
    privacy: PrivacyConfig | None = None
    training: TrainingConfig = TrainingConfig()
    tune: TuneConfig = TuneConfig()
    models: tuple[ModelConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_model_once(self) -> Config:
        names = [model.name for model in self.models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"models: '{twice}' is there twice; give its values once, as a list: key = [1, 2]")
        return self

    @model_validator(mode="after")
    def _described(self) -> Config:
        check_content(self.content, self.training.local)
        return self

    @model_validator(mode="after")
    def _private(self) -> Config:
        check_freshness(self.freshness, self.privacy)
        if self.privacy is not None:
            check_privacy(self.privacy, self.evaluation, self.federation)
        return self


def load(source: str | Path) -> Config:
    """Read a preset by name or a TOML file by path. Raises ConfigError naming the file, the key and the cure."""
    text, origin = _text(source)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is not valid TOML: {error}.") from error
    return parse(raw, origin)


def parse(raw: dict[str, Any], origin: str = "configuration") -> Config:
    """Validate a configuration that is already a dictionary."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_sentence(error)}") from error


def presets() -> list[str]:
    """Names of the configurations that are shipped."""
    names = (entry.name for entry in _preset_folder().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _preset_folder() -> Any:
    return resources.files("fedrec.simulations") / "presets"


def _text(source: str | Path) -> tuple[str, str]:
    path = Path(source)
    if path.suffix == ".toml" or path.exists():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"Cannot read the configuration {path}: {error}.") from error
    known = presets()
    if str(source) not in known:
        near = difflib.get_close_matches(str(source), known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"No preset '{source}' and no such file.{hint} Presets: {', '.join(known)}.")
    return (_preset_folder() / f"{source}.toml").read_text(encoding="utf-8"), f"preset '{source}'"


def _sentence(error: ValidationError) -> str:
    return " ".join(_one(dict(item)) for item in error.errors())


def _one(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), _keys(item["loc"][:-1]), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(_keys(item['loc'][:-1]))}."
        return f"unknown key '{where}'; {hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where or 'top level'}: {message} (got {_short(item['input'])})."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(location: tuple[Any, ...]) -> list[str]:
    """Known keys of the section at `location`."""
    model: type[BaseModel] = Config
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        annotation = next(iter(get_args(annotation)), annotation)  # of an optional section, the section
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def to_toml(config: Config) -> str:
    """The configuration as TOML that `load` reads back to an equal value."""
    raw = config.model_dump(mode="json", exclude_none=True)
    models = raw.pop("models")
    sections = {key: raw.pop(key) for key in list(raw) if isinstance(raw[key], dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in raw.items()]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    for model in models:
        lines += ["", "[[models]]", *(f"{key} = {_toml(value)}" for key, value in model.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
