"""How large a catalogue may be before a statistic over pairs of items is refused."""

from __future__ import annotations

from fedrec.errors import CatalogueTooLarge
from fedrec.models import triangle

MAX_PAIR_ITEMS = 20_000
"""Default `catalogue_limit` of the recommenders that sum over pairs of items: 0.8 GB up from each client for
a Gram."""

MAX_COORDINATES = triangle.size(MAX_PAIR_ITEMS)
"""The most numbers that any other statistic may have by default: as many as the largest Gram."""

GIGABYTE = 1e9
BYTES_UP, BYTES_HELD = 4, 8  # a count travels in 32 bits and is added up in 64


def check_pairs(model: str, num_items: int, limit: int, coordinates: int) -> None:
    """Refuse a catalogue above `limit` for a statistic of so many `coordinates` over its pairs of items."""
    if num_items > limit:
        up = coordinates * BYTES_UP / GIGABYTE
        memory = (coordinates * BYTES_HELD + num_items**2 * (BYTES_HELD + 4)) / GIGABYTE
        raise CatalogueTooLarge(
            f"{model} sums over pairs of items: {num_items:,} items need {up:.1f} GB up from "
            f"each client and {memory:.1f} GB of memory on the server; the limit is catalogue_limit={limit:,}. "
            'Use PCA(method="subspace") or ALS, whose sums grow with the catalogue and not with its square, '
            "or raise catalogue_limit."
        )


def check_coordinates(model: str, coordinates: int, cure: str) -> None:
    """Refuse a statistic of more than MAX_COORDINATES numbers."""
    if coordinates > MAX_COORDINATES:
        raise CatalogueTooLarge(
            f"{model} needs sums of {coordinates:,} numbers ({coordinates * BYTES_HELD / GIGABYTE:.1f} "
            f"GB from each client); at most {MAX_COORDINATES:,} are allowed. {cure}"
        )
