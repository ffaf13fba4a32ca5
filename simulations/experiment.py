"""A whole federation on one machine: tenants' folders, both Flower apps, a pooled run beside it, and a report.

<run>/config.toml       the configuration as run
<run>/catalogue.parquet the public catalogue
<run>/tenants/<name>/   what each tenant keeps to itself (see client/store.py)
<run>/server/           what the server knows: events, results, global models
<run>/pooled/           the same for all rows in one place: the ceiling, which only a simulation has
<run>/report.html, report.json, which is written last

A run that was interrupted can be taken up in its folder, see `simulations/resuming.py`.
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
from fedrec.files import remove_partial, whole_folder, write_text
from fedrec.messages import BODY
from fedrec.server.app import app as server_app
from fedrec.server.choosing import candidates_of
from fedrec.server.events import EVENTS, Event, EventLog, Listener, listening, seconds_spent
from fedrec.server.exchange import holdout_of
from fedrec.server.private_run import check_private
from fedrec.server.run import RESULTS
from fedrec.simulations.grid import RUN_ID, SERVER_NODE_ID, InProcessGrid, UserConfig
from fedrec.simulations.report.assemble import assemble
from fedrec.simulations.report.html import render
from fedrec.simulations.report.load import read, write
from fedrec.simulations.report.schema import Report
from fedrec.simulations.resuming import CONFIG, REPORT, State, alone_in, begun_with, check_folder, check_rows, state_of
from fedrec.simulations.tenancy import create_roster, create_tenants, load_dataset, split_tenants

FIRST_NODE_ID = 100


def simulate(
    source: str | Path | Config | Mapping[str, Any],
    dataset: Dataset | None = None,
    out: str | Path | None = None,
    listener: Listener = lambda event: None,
    resume: bool = False,
) -> Report:
    """Run a preset, a TOML file or a configuration, on `dataset` instead of the rows it names if that is given.

    out: an empty or new folder that keeps the run; None keeps nothing but the report that is returned. resume: go on
    with the run in `out` if it was interrupted, with the same configuration and rows.

    Raises:
        FedrecError: the configuration or the data is wrong, or too few tenants answered.
    """
    config = _configuration(source, dataset)
    if out is not None:
        return Experiment(config, Path(out), listener, resume=resume).run(dataset)
    if resume:
        raise ConfigError("resume=True needs out=, the folder of the run that was interrupted.")
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

    listener: told what happens while it happens. page: also draw report.html. resume: go on with a run that was
    interrupted in the folder. seconds: of each stage, in all attempts, as far as their events tell.
    """

    config: Config
    folder: Path
    listener: Listener = lambda event: None
    page: bool = True
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = field(default="", init=False)
    _started: float = field(default=0.0, init=False)

    def run(self, dataset: Dataset | None = None) -> Report:
        """Load, split, federate, compare; the report that is there, if the run to be resumed is finished.

        A run that is interrupted, or fails after its rows were read, leaves what it has, and a last event that says
        so. Raises ConfigError if the folder cannot be used or the configuration cannot be run; then nothing is changed.
        """
        self.check()
        with alone_in(self.folder):
            state = state_of(self.folder)
            if state is State.FINISHED:
                return read(self.folder / REPORT)
            try:
                return self._run(dataset, state)
            except BaseException as error:
                self._leave(error, state)
                raise

    def check(self) -> None:
        """Raises ConfigError if the folder cannot be used, or a recommender cannot be made as configured."""
        check_folder(self.folder, self.config, self.resume)
        check_private(self.config, {model.name: candidates_of(model) for model in self.config.models})

    def _run(self, dataset: Dataset | None, state: State) -> Report:
        with self._timed("load"):
            remove_partial(self.folder)
            if state is State.INTERRUPTED:
                self.config = begun_with(self.folder)
            rows, stores = self._load(dataset)
            self.listener(_loaded(rows, len(stores)))
        pooled = "pooled" in self.config.federation.arms
        if pooled:
            with self._timed("pooled", self.folder / "pooled"):
                self._pooled(rows)
        with self._timed("federation", self.folder / "server"):
            self._serve(stores, self.folder / "server", self.folder / CONFIG, pooled)
        return self._report(rows, stores)

    def _load(self, dataset: Dataset | None) -> tuple[Dataset, list[TenantStore]]:
        """The rows, and the tenants that hold them: made in one step, or there from before an interruption."""
        write_text(self.folder / CONFIG, to_toml(self.config))
        rows = dataset if dataset is not None else load_dataset(self.config.data, self.config.seed)
        self.config = with_moments(self.config, rows)
        write_text(self.folder / CONFIG, to_toml(self.config))
        write_catalogue_file(rows.catalogue, self.folder / "catalogue.parquet")
        tenants = self.folder / "tenants"
        if not tenants.exists():
            with whole_folder(tenants) as folder:
                stores = create_tenants(self.config, rows, folder)
                if self.config.federation.secure_aggregation:
                    create_roster(stores, self.folder / "roster.txt")
            return rows, [TenantStore(tenants / store.name) for store in stores]
        return rows, check_rows(split_tenants(rows, self.config.tenants, self.config.seed), tenants)

    def _leave(self, error: BaseException, state: State) -> None:
        """Say in the folder how the run ended, or remove it if the mistake came before there was anything to run."""
        if self._stage == "load" and isinstance(error, FedrecError):
            if state is State.EMPTY:
                shutil.rmtree(self.folder, ignore_errors=True)
            return
        kind = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        since = round(time.perf_counter() - self._started, 3)
        log = EventLog(self.folder / "server" / EVENTS)
        log.emit(kind, t=since, stage=self._stage, error=type(error).__name__)

    def _report(self, rows: Dataset, stores: list[TenantStore]) -> Report:
        """Write the report."""
        with self._timed("report"):
            holdout = holdout_of(self.config)
            report = assemble(self.config, self.folder, rows, stores, holdout, self.seconds)
            if self.page:
                write_text(self.folder / "report.html", render(report))
            write(report, self.folder / REPORT)
        return report

    def _pooled(self, rows: Dataset) -> None:
        """The same code with one client that has all rows."""
        folder = self.folder / "pooled"
        federation = self.config.federation.model_copy(
            update={"arms": ("federated",), "min_tenants": 1, "secure_aggregation": False}
        )
        models = tuple(model.in_one_place() for model in self.config.models)
        changes = {"federation": federation, "models": models, "training": self.config.training.in_one_place()}
        alone = self.config.model_copy(update={**changes, "privacy": None})
        write_text(folder / CONFIG, to_toml(alone))
        everyone = folder / "everyone"
        if not everyone.exists():
            with whole_folder(everyone) as unfinished:
                create_store(unfinished, rows)
        self._serve([TenantStore(everyone)], folder, folder / CONFIG, pooled=False)

    def _serve(self, stores: list[TenantStore], out: Path, config: Path, pooled: bool) -> None:
        """Both apps, unless their run was over before an interruption."""
        if (out / RESULTS).exists():
            return
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
        with listening(self.listener, grid.noted):
            server_app(grid, context)

    @contextmanager
    def _timed(self, stage: str, served: Path | None = None) -> Iterator[None]:
        """served: where the stage's server writes its events, those of earlier attempts among them."""
        self._stage, self._started = stage, time.perf_counter()
        earlier = seconds_spent(served / EVENTS) if served is not None else 0.0
        self.listener({"event": "stage-start", "stage": stage})
        yield
        self.seconds[stage] = round(earlier + time.perf_counter() - self._started, 3)
        self.listener({"event": "stage-end", "stage": stage, "seconds": self.seconds[stage]})


