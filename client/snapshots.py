"""Which rows are a tenant's: the present ones, and those that wait to become them.

    <store>/rows/                   what training reads
    <store>/incoming/rows-000001/   what `rows/` will be from the next run on; of several the highest number counts

Both are whole datasets. A store without `incoming/` never changes: those of a simulation. Whoever reads the rows for a
message shares a lock on the store's folder, and whoever exchanges them has it alone. A process that is killed at any
moment leaves the old rows with what waits, or the new rows; `recover` makes either of what lies between.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedrec.errors import ConfigError

ROWS, INCOMING = "rows", "incoming"
_OLD, _NEXT = ".rows.old", "rows-"


@contextmanager
def locked(folder: Path, kind: int) -> Iterator[int]:
    """Hold a lock on `folder` itself: fcntl.LOCK_SH or LOCK_EX. Yields the handle, by which it can be changed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, kind)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Share the lock of `folder` while its rows are whole: an exchange that was cut short is ended first, since nobody
    can have the lock alone who shares it."""
    while True:
        with locked(folder, fcntl.LOCK_SH):
            if not _is_cut_short(folder):
                yield
                return
        recover(folder)


def waiting(folder: Path) -> Path | None:
    """The rows that wait in a store's folder, if any do."""
    staged = _staged(folder)
    return staged[-1] if staged else None


def next_place(folder: Path) -> Path:
    """Where rows are written that shall wait. Takes away what writers that were killed have left there.

    The caller holds the lock of `incoming/` alone.
    """
    incoming = folder / INCOMING
    for left in incoming.glob(f".{_NEXT}*"):
        shutil.rmtree(left)
    last = waiting(folder)
    number = int(last.name.removeprefix(_NEXT)) + 1 if last else 1
    return incoming / f"{_NEXT}{number:06d}"


def remove_older(folder: Path) -> None:
    """Take away rows that wait no more, since others came after them."""
    for older in _staged(folder)[:-1]:
        shutil.rmtree(older)


def exchange(folder: Path) -> None:
    """Put the rows that wait in the place of the present ones. The caller holds the lock of `folder` alone."""
    remove_older(folder)  # first: none of them may ever be the highest
    (staged,) = _staged(folder)
    os.replace(folder / ROWS, folder / _OLD)
    os.replace(staged, folder / ROWS)
    shutil.rmtree(folder / _OLD)


def recover(folder: Path) -> None:
    """End an exchange that was cut short. Raises ConfigError if there are no rows at all."""
    if not folder.is_dir():
        raise _without_rows(folder)
    with locked(folder, fcntl.LOCK_EX):
        finish(folder)


def finish(folder: Path) -> None:
    """`recover` for a caller that holds the lock of `folder` alone."""
    last = waiting(folder)
    if not (folder / ROWS).is_dir():
        if last is None:
            raise _without_rows(folder)
        os.replace(last, folder / ROWS)
    if (folder / _OLD).exists():
        shutil.rmtree(folder / _OLD)


def _is_cut_short(folder: Path) -> bool:
    return not (folder / ROWS).is_dir() or (folder / _OLD).exists()


def _without_rows(folder: Path) -> ConfigError:
    return ConfigError(f"No tenant rows in {folder}; expected a folder '{ROWS}' written by fedrec.")


def _staged(folder: Path) -> list[Path]:
    return sorted((folder / INCOMING).glob(f"{_NEXT}*"))
