"""A noised sum is kept whole or refused."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Block, Layout, Total
from fedrec.errors import FedrecError, ModelError
from fedrec.messages import Capacity, ContributeBody, Holdout, StatisticSpec
from fedrec.server.released import Released

HOLDOUT = Holdout(
    rule="leave-last-out", starts=None, exclude_seen=True, ks=(2,), bootstrap=0, headline="NDCG@2", seed=0
)
LAYOUT = Layout((Block("0/counts", (3,), 1.0), Block("1/gram", (2, 2), 2.0)))
TOTAL = Total(
    LAYOUT, {"0/counts": np.array([1.5, -2.0, 1 / 3]), "1/gram": np.eye(2)}, 4, {"0/counts": 0.1 + 0.2, "1/gram": 2.0}
)


def asked(round_: int = 1, name: str = "item_counts") -> ContributeBody:
    capacity = Capacity(max_clients=4, max_users=9)
    statistics = (StatisticSpec(name=name, params={}),)
    return ContributeBody(round=round_, phase="final", capacity=capacity, holdout=HOLDOUT, statistics=statistics)


def test_a_sum_is_kept_to_the_bit_with_the_noise_that_is_known_to_be_on_it(tmp_path):
    Released(tmp_path / "released").keep(asked(), TOTAL)
    found = Released(tmp_path / "released").kept(asked(), LAYOUT)
    assert (found.num_clients, found.noise, found.layout) == (4, TOTAL.noise, LAYOUT)
    assert all(np.array_equal(found.values[name], value) for name, value in TOTAL.values.items())


@pytest.mark.parametrize("other", [asked(2), asked(name="item_gram")])
def test_another_question_or_round_has_no_answer(tmp_path, other):
    Released(tmp_path).keep(asked(), TOTAL)
    assert Released(tmp_path).kept(other, LAYOUT) is None


def test_when_the_run_is_over_nothing_is_kept(tmp_path):
    released = Released(tmp_path / "released")
    released.keep(asked(), TOTAL)
    released.forget()
    released.forget()
    assert released.kept(asked(), LAYOUT) is None


def test_a_damaged_sum_is_refused_and_never_another_error(tmp_path):
    released = Released(tmp_path)
    released.keep(asked(), TOTAL)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place])
        with pytest.raises(ModelError, match="damaged"):
            released.kept(asked(), LAYOUT)
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            released.kept(asked(), LAYOUT)
        except FedrecError:
            continue