class _WatchedGrid(InProcessGrid):
    """Tells the listener of each node's answer, so that a long round can be followed."""

    listener: Listener
    answered: Counter[str]  # of each round

    def noted(self, event: Event) -> Mapping[str, Any]:
        """What the server cannot know of a round: how long its clients worked. They never say so."""
        if event["event"] != "round-end":
            return {}
        return {"client_seconds": round(self.seconds.pop(str(event["round"]), 0.0), 3)}

    def deliver(self, message: Message) -> Message | None:
        reply = super().deliver(message)
        if BODY in message.content:  # not one that only prepares or ends a secure sum
            self.answered[message.metadata.group_id] += 1
            self.listener({"event": "reply", "done": self.answered[message.metadata.group_id]})
        return reply


def _loaded(rows: Dataset, tenants: int) -> Event:
    counts = {"users": rows.num_users, "items": rows.num_items, "events": rows.num_events, "tenants": tenants}
    return {"event": "loaded", "dataset": rows.name, **counts}


def with_moments(config: Config, rows: Dataset) -> Config:
    """Under a split by time all tenants need the same two moments, and one from which to count back if events fade."""
    if config.freshness.half_life_days is not None:
        newest = int(rows.interactions.times.max())
        config = config.model_copy(update={"freshness": config.freshness.at(newest)})
    if config.evaluation.holdout != "time" or config.evaluation.starts is not None:
        return config
    evaluation = config.evaluation.model_copy(update={"starts": start_moments(rows)})
    return config.model_copy(update={"evaluation": evaluation})
