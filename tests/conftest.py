"""Fixtures for all tests: public datasets, fetched once into the cache; a skip says why one is missing."""

import pytest

from fedrec.data.dataset import Dataset
from fedrec.data.sources import fetch
from fedrec.errors import FetchError


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
