"""A federation that is asked for its validation again and again, and never for its test.

    <work>/tenants/<name>/   the tenants, made once: each trial is a run of its own over the same rows
    <work>/trials/<number>/  what the server knew of a trial: events, and what was reached on validation
    <work>/shared/           under [privacy]: noised sums that trials share

Nothing but phase `choose` is run. Tenants would not let it be otherwise: one that has read its test chooses no more.
Under [privacy] all trials together have the budget of the configuration, which each tenant's ledger keeps. Which sums a
closed form asks for often does not depend on what is tuned: then they are released once, and a trial is a validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Context, RecordDict

from fedrec.client.app import app as client_app
from fedrec.client.guard import claim_of
from fedrec.client.store import TenantStore
from fedrec.config import Config, to_toml
from fedrec.config_training import Value
from fedrec.data import Dataset
from fedrec.data.catalogue_file import write_catalogue_file
from fedrec.errors import ConfigError, Refusal, RoundFailed
from fedrec.files import whole_folder, write_text
from fedrec.server.app import app as server_app
from fedrec.server.content import items_of
from fedrec.server.course import read_course
from fedrec.simulations.experiment import FIRST_NODE_ID, with_moments
from fedrec.simulations.grid import RUN_ID, SERVER_NODE_ID, InProcessGrid, UserConfig
from fedrec.simulations.resuming import check_rows
from fedrec.simulations.search import SPENT
from fedrec.simulations.search_space import first_values, with_values
from fedrec.simulations.shared_sums import corners, share_sums
from fedrec.simulations.tenancy import create_roster, create_tenants, load_dataset, split_tenants
from fedrec.tune_config import Space

TENANTS = "tenants"


@dataclass(frozen=True)
class Plan:
    """What a budget has to last for: so many trials, in this space."""

    trials: int = 1
    space: Space = field(default_factory=dict)


UNPLANNED = Plan()


@dataclass(frozen=True)
class Spent:
    """What a search has cost a user so far: the epsilon of the tenant that released most, of a budget, at delta."""

    epsilon: float
    budget: float
    delta: float


@dataclass
class Trials:
    """The tenants in `work`, and one recommender whose validation they are asked for.

    evaluations: trials that were begun here, also those that failed: each asks every tenant for sums over its rows, so
    this is what a budget for the search is charged by. planned: how many trials a budget is for, and how often each sum
    is released in all of them; None without [privacy].
    """

    config: Config
    model: str
    work: Path
    stores: list[TenantStore]
    planned: tuple[int, int] | None = None
    evaluations: int = field(default=0, init=False)

    def measure(self, values: Mapping[str, Value]) -> float:
        """What the recommender reaches on validation with `values` by key of the configuration: the mean over the users
        of all tenants, from a federated run; with noise under [privacy].

        Raises FedrecError if it cannot be run so, or too few tenants answered; Refusal once the budget is spent.
        """
        config = _alone(with_values(self.config, values), self.model)
        self.evaluations += 1
        out = self._next_folder()
        write_text(out / "config.toml", to_toml(config))
        try:
            self._run(out)
        except RoundFailed as error:
            if SPENT in str(error):
                raise Refusal(SPENT, "what is left of the tenants' budget does not pay for this trial") from error
            raise
        course = read_course(out, config)
        assert course is not None  # the app has written it
        return next(choice.validation for choice in course.chosen if choice.candidate.model == self.model)

    def spent(self) -> Spent | None:
        """What the search has cost a user so far, by the ledger of the tenant that released most."""
        if self.config.privacy is None:
            return None
        claims = [claim_of(store) for store in self.stores]
        return Spent(max(claim.running for claim in claims), self.config.privacy.epsilon, self.config.privacy.delta)

    def _run(self, out: Path) -> None:
        nodes: dict[int, UserConfig] = {
            FIRST_NODE_ID + index: {"store": str(store.folder)} for index, store in enumerate(self.stores)
        }
        run_config: UserConfig = {
            "config": str(out / "config.toml"),
            "catalogue": str(self.work / "catalogue.parquet"),
            "out": str(out),
            "roster": str(self.work / "roster.txt"),
            "until": "choose",
            **self._tuning(),
        }
        context = Context(RUN_ID, SERVER_NODE_ID, {}, RecordDict(), dict(run_config))
        server_app(InProcessGrid(client_app, nodes, run_config), context)

    def _next_folder(self) -> Path:
        """For another trial, after those of this process and of earlier ones."""
        folder = self.work / "trials"
        return folder / f"{1 + sum(1 for _ in folder.glob('*')):04d}"

    def _tuning(self) -> UserConfig:
        if self.planned is None:
            return {}
        trials, fits = self.planned
        return {"tuned": self.model, "trials": trials, "fits": fits, "shared": str(self.work / "shared")}


def open_trials(
    config: Config, model: str, work: Path, dataset: Dataset | None = None, plan: Plan = UNPLANNED
) -> Trials:
    """The tenants of `config` in a folder, with `dataset` instead of the rows that it names if that is given: made now,
    or there from before a search was interrupted, with what their ledgers hold.

    Raises ConfigError if the folder holds the tenants of other rows.
    """
    rows = dataset if dataset is not None else load_dataset(config.data, config.seed)
    config = with_moments(config, rows)
    write_catalogue_file(rows.catalogue, work / "catalogue.parquet")
    tenants = work / TENANTS
    if tenants.exists():
        stores = check_rows(split_tenants(rows, config.tenants, config.seed), tenants)
    else:
        with whole_folder(tenants) as folder:
            made = create_tenants(config, rows, folder)
            if config.federation.secure_aggregation:
                create_roster(made, work / "roster.txt")
        stores = [TenantStore(tenants / store.name) for store in made]
    return Trials(config, model, work, stores, _planned(config, model, rows, plan))


def _planned(config: Config, model: str, rows: Dataset, plan: Plan) -> tuple[int, int] | None:
    if config.privacy is None:
        return None
    configs = list(extremes(config, model, plan.space))
    return plan.trials, 1 if share_sums(configs, items_of(config, rows.catalogue)) else plan.trials


def extremes(config: Config, model: str, space: Space) -> Iterator[Config]:
    """Trials with extreme values, but for those that no configuration can have."""
    for values in corners(space):
        with suppress(ConfigError):
            yield _alone(with_values(config, values), model)


def _alone(config: Config, model: str) -> Config:
    """The configuration of a trial: this recommender, the one that it begins from, and no arm but `federated`."""
    needed = (model, config.training.warm_start)
    models = tuple(first_values(one) for one in config.models if one.name in needed)
    federation = config.federation.model_copy(update={"arms": ("federated",)})
    return config.model_copy(update={"models": models, "federation": federation})
