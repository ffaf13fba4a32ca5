"""Whole rounds: exact sums under every kind of dropout, or a typed failure and a clean next round."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from fedrec.errors import RoundFailed
from fedrec.privacy.secagg import party, stages
from fedrec.privacy.secagg.graph import COMPLETE_UP_TO, Parameters, ring
from fedrec.privacy.secagg.keys import signed_by
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Task
from fedrec.privacy.secagg.setup_messages import Cohort
from fedrec.rng import derive


@pytest.mark.parametrize("num_clients", [2, 3, 5, 20])
def test_sum_is_exact_in_every_round_of_a_steady_run(kit, num_clients) -> None:
    federation = kit.complete(num_clients)
    for round_id in (1, 2, 3, 4):
        aggregate = federation.round()
        assert aggregate.alive == federation.nodes
        assert kit.same(aggregate.total, federation.truth(federation.nodes, round_id))


def test_steady_round_takes_three_messages_of_each_client(kit) -> None:
    federation = kit.complete(5)
    federation.round()
    first = len(federation.received)
    federation.round()
    assert first == 5 * (2 + 1 + 3)  # two adverts and the shares of the invitation come before the three
    assert len(federation.received) - first == 5 * 3


def test_last_round_prepares_nothing(kit) -> None:
    federation = kit.complete(4)
    federation.round(last=True)
    assert federation.server.prepared is None
    with pytest.raises(RoundFailed, match="invite"):
        federation.server.collect(federation.task)


@pytest.mark.parametrize("phase", ["advertise", "share", "upload", "consent", "reveal"])
def test_dropouts_at_any_phase_are_survived(kit, phase) -> None:
    federation = kit.sparse()
    gone = frozenset({3, 40})
    aggregate = federation.round(kit.Drops(**{phase: gone}))
    absent = gone if phase in ("advertise", "share", "upload") else frozenset()
    assert set(aggregate.alive) == set(federation.nodes) - absent
    assert set(aggregate.dead) == (gone if phase == "upload" else set())
    assert kit.same(aggregate.total, federation.truth(aggregate.alive, 1))


def test_dropouts_at_all_phases_together_are_survived(kit) -> None:
    federation = kit.sparse()
    drops = kit.Drops(*(frozenset({node}) for node in (3, 17, 31, 45, 59)))
    aggregate = federation.round(drops)
    assert set(aggregate.alive) == set(federation.nodes) - {3, 17, 31}
    assert kit.same(aggregate.total, federation.truth(aggregate.alive, 1))


def test_round_goes_on_down_to_the_threshold_and_not_below(kit) -> None:
    # Eight clients, complete: seven holders, threshold 5. A dead client's secret needs 5 living holders.
    for num_dead, works in ((1, True), (2, True), (3, False)):
        federation = kit.complete(8, parameters=lambda n: Parameters(n - 1, 5))
        drops = kit.Drops(upload=frozenset(range(1, num_dead + 1)))
        if works:
            assert kit.same(federation.round(drops).total, federation.truth(range(num_dead + 1, 9), 1))
        else:
            with pytest.raises(RoundFailed, match="after the upload"):
                federation.round(drops)


@pytest.mark.parametrize("phase", ["advertise", "share", "upload", "consent", "reveal"])
def test_failed_round_is_followed_by_a_clean_one(kit, phase) -> None:
    federation = kit.complete(6)
    with pytest.raises(RoundFailed):
        federation.round(kit.Drops(**{phase: frozenset({1, 2, 3, 4, 5})}))
    prepared = federation.server.prepared or federation.invite()
    aggregate = federation.round()
    assert aggregate.alive == federation.nodes
    assert kit.same(aggregate.total, federation.truth(federation.nodes, prepared.plan.cohort.round_id))


def test_client_that_dropped_is_admitted_on_the_side_and_back_two_rounds_later(kit) -> None:
    federation = kit.complete(7)
    takes_part = [federation.round(kit.Drops(upload=frozenset({7}))).alive]
    takes_part += [federation.round().alive for _ in range(4)]
    six = (1, 2, 3, 4, 5, 6)
    # Asked for an advert in round 2, for shares in round 3: it holds neither for 2 and 3.
    assert takes_part == [six, six, six, federation.nodes, federation.nodes]


def test_bad_message_for_a_later_round_does_not_cost_the_present_one(kit) -> None:
    federation = kit.complete(5)
    federation.invite()
    collecting = federation.server.collect(federation.task)
    for node, message in collecting.requests().items():
        upload = bytearray(federation.ask(node, "upload", message, kit.vector(node, 1, federation.task), kit.context))
        if node == 2:
            upload[upload.rindex(b"fsa1") + 40 + 60] ^= 1  # a byte of the key in the advert on board
        federation.server.receive_upload(collecting, bytes(upload), node)
    assert [refusal.reason for refusal in federation.server.refused] == [Reason.ADVERT_SIGNATURE]
    federation.server.advance()
    aggregate = federation.reveal(federation.consent(collecting.close()))
    assert kit.same(aggregate.total, federation.truth(federation.nodes, 1))
    assert federation.round().alive == federation.nodes
    assert federation.round().alive == (1, 3, 4, 5)


def test_new_invitation_after_half_a_pipeline_starts_under_new_round_numbers(kit) -> None:
    federation = kit.complete(5)
    federation.round()
    federation.invite(nodes=(1, 2, 3, 4))
    aggregate = federation.round()
    assert aggregate.alive == (1, 2, 3, 4)
    assert kit.same(aggregate.total, federation.truth(aggregate.alive, 4))  # 1 done, 2 and 3 abandoned


def test_client_with_too_few_sharing_neighbours_fails_the_round_before_the_upload(kit) -> None:
    federation = kit.sparse(66, degree=4, threshold=3)
    for message in federation.server.invite():
        for node in federation.nodes:
            federation.server.receive(federation.ask(node, "advertise", message))
    requests = federation.server.share()
    gone = set(ring_neighbours(requests[1], 1)[:2])
    for node in set(federation.nodes) - gone:
        federation.server.receive(federation.ask(node, "share", requests[node]))
    with pytest.raises(RoundFailed, match="after sharing"):
        federation.server.prepare()


def ring_neighbours(cohort_message: bytes, node: int) -> tuple[int, ...]:
    cohort = Cohort.parse(cohort_message, 1 << 20)
    return ring(cohort.nodes, cohort.degree, cohort.digest()).of(node)


@pytest.mark.parametrize(("num_u32", "num_u64"), [(0, 0), (0, 4), (1, 0), (16385, 8193), (3, 20000)])
def test_segments_of_any_length_are_summed(kit, num_u32, num_u64) -> None:
    federation = kit.complete(4, task=Task(num_u32, num_u64, 1.0))
    assert kit.same(federation.round().total, federation.truth(federation.nodes, 1))


def test_vector_of_a_million_is_summed_exactly_with_dropouts(kit) -> None:
    federation = kit.complete(5, task=Task(1_000_000, 10, 1.0))
    aggregate = federation.round(kit.Drops(upload=frozenset({2})))
    assert aggregate.alive == (1, 3, 4, 5)
    assert kit.same(aggregate.total, federation.truth(aggregate.alive, 1))


@pytest.fixture
def signatures_checked_once(monkeypatch) -> None:
    """Every client checks the same signatures; in one process, checking each once gives the same answers sooner."""
    once = functools.lru_cache(maxsize=1 << 16)(signed_by)
    monkeypatch.setattr(party, "signed_by", once)
    monkeypatch.setattr(stages, "signed_by", once)


@pytest.mark.usefixtures("signatures_checked_once")
@pytest.mark.parametrize("seed", range(24))
def test_random_dropout_patterns_give_the_exact_sum_or_a_typed_failure(kit, seed) -> None:
    rng = derive(seed, "dropout patterns")
    num_clients = int(rng.integers(3, 40)) if seed % 8 else int(rng.integers(65, 201))
    on_ring = num_clients > COMPLETE_UP_TO
    federation = kit.sparse(num_clients, 12, 8) if on_ring else kit.complete(num_clients)
    exact = 0
    for _ in range(3 if on_ring else 12):
        rate = rng.uniform(0, 0.03 if on_ring else 0.15)
        drops = kit.Drops(*(frozenset((np.flatnonzero(rng.random(num_clients) < rate) + 1).tolist()) for _ in range(5)))
        try:
            prepared = federation.server.prepared or federation.invite(drops)
            round_id = prepared.plan.cohort.round_id
            aggregate = federation.round(drops)
        except RoundFailed:
            continue
        assert kit.same(aggregate.total, federation.truth(aggregate.alive, round_id))
        exact += 1
    assert exact
