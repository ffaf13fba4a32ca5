"""A tenant's rows change between runs, never within one.

What a run holds out, chooses and reads once at its end follows from the rows that it began with. So rows that come,
and users that go, wait as a whole in `incoming/` (see client/snapshots.py) until the first instruction of a run that
was not answered from the present rows. Then they become the rows, and what was computed from the old ones goes. A run
that was answered from older rows is refused from then on (`rows-changed`), also when it is resumed: half of its sums
would be over other rows than the rest. While no node is up, whoever stages rows may take them in at once.

    <store>/incoming/runs.json   the runs that were answered from the present rows, and those that were from older ones
    <store>/incoming/since       when the oldest change that waits came, in seconds since 1970

A run is known by where its results go at the platform (`out` in its configuration), which stays the same when it is
resumed, or else by Flower's number of it. The platform could give one run many names: it would only make rows that wait
come in earlier. It could also give all runs one name: so rows that have waited for `MOST_WAIT_S` come in whatever the
run is called, and it is over then.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context

from fedrec.client.required import REQUIRES
from fedrec.client.snapshots import INCOMING, ROWS, exchange, finish, locked, next_place, reading, remove_older, waiting
from fedrec.client.store import ASSORTMENT, TenantStore
from fedrec.content.vectors import IMAGES
from fedrec.data import Dataset
from fedrec.errors import ConfigError, Refusal
from fedrec.files import write_text

RUNS, SINCE, FORGOTTEN, SOURCE = "runs.json", "since", "forgotten", "source.toml"
MOST_WAIT_S = 7 * 86_400.0
"""A week: longer than runs take, and no longer than a user who was forgotten should have to wait."""
STAYS = frozenset(
    {
        *(ROWS, INCOMING, ASSORTMENT, IMAGES, FORGOTTEN, SOURCE),
        *("secagg", "privacy", "node", "platform", "tenant.toml", "request.toml", REQUIRES),
        *("flwr", "logs", "run"),
    }
)
"""What a tenant's folder holds beside what was computed from its rows. Whatever is not named here goes when rows do:
figures, choices, answers, private weights, and what a later version will think of."""


@dataclass(frozen=True)
class Runs:
    """answered: runs that saw the present rows. closed: runs that saw older ones."""

    answered: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


def note_runs(store: TenantStore) -> None:
    """Note from now on which runs are answered, without which nobody could tell a new one."""
    (store.folder / INCOMING).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def changing(store: TenantStore) -> Iterator[Dataset]:
    """What the tenant's rows will be, for whoever changes that by `stage`: one at a time."""
    note_runs(store)
    with locked(store.folder / INCOMING, fcntl.LOCK_EX), reading(store.folder):
        yield next_rows(store)


def next_rows(store: TenantStore) -> Dataset:
    """The rows that wait; the present ones if none do."""
    staged = waiting(store.folder)
    return store.dataset() if staged is None else Dataset.read(staged)


def stage(store: TenantStore, rows: Dataset) -> None:
    """Let `rows` wait in the place of what waits: whole or not at all. The caller is in `changing`."""
    since = store.folder / INCOMING / SINCE
    if waiting(store.folder) is None or not since.exists():
        write_text(since, f"{time.time():.3f}\n")
    rows.write(next_place(store.folder))
    remove_older(store.folder)


def take_in(store: TenantStore) -> bool:
    """Make the rows that wait the tenant's rows now; whether any did. Runs that saw the old ones are over."""
    with locked(store.folder, fcntl.LOCK_EX):
        return _take_in(store)


@contextmanager
def rows_of_run(store: TenantStore, context: Context) -> Iterator[None]:
    """Rows that stay what they are until an instruction is answered; the first of a new run takes in what waits.

    Raises Refusal for a run that saw older rows.
    """
    if not (store.folder / INCOMING).is_dir():
        yield
        return
    run = _name(context)
    if run not in _runs(store).answered or is_overdue(store):
        with locked(store.folder, fcntl.LOCK_EX):
            _begin(store, run)
    with reading(store.folder):
        if run in _runs(store).closed:
            detail = "the tenant's rows changed since a run of this name began; start a new run, by another name"
            raise Refusal("rows-changed", detail)
        yield


def is_overdue(store: TenantStore) -> bool:
    """Whether rows have waited for too long, by the tenant's own clock."""
    if waiting(store.folder) is None:
        return False
    try:
        since = float((store.folder / INCOMING / SINCE).read_text(encoding="utf-8"))
    except FileNotFoundError:  # another process takes them in just now
        return False
    except ValueError:
        return True
    return not abs(time.time() - since) <= MOST_WAIT_S  # a clock may have been put back


def remove_computed(folder: Path) -> None:
    """Take away what was computed from a tenant's rows. Rows, keys, policies, the ledger and logs stay."""
    for path in folder.iterdir():
        if path.name in STAYS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for state in (folder / "secagg").glob("run-*.state"):
        state.unlink()


def _begin(store: TenantStore, run: str) -> None:
    """Take in what waits, unless the run began before it came; and note the run."""
    if run in _runs(store).closed:
        return
    _take_in(store)
    runs = _runs(store)
    if run not in (*runs.answered, *runs.closed):  # another process may have been here first
        _write(store, Runs((*runs.answered, run), runs.closed))


def _take_in(store: TenantStore) -> bool:
    """First the runs are closed, then what was computed goes, then the rows: a crash in between leaves nothing that
    rests on other rows than those that are there."""
    finish(store.folder)
    if waiting(store.folder) is None:
        return False
    runs = _runs(store)
    _write(store, Runs((), (*runs.closed, *runs.answered)))
    remove_computed(store.folder)
    exchange(store.folder)
    (store.folder / INCOMING / SINCE).unlink(missing_ok=True)
    return True


def _runs(store: TenantStore) -> Runs:
    path = store.folder / INCOMING / RUNS
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"answered": [], "closed": []}
        return Runs(*(tuple(map(str, kept[key])) for key in ("answered", "closed")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error!r}; restore it, or remove it between two runs.") from error


def _write(store: TenantStore, runs: Runs) -> None:
    write_text(store.folder / INCOMING / RUNS, json.dumps({"answered": runs.answered, "closed": runs.closed}))


def _name(context: Context) -> str:
    """Names a run: equal when it is resumed."""
    stated = str(context.run_config.get("out") or f"number {context.run_id}")
    return hashlib.sha256(stated.encode()).hexdigest()[:16]
