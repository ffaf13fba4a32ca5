"""The mechanisms pass the statistical self-test, and six planted bugs do not. The bugs are here, not in the product."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Contribution, Words, add
from fedrec.data.histories import Histories
from fedrec.models.statistics import ItemCounts
from fedrec.privacy import policy
from fedrec.privacy.noise import Keystream
from fedrec.privacy.policy import Central, Distributed, Local, Placed
from fedrec.privacy.release import Release, noised_release_of
from fedrec.rng import derive
from tests.privacy.self_test import Claimed, Mechanism, Rows, failures

NUM_ITEMS, CAP, CLIENTS, SHARERS = 8000, 16, 4, 3
STATISTIC = ItemCounts(NUM_ITEMS, CAP, unit_norm=True)
PLACEMENTS: dict[str, tuple[Placed, float]] = {
    "distributed": (Distributed(SHARERS), (CLIENTS / SHARERS) ** 0.5),
    "local": (Local(), CLIENTS**0.5),
    "central": (Central(), 1.0),
}


def release_of(placement: Placed, multiplier: float) -> Release:
    return noised_release_of(STATISTIC.layout().prefixed("0"), CLIENTS, 10_000, placement, [multiplier])


def contribution_of(rows: Rows) -> Contribution:
    values = STATISTIC.contribute(Histories.from_lists(rows, NUM_ITEMS)).values["counts"]
    return as_contribution(values, len(rows))


def as_contribution(values: np.ndarray, users: int) -> Contribution:
    """`users` is padded, so that the check of a client's own values does not stand in for the test."""
    return Contribution(STATISTIC.layout().prefixed("0"), {"0/counts": values}, users + 1000)


def product(placement: Placed) -> Mechanism:
    """From rows to the sum, as it is done."""

    def mechanism(clients: list[Rows], multiplier: float) -> np.ndarray:
        release = release_of(placement, multiplier)
        words = [release.prepare(contribution_of(rows)) for rows in clients]
        return opened(release, words)

    return mechanism


def opened(release: Release, words: list[Words]) -> np.ndarray:
    total = words[0]
    for one in words[1:]:
        total = add(total, one)
    return release.open(total, len(words)).values["0/counts"]


def claimed(scale: float) -> Claimed:
    return Claimed(NUM_ITEMS, CLIENTS, l2=1.0, std=scale)


@pytest.mark.parametrize("name", PLACEMENTS)
def test_every_placement_passes(name: str) -> None:
    placement, scale = PLACEMENTS[name]
    assert failures(product(placement), claimed(scale)) == set()


DISTRIBUTED, SCALE = PLACEMENTS["distributed"]


def planted(values_of: object) -> Mechanism:
    """The product, but for how a client makes its values from its rows."""

    def mechanism(clients: list[Rows], multiplier: float) -> np.ndarray:
        release = release_of(DISTRIBUTED, multiplier)
        words = [release.prepare(as_contribution(values_of(rows), len(rows))) for rows in clients]  # type: ignore[operator]
        return opened(release, words)

    return mechanism


def test_a_user_who_is_not_clipped_is_noticed() -> None:
    def unclipped(rows: Rows) -> np.ndarray:
        items = [item for row in rows for item in row]
        return np.bincount(items, minlength=NUM_ITEMS).astype(float)

    assert failures(planted(unclipped), claimed(SCALE)) == {"bound"}


def test_clipping_before_weighting_is_noticed() -> None:
    """Clipped to a norm of 1, and then each user counts as many times as it has items."""

    def clipped_then_weighted(rows: Rows) -> np.ndarray:
        values = np.zeros(NUM_ITEMS)
        for row in rows:
            values[row[:CAP]] += len(row) / np.sqrt(min(len(row), CAP))
        return values

    assert failures(planted(clipped_then_weighted), claimed(SCALE)) == {"bound"}


def test_noise_for_the_wrong_number_of_clients_is_noticed() -> None:
    """Shares that are enough only if all clients of a larger federation were there."""
    assert failures(product(Distributed(2 * SHARERS)), claimed(SCALE)) == {"noise"}


def test_noise_for_one_client_more_is_noticed() -> None:
    assert failures(product(Distributed(SHARERS + 1)), claimed(SCALE)) == {"noise"}


def test_noise_that_is_used_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "Keystream", lambda: Keystream(bytes(32)))
    found = failures(product(DISTRIBUTED), claimed(SCALE))
    assert "fresh" in found  # the same in two releases
    assert "noise" in found  # and in all clients, so that it adds up instead of averaging out


def test_clipping_after_the_noise_is_noticed() -> None:
    """The bound is put on what already has noise: it cuts the noise, and lets the user through."""

    def mechanism(clients: list[Rows], multiplier: float) -> np.ndarray:
        total = product_of_unbounded(clients, multiplier)
        return np.clip(total, -SCALE, SCALE)

    assert "noise" in failures(mechanism, claimed(SCALE))


def product_of_unbounded(clients: list[Rows], multiplier: float) -> np.ndarray:
    def unclipped(rows: Rows) -> np.ndarray:
        return np.bincount([item for row in rows for item in row], minlength=NUM_ITEMS).astype(float)

    return planted(unclipped)(clients, multiplier)


@pytest.mark.parametrize("rate", [0.5, 0.98])
def test_a_sampling_rate_that_is_not_the_stated_one_is_noticed(rate: float) -> None:
    rng = derive(1, "left out")

    def sampled(clients: list[Rows], multiplier: float) -> np.ndarray:
        kept = [[row for row in rows if rng.random() < rate] for rows in clients]
        return product(DISTRIBUTED)(kept, multiplier)

    assert failures(sampled, claimed(SCALE)) == {"everyone"}
