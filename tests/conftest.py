"""Fixtures for all tests: public datasets, fetched once into the cache; a skip says why one is missing."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from fedrec.data.dataset import Dataset
from fedrec.data.sources import fetch
from fedrec.errors import FetchError


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As on the command line: the last bits of a solution follow from the number of threads that looked for it."""
    with threadpool_limits(1):
        yield


def _fetched(name: str) -> Dataset:
    try:
        return fetch(name)
    except FetchError as error:
        pytest.skip(f"{name} could not be fetched: {error}")


@pytest.fixture(scope="session")
def ml100k() -> Dataset:
    """MovieLens 100K. A test that uses it is marked `data`."""
    return _fetched("ml-100k")


@pytest.fixture(scope="session")
def ml1m() -> Dataset:
    """MovieLens 1M. A test that uses it is marked `data`."""
    return _fetched("ml-1m")
