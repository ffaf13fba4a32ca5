"""A federation that is asked for its validation again and again, and never for its test.

    <work>/tenants/<name>/   the tenants, made once: each trial is a run of its own over the same rows
    <work>/trials/<number>/  what the server knew of a trial: events, and what was reached on validation

Nothing but phase `choose` is run. Tenants would not let it be otherwise: one that has read its test chooses no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Context, RecordDict

from fedrec.client.app import app as client_app
from fedrec.client.store import TenantStore
from fedrec.config import Config, to_toml
from fedrec.config_training import Value
from fedrec.data import Dataset
from fedrec.data.catalogue_file import write_catalogue_file
from fedrec.files import write_text
from fedrec.server.app import app as server_app
from fedrec.server.course import read_course
from fedrec.simulations.experiment import FIRST_NODE_ID, with_moments
from fedrec.simulations.grid import RUN_ID, SERVER_NODE_ID, InProcessGrid, UserConfig
from fedrec.simulations.search_space import first_values, with_values
from fedrec.simulations.tenancy import create_roster, create_tenants, load_dataset


@dataclass
class Trials:
    """The tenants in `work`, and one recommender whose validation they are asked for.

    evaluations: trials that were begun here, also those that failed: each asks every tenant for sums over its rows, so
    this is what a budget for the search is charged by.
    """

    config: Config
    model: str
    work: Path
    stores: list[TenantStore]
    evaluations: int = field(default=0, init=False)

    def measure(self, values: Mapping[str, Value]) -> float:
        """What the recommender reaches on validation with `values` by key of the configuration: the mean over the users
        of all tenants, from a federated run.

        Raises FedrecError if it cannot be run so, or too few tenants answered.
        """
        config = _alone(with_values(self.config, values), self.model)
        self.evaluations += 1
        out = self.work / "trials" / f"{self.evaluations:04d}"
        write_text(out / "config.toml", to_toml(config))
        self._run(out)
        course = read_course(out, config)
        assert course is not None  # the app has written it
        return next(choice.validation for choice in course.chosen if choice.candidate.model == self.model)

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
        }
        context = Context(RUN_ID, SERVER_NODE_ID, {}, RecordDict(), dict(run_config))
        server_app(InProcessGrid(client_app, nodes, run_config), context)


def open_trials(config: Config, model: str, work: Path, dataset: Dataset | None = None) -> Trials:
    """The tenants of `config` in an empty folder, with `dataset` instead of the rows that it names if that is given."""
    rows = dataset if dataset is not None else load_dataset(config.data, config.seed)
    config = with_moments(config, rows)
    write_catalogue_file(rows.catalogue, work / "catalogue.parquet")
    stores = create_tenants(config, rows, work / "tenants")
    if config.federation.secure_aggregation:
        create_roster(stores, work / "roster.txt")
    return Trials(config, model, work, stores)


def _alone(config: Config, model: str) -> Config:
    """The configuration of a trial: this recommender, the one that it begins from, and no arm but `federated`."""
    needed = (model, config.training.warm_start)
    models = tuple(first_values(one) for one in config.models if one.name in needed)
    federation = config.federation.model_copy(update={"arms": ("federated",)})
    return config.model_copy(update={"models": models, "federation": federation})
