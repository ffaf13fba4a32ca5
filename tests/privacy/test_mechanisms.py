from __future__ import annotations

import pytest

from fedrec.errors import ProtocolError
from fedrec.privacy.mechanisms import Gaussian, Skellam, as_record, from_record


@pytest.mark.parametrize("mechanism", [Gaussian(1.0, 2.5), Skellam(12.0, 4.0, 100.0)])
def test_a_mechanism_survives_its_record(mechanism: Gaussian | Skellam) -> None:
    assert from_record(as_record(mechanism)) == mechanism


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": "laplace", "l1": 1.0, "scale": 1.0},
        {"kind": "gaussian", "l2": 1.0},
        {"kind": "gaussian", "l2": 1.0, "std": 1.0, "extra": 1.0},
        {"kind": "gaussian", "l2": "1", "std": 1.0},
        {"kind": "gaussian", "l2": True, "std": 1.0},
        {"kind": "gaussian", "l2": 1.0, "std": 0.0},
        {"kind": "gaussian", "l2": float("nan"), "std": 1.0},
        {"kind": "gaussian", "l2": 1.0, "std": float("inf")},
        {"kind": "skellam", "l1": 1.0, "l2": 2.0, "variance": 1.0},
        {"kind": ["gaussian"], "l2": 1.0, "std": 1.0},
    ],
)
def test_a_record_of_anything_else_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="Expected"):
        from_record(record)


def test_a_user_who_is_there_twice_changes_twice_as_much() -> None:
    assert Gaussian(1.5, 2.0).repeated(2) == Gaussian(3.0, 2.0)
    assert Skellam(4.0, 2.0, 9.0).repeated(3) == Skellam(12.0, 6.0, 9.0)
