"""A whole federation on one machine: tenants' folders, both Flower apps, a pooled run beside it, and a report.

<run>/config.toml       the configuration as run
<run>/catalogue.parquet the public catalogue
<run>/tenants/<name>/   what each tenant keeps to itself (see client/store.py)
<run>/server/           what the server knows: events, results, global models
<run>/pooled/           the same for all rows in one place: the ceiling, which only a simulation has
<run>/report.json, report.html
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict

from fedrec.client.app import app as client_app
from fedrec.client.store import TenantStore, create_store
from fedrec.config import Config, DataConfig, load, parse, to_toml
from fedrec.data import Dataset, start_moments
from fedrec.data.catalogue_file import write_catalogue_file
from fedrec.errors import ConfigError, FedrecError
from fedrec.files import write_text
from fedrec.messages import BODY
from fedrec.server.app import app as server_app
from fedrec.server.choosing import candidates_of
from fedrec.server.events import Event, EventLog, Listener, listening
from fedrec.server.exchange import holdout_of
from fedrec.simulations.grid import RUN_ID, SERVER_NODE_ID, InProcessGrid, UserConfig
from fedrec.simulations.report.assemble import assemble
from fedrec.simulations.report.html import render
from fedrec.simulations.report.load import write
from fedrec.simulations.report.schema import Report
from fedrec.simulations.tenancy import create_roster, create_tenants, load_dataset

FIRST_NODE_ID = 100


def simulate(
    source: str | Path | Config | Mapping[str, Any],
    dataset: Dataset | None = None,
    out: str | Path | None = None,
    listener: Listener = lambda event: None,
) -> Report:
    """Run a preset, a TOML file or a configuration, on `dataset` instead of the rows it names if that is given.

    out: an empty or new folder that keeps the run; None keeps nothing but the report that is returned.

    Raises:
        FedrecError: the configuration or the data is wrong, or too few tenants answered.
    """
    config = _configuration(source, dataset)
    if out is not None:
        return Experiment(config, Path(out), listener).run(dataset)
    with tempfile.TemporaryDirectory(prefix="fedrec-") as folder:
        return Experiment(config, Path(folder), listener).run(dataset)


def _configuration(source: str | Path | Config | Mapping[str, Any], dataset: Dataset | None) -> Config:
    named = {} if dataset is None else {"data": DataConfig(dataset=dataset.name)}
    if isinstance(source, Mapping):
        return parse({**source, **named})
    config = source if isinstance(source, Config) else load(source)
    return config.model_copy(update=named)


@dataclass
class Experiment:
    """One run of one configuration in one folder.

    listener: told what happens while it happens. page: also draw report.html.
    """

    config: Config
    folder: Path
    listener: Listener = lambda event: None
    page: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = field(default="", init=False)
    _started: float = field(default=0.0, init=False)

    def run(self, dataset: Dataset | None = None) -> Report:
        """Load, split, federate, compare.

        A run that is interrupted, or fails after its rows were read, leaves what it has, and a last event that says
        so. Raises ConfigError if the folder is not empty or the configuration cannot be run; then nothing is left.
        """
        self.check()
        try:
            return self._run(dataset)
        except BaseException as error:
            self._leave(error)
            raise

    def check(self) -> None:
        """Raises ConfigError if the folder is not empty, or a recommender cannot be made as configured."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            held = "already holds a run" if (self.folder / "config.toml").exists() else "is not an empty folder"
            raise ConfigError(f"{self.folder} {held}; choose another --out or remove it.")
        for model in self.config.models:
            candidates_of(model)

    def _run(self, dataset: Dataset | None) -> Report:
        with self._timed("load"):
            write_text(self.folder / "config.toml", to_toml(self.config))
            rows = dataset if dataset is not None else load_dataset(self.config.data, self.config.seed)
            self.config = _with_moments(self.config, rows)
            write_text(self.folder / "config.toml", to_toml(self.config))
            write_catalogue_file(rows.catalogue, self.folder / "catalogue.parquet")
            stores = create_tenants(self.config, rows, self.folder / "tenants")
            if self.config.federation.secure_aggregation:
                create_roster(stores, self.folder / "roster.txt")
            self.listener(_loaded(rows, len(stores)))
        pooled = "pooled" in self.config.federation.arms
        if pooled:
            with self._timed("pooled"):
                self._pooled(rows)
        with self._timed("federation"):
            self._serve(stores, self.folder / "server", self.folder / "config.toml", pooled)
        return self._report(rows, stores)

    def _leave(self, error: BaseException) -> None:
        """Say in the folder how the run ended, or remove it if the mistake came before there was anything to run."""
        if self._stage == "load" and isinstance(error, FedrecError):
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        kind = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        since = round(time.perf_counter() - self._started, 3)
        log = EventLog(self.folder / "server" / "events.jsonl")
        log.emit(kind, t=since, stage=self._stage, error=type(error).__name__)

    def _report(self, rows: Dataset, stores: list[TenantStore]) -> Report:
        """Write the report."""
        with self._timed("report"):
            holdout = holdout_of(self.config)
            report = assemble(self.config, self.folder, rows, stores, holdout, self.seconds)
            write(report, self.folder / "report.json")
            if self.page:
                write_text(self.folder / "report.html", render(report))
        return report

    def _pooled(self, rows: Dataset) -> None:
        """The same code with one client that has all rows."""
        folder = self.folder / "pooled"
        federation = self.config.federation.model_copy(
            update={"arms": ("federated",), "min_tenants": 1, "secure_aggregation": False}
        )
        alone = self.config.model_copy(update={"federation": federation})
        write_text(folder / "config.toml", to_toml(alone))
        store = create_store(folder / "everyone", rows)
        self._serve([store], folder, folder / "config.toml", pooled=False)

    def _serve(self, stores: list[TenantStore], out: Path, config: Path, pooled: bool) -> None:
        nodes: dict[int, UserConfig] = {
            FIRST_NODE_ID + index: {"store": str(store.folder)} for index, store in enumerate(stores)
        }
        run_config: UserConfig = {
            "config": str(config),
            "catalogue": str(self.folder / "catalogue.parquet"),
            "out": str(out),
            "roster": str(self.folder / "roster.txt"),
            "pooled": str(self.folder / "pooled") if pooled else "",
        }
        grid = _WatchedGrid(client_app, nodes, run_config)
        grid.listener, grid.answered = self.listener, Counter()
        context = Context(RUN_ID, SERVER_NODE_ID, {}, RecordDict(), dict(run_config))
        with listening(self.listener):
            server_app(grid, context)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        self._stage, self._started = stage, time.perf_counter()
        self.listener({"event": "stage-start", "stage": stage})
        yield
        self.seconds[stage] = round(time.perf_counter() - self._started, 3)
        self.listener({"event": "stage-end", "stage": stage, "seconds": self.seconds[stage]})


class _WatchedGrid(InProcessGrid):
    """Tells the listener of each node's answer, so that a long round can be followed."""

    listener: Listener
    answered: Counter[str]  # of each round

    def deliver(self, message: Message) -> Message | None:
        reply = super().deliver(message)
        if BODY in message.content:  # not one that only prepares or ends a secure sum
            self.answered[message.metadata.group_id] += 1
            self.listener({"event": "reply", "done": self.answered[message.metadata.group_id]})
        return reply


def _loaded(rows: Dataset, tenants: int) -> Event:
    counts = {"users": rows.num_users, "items": rows.num_items, "events": rows.num_events, "tenants": tenants}
    return {"event": "loaded", "dataset": rows.name, **counts}


def _with_moments(config: Config, rows: Dataset) -> Config:
    """Under a split by time all tenants need the same two moments."""
    if config.evaluation.holdout != "time" or config.evaluation.starts is not None:
        return config
    evaluation = config.evaluation.model_copy(update={"starts": start_moments(rows)})
    return config.model_copy(update={"evaluation": evaluation})
