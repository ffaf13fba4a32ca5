"""A tenant's own folder: its rows, its results, its private state. Nothing in it is ever put into a message.

<store>/rows/          the tenant's interactions and its copy of the public catalogue (Parquet)
<store>/incoming/      what they will be from the next run on, if they are to change (see client/incoming.py)
<store>/results.json   what each recommender did for the tenant's own users
<store>/answers/       what it answered when it scored its test (see client/answers.py)
<store>/choice.json    which recommender serves the tenant, and by which arm
<store>/assortment.npy which items of the catalogue it sells, if not all
<store>/test-read      there once the test was looked at: from then on nothing is chosen any more
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from fedrec.client.snapshots import ROWS, recover
from fedrec.data import Dataset, Fold, Split, leave_last_out, split_at
from fedrec.errors import ConfigError, Refusal
from fedrec.files import write_bytes, write_text
from fedrec.messages import Holdout

ASSORTMENT, RESULTS, CHOICE, TEST_READ = "assortment.npy", "results.json", "choice.json", "test-read"


@dataclass(frozen=True)
class TenantStore:
    """The folder of one tenant."""

    folder: Path

    @property
    def name(self) -> str:
        """The tenant's name: that of its folder."""
        return self.folder.name

    def dataset(self) -> Dataset:
        """The tenant's rows. Read once a process, and again when they change."""
        return _dataset(self.folder, self.version)

    def split(self, holdout: Holdout) -> Split:
        """The tenant's rows with validation and test held out by the rule of the run."""
        return _split(self.folder, self.version, holdout.rule, holdout.starts)

    def test_fold(self, holdout: Holdout) -> Fold:
        """What was held out for the one look at the end."""
        return _test_fold(self.folder, self.version, holdout.rule, holdout.starts)

    @property
    def version(self) -> int:
        """Changes with the rows, so that nothing is remembered of a folder that was made anew."""
        if not (self.folder / ROWS).is_dir():  # never so for whoever is in `reading`
            recover(self.folder)
        return (self.folder / ROWS / "dataset.json").stat().st_mtime_ns

    def assortment(self) -> NDArray[np.bool_] | None:
        """(num_items,) the items that this tenant sells; None if it is the whole catalogue."""
        path = self.folder / ASSORTMENT
        return np.load(path, allow_pickle=False) if path.exists() else None

    def results(self) -> dict[str, Any]:
        """`{arm: {label: summary}}` as written by `add_results`."""
        path = self.folder / RESULTS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def add_results(self, arm: str, results: dict[str, Any]) -> None:
        """Keep what the recommenders of an arm did for this tenant's test users, by label."""
        write_text(self.folder / RESULTS, json.dumps(self.results() | {arm: results}))

    def choice(self) -> tuple[str, str] | None:
        """The recommender that serves the tenant and the arm that made it, as written by `keep_choice`."""
        path = self.folder / CHOICE
        if not path.exists():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["model"]), str(kept["arm"])

    def keep_choice(self, model: str, arm: str) -> None:
        """Keep which recommender serves the tenant."""
        write_bytes(self.folder / CHOICE, json.dumps({"model": model, "arm": arm}).encode(), mode=0o600)

    def read_test(self) -> None:
        """Note that the held-out test items have been looked at."""
        write_text(self.folder / TEST_READ, "the test was read: no hyper-parameter may be chosen any more\n")

    def check_choosing_allowed(self) -> None:
        """Raises Refusal once the test was read."""
        if (self.folder / TEST_READ).exists():
            detail = "the test was read, so nothing may be chosen: say `fedrec tenant open`, or begin a new simulation"
            raise Refusal("test-already-read", detail)


def create_store(folder: Path, dataset: Dataset, assortment: NDArray[np.bool_] | None = None) -> TenantStore:
    """Write a tenant's rows, and which items it sells, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset.write(folder / ROWS)
    if assortment is not None:
        np.save(folder / ASSORTMENT, assortment, allow_pickle=False)
    return TenantStore(folder)


def open_store(context: Context) -> TenantStore:
    """The store of the node that `context` belongs to.

    A SuperNode names it (`--node-config 'store="/path"'`); Flower's simulation numbers its nodes and gets the folder
    of all stores from the run (`stores`), in alphabetical order.
    """
    named = context.node_config.get("store")
    if named is not None:
        folder = Path(str(named))
    elif "partition-id" in context.node_config and "stores" in context.run_config:
        folders = sorted(p for p in Path(str(context.run_config["stores"])).iterdir() if p.is_dir())
        folder = folders[int(context.node_config["partition-id"])]
    else:
        raise ConfigError("This node has no tenant store; start it with --node-config 'store=\"/path/to/tenant\"'.")
    if not (folder / ROWS).is_dir():
        recover(folder)
    return TenantStore(folder)


@lru_cache(maxsize=64)
def _dataset(folder: Path, version: int) -> Dataset:
    return Dataset.read(folder / ROWS)


@lru_cache(maxsize=64)
def _split(folder: Path, version: int, rule: str, starts: tuple[int, int] | None) -> Split:
    return held_out(_dataset(folder, version), rule, starts)


def held_out(dataset: Dataset, rule: str, starts: tuple[int, int] | None) -> Split:
    """The rows of a tenant with validation and test held out, see `Holdout`."""
    if rule == "leave-last-out":
        return leave_last_out(dataset.histories())
    if starts is None:
        raise ConfigError("A split by time needs the moments at which validation and test begin (evaluation.starts).")
    return split_at(dataset, *starts, new_users=True)


@lru_cache(maxsize=64)
def _test_fold(folder: Path, version: int, rule: str, starts: tuple[int, int] | None) -> Fold:
    return _split(folder, version, rule, starts).open_test()
