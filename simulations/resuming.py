"""The folder of a run: empty, with a run that was interrupted, or with one that is finished; and who may go on in it.

An interruption can come at any moment, also by `kill -9`. What it finds is whole, since each file and each tenant's
folder appears in one step; docs/resume.md says for each part whether it is taken up, made again or asked for again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from fedrec.client.store import TenantStore
from fedrec.config import Config, load
from fedrec.data import Dataset
from fedrec.errors import ConfigError
from fedrec.files import PARTIAL

CONFIG, REPORT = "config.toml", "report.json"
ABSENT = "nothing"


class State(Enum):
    """What a folder holds."""

    EMPTY = "empty"
    INTERRUPTED = "an interrupted run"
    FINISHED = "a finished run"


def state_of(folder: Path) -> State:
    """What is in the folder, which may not be there. Raises ConfigError if it is something else than a run."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; choose another --out.")
    if (folder / REPORT).exists():
        return State.FINISHED
    if (folder / CONFIG).exists():
        return State.INTERRUPTED
    if folder.exists() and not all(path.name.endswith(PARTIAL) for path in folder.iterdir()):
        raise ConfigError(f"{folder} is not an empty folder and holds no run; choose another --out or remove it.")
    return State.EMPTY


def check_folder(folder: Path, config: Config, resume: bool) -> None:
    """Raises ConfigError if `config` may not be run in `folder`: nothing is written over, and no run is changed."""
    state = state_of(folder)
    if state is State.EMPTY:
        return
    if resume:
        _check_same(folder, config)
    elif state is State.INTERRUPTED:
        raise ConfigError(
            f"{folder} holds an interrupted run; go on with --resume (in Python: resume=True), or choose another --out."
        )
    else:
        raise ConfigError(f"{folder} already holds a run; choose another --out or remove it.")


def begun_with(folder: Path) -> Config:
    """The configuration of the run in the folder, with all that was settled when its rows were read."""
    return load(folder / CONFIG)


def check_rows(split: Mapping[str, Dataset], folder: Path) -> list[TenantStore]:
    """The tenants in `folder` in the order of `split`. Raises ConfigError if they do not hold its rows."""
    there = {path.name for path in folder.iterdir() if not path.name.endswith(PARTIAL)}
    stores = [TenantStore(folder / name) for name in split]
    if there != set(split) or not all(
        _same_rows(rows, store.dataset()) for rows, store in zip(split.values(), stores, strict=True)
    ):
        raise ConfigError(
            f"The rows are not those that the run in {folder.parent} began with, so it cannot go on; start a new run."
        )
    return stores


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else runs in `folder` meanwhile. The lock ends with the process, however that ends.

    Raises:
        ConfigError: a process that is still running does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"Another process is running in {folder}; wait for it, or choose another --out.") from None


def _check_same(folder: Path, config: Config) -> None:
    """The moments of a run are found in the rows, so a configuration need not name them."""
    old, new = (found.model_dump(mode="json") for found in (begun_with(folder), config))
    for section, moment in (("evaluation", "starts"), ("freshness", "as_of")):
        if new[section][moment] is None:
            new[section][moment] = old[section][moment]
    for side in (old, new):
        side["models"] = {model["name"]: model for model in side["models"]}
    key = _first_difference(old, new)
    if key is not None:
        was, given = (_at(side, key) for side in (old, new))
        raise ConfigError(
            f"{'.'.join(key)}: the run in {folder} began with {was}, got {given}; "
            f"resume it with {folder / CONFIG}, or choose another --out for a new run."
        )


def _first_difference(old: object, new: object) -> tuple[str, ...] | None:
    """Where two configurations differ first; also in the order of their keys, which for models counts."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None if type(old) is type(new) and old == new else ()
    for key in dict.fromkeys([*old, *new]):
        below = _first_difference(old.get(key, ...), new.get(key, ...))
        if below is not None:
            return (str(key), *below)
    return None if list(old) == list(new) else ()


def _at(tree: Any, key: tuple[str, ...]) -> str:
    for part in key:
        if part not in tree:
            return ABSENT
        tree = tree[part]
    return ", ".join(tree) if isinstance(tree, dict) else repr(tree)


def _same_rows(one: Dataset, other: Dataset) -> bool:
    ours, theirs = one.interactions, other.interactions
    names = ours.user_ids == theirs.user_ids and ours.item_ids == theirs.item_ids
    fields = ("users", "items", "times", "weights")
    return names and all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in fields)
