"""What a tenant answered on test is answered again to the same question, and to no other."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import RecordDict

from fedrec.client.answers import answered_once
from fedrec.client.store import create_store
from fedrec.contribution import Words
from fedrec.errors import FedrecError, ModelError, Refusal
from fedrec.messages import Capacity, Holdout, ModelSpec, ScoreBody, answer, expected, expecting, read_answer
from tests.federation import LEFT, rows_of

COUNTS = {"counts": np.arange(6.0)}
HOLDOUT = Holdout(
    rule="leave-last-out", starts=None, exclude_seen=True, ks=(2,), bootstrap=0, headline="NDCG@2", seed=0
)


def asked(round_: int = 1, name: str = "popularity") -> ScoreBody:
    spec = ModelSpec(label=name, name=name, candidates=({},))
    capacity = Capacity(max_clients=4, max_users=9)
    return ScoreBody(round=round_, phase="final", capacity=capacity, holdout=HOLDOUT, arm="federated", models=(spec,))


class Tenant:
    """A tenant whose answers are 1, 2, 3, ... so that one can tell whether it was computed anew."""

    def __init__(self, folder) -> None:
        self.store, self.computed = create_store(folder / "left", rows_of(LEFT)), 0

    def ask(self, body: ScoreBody, arrays=COUNTS) -> tuple[int, RecordDict]:
        content = answered_once(self.store, body.arm, body, arrays, self.compute)
        return int(read_answer(content).u64[0]), content

    def compute(self, note: bool = True) -> RecordDict:
        self.computed += 1
        if note:
            self.store.add_results("federated", {})
        words = Words(np.zeros(0, np.uint32), np.array([self.computed, 2**63 + 1], np.uint64))
        return expecting(answer(words), 0, 2, 1.5)


def test_the_same_question_gets_the_same_words_in_whatever_round_it_comes(tmp_path):
    tenant = Tenant(tmp_path)
    (first, one), (again, other) = tenant.ask(asked(3)), tenant.ask(asked(8))
    assert (first, again, tenant.computed) == (1, 1, 1)
    assert read_answer(one).u64.tolist() == read_answer(other).u64.tolist() == [1, 2**63 + 1]
    assert expected(one) == expected(other) == (0, 2, 1.5)


@pytest.mark.parametrize(
    ("body", "arrays"), [(asked(name="ease"), COUNTS), (asked(), {"counts": np.ones(6)}), (asked(), {})]
)
def test_another_question_about_the_arm_is_refused(tmp_path, body, arrays):
    tenant = Tenant(tmp_path)
    tenant.ask(asked())
    with pytest.raises(Refusal, match="arm-already-scored"):
        tenant.ask(body, arrays)
    assert tenant.computed == 1


def test_an_answer_that_did_not_leave_before_a_crash_is_computed_anew(tmp_path):
    """Results are noted before the answer is kept, and an answer is kept before it leaves."""
    tenant = Tenant(tmp_path)
    tenant.compute()
    assert tenant.ask(asked())[0] == 2
    tenant = Tenant(tmp_path / "other")
    answered_once(tenant.store, "federated", asked(), COUNTS, lambda: tenant.compute(note=False))
    assert tenant.ask(asked())[0] == 2


def test_only_its_owner_can_read_an_answer(tmp_path):
    tenant = Tenant(tmp_path)
    tenant.ask(asked())
    folder = tenant.store.folder / "answers"
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "federated.safetensors")] == [0, 0]


def test_a_damaged_answer_is_refused_and_never_another_error(tmp_path):
    tenant = Tenant(tmp_path)
    tenant.ask(asked())
    path = tenant.store.folder / "answers" / "federated.safetensors"
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place])
        with pytest.raises(ModelError, match="damaged"):
            tenant.ask(asked())
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            tenant.ask(asked())
        except FedrecError:
            continue
