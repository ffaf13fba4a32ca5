"""What the server refuses of clients and networks, and that it goes on with the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedrec.errors import ConfigError, Refusal, RoundFailed
from fedrec.privacy.secagg.graph import Parameters
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Reveal, Secret, Task
from fedrec.privacy.secagg.setup_messages import Shares, parse_advert


def reason_of(receive, *arguments) -> Reason:
    with pytest.raises(Refusal) as caught:
        receive(*arguments)
    return caught.value.reason


@pytest.fixture
def collecting(kit):
    """A federation with all uploads made and none delivered."""
    federation = kit.complete(5)
    federation.invite()
    phase = federation.server.collect(federation.task)
    uploads = {}
    for node, message in phase.requests().items():
        words = kit.vector(node, 1, federation.task)
        uploads[node] = federation.ask(node, "upload", message, words, kit.context)
    return federation, phase, uploads


def test_upload_is_counted_once(kit, collecting) -> None:
    federation, phase, uploads = collecting
    phase.receive(uploads[1])
    assert reason_of(phase.receive, uploads[1]) is Reason.DUPLICATE
    for node in (5, 3, 4, 2):  # in any order
        phase.receive(uploads[node])
    aggregate = federation.reveal(federation.consent(phase.close()))
    assert kit.same(aggregate.total, federation.truth(federation.nodes, 1))


def test_late_upload_is_refused_and_changes_nothing(kit, collecting) -> None:
    federation, phase, uploads = collecting
    for node in (1, 2, 3, 4):
        phase.receive(uploads[node])
    consenting = phase.close()
    assert reason_of(phase.receive, uploads[5]) is Reason.STATE_USED
    aggregate = federation.reveal(federation.consent(consenting))
    assert kit.same(aggregate.total, federation.truth((1, 2, 3, 4), 1))


def test_damaged_uploads_are_refused_and_the_right_one_still_counts(collecting) -> None:
    _, phase, uploads = collecting
    good = uploads[1]
    assert reason_of(phase.receive, good[:-1]) is Reason.TRUNCATED
    assert reason_of(phase.receive, good + b"\0") is Reason.TRAILING_BYTES
    assert reason_of(phase.receive, good[:20]) is Reason.TRUNCATED
    assert reason_of(phase.receive, b"") is Reason.TRUNCATED
    assert reason_of(phase.receive, good[:4] + b"\2" + good[5:]) is Reason.WRONG_VERSION
    assert reason_of(phase.receive, b"x" + good[1:]) is Reason.MALFORMED
    assert reason_of(phase.receive, good + bytes(1 << 25)) is Reason.OVERSIZED
    phase.receive(good)


def test_upload_of_another_place_is_refused(kit, collecting) -> None:
    federation, phase, uploads = collecting
    good = uploads[1]
    assert reason_of(phase.receive, good[:8] + bytes(16) + good[24:]) is Reason.WRONG_RUN
    assert reason_of(phase.receive, good[:24] + (9).to_bytes(8, "little") + good[32:]) is Reason.WRONG_ROUND
    assert reason_of(phase.receive, good[:32] + (9).to_bytes(8, "little") + good[40:]) is Reason.UNKNOWN_NODE
    assert reason_of(phase.receive, good, 2) is Reason.WRONG_SENDER
    assert reason_of(phase.receive, federation.received[0]) is Reason.WRONG_KIND


def test_vector_of_another_length_is_refused(kit) -> None:
    federation = kit.complete(4)
    federation.invite()
    phase = federation.server.collect(federation.task)
    message = phase.requests()[1]
    upload = federation.ask(1, "upload", message, kit.vector(1, 1, federation.task), kit.context)
    federation.invite()
    other = federation.server.collect(Task(4, 3, 1.0))  # round 4: 2 and 3 were abandoned
    readdressed = upload[:24] + (4).to_bytes(8, "little") + upload[32:]
    assert reason_of(other.receive, readdressed) is Reason.MALFORMED


def test_phase_is_closed_once(collecting) -> None:
    _, phase, uploads = collecting
    for upload in uploads.values():
        phase.receive(upload)
    phase.close()
    assert reason_of(phase.close) is Reason.STATE_USED


def test_advert_that_its_identity_did_not_sign_is_refused(kit) -> None:
    federation = kit.complete(4)
    message = federation.server.invite()[0]
    good = federation.ask(1, "advertise", message)
    assert reason_of(federation.server.receive, good[:-1] + bytes([good[-1] ^ 1])) is Reason.ADVERT_SIGNATURE
    advert = parse_advert(good, 4096)[1]
    as_another = good[:40] + replace(advert, node=2).pack()
    assert reason_of(federation.server.receive, as_another) is Reason.MALFORMED
    assert federation.server.receive(good) == 1
    assert reason_of(federation.server.receive, good) is Reason.DUPLICATE


def test_shares_for_others_than_the_neighbours_are_refused(kit) -> None:
    federation = kit.complete(4)
    for message in federation.server.invite():
        for node in federation.nodes:
            federation.server.receive(federation.ask(node, "advertise", message))
    shares = Shares.parse(federation.ask(1, "share", federation.server.share()[1]), 1 << 20)
    del shares.sealed[3]
    assert reason_of(federation.server.receive, shares.pack()) is Reason.NOT_A_NEIGHBOUR


def test_shares_for_a_round_that_is_not_open_are_refused(kit) -> None:
    federation = kit.complete(4)
    federation.invite()
    assert reason_of(federation.server.receive, federation.received[-1]) is Reason.WRONG_ROUND


def revealing(kit, num_clients: int, threshold: int):
    federation = kit.complete(num_clients, parameters=lambda n: Parameters(n - 1, threshold))
    federation.invite()
    phase = federation.consent(federation.collect(kit.Drops(upload=frozenset({3}))).close())
    replies = {node: federation.ask(node, "reveal", message) for node, message in phase.requests().items()}
    return federation, phase, replies


def wrong_share(reply: bytes, owner: int) -> bytes:
    reveal = Reveal.parse(reply, 1 << 20)
    kind, share = reveal.shares[owner]
    return replace(
        reveal, shares={**reveal.shares, owner: (kind, share[:9] + bytes([share[9] ^ 1]) + share[10:])}
    ).pack()


@pytest.mark.parametrize("owner", [3, 6])
def test_one_wrong_share_is_found_and_left_out(kit, owner) -> None:
    federation, phase, replies = revealing(kit, 7, 4)
    replies[1] = wrong_share(replies[1], owner)
    for reply in replies.values():
        phase.receive(reply)
    assert kit.same(phase.close().total, federation.truth((1, 2, 4, 5, 6, 7), 1))


@pytest.mark.parametrize("owner", [3, 6])
def test_wrong_shares_without_one_to_spare_fail_the_round_and_give_no_sum(kit, owner) -> None:
    _, phase, replies = revealing(kit, 7, 5)
    for liar in (1, 2):
        replies[liar] = wrong_share(replies[liar], owner)
    for reply in replies.values():
        phase.receive(reply)
    with pytest.raises(RoundFailed, match="committed"):
        phase.close()


def test_share_of_the_secret_not_asked_for_is_refused(kit) -> None:
    _, phase, replies = revealing(kit, 5, 3)
    reveal = Reveal.parse(replies[1], 1 << 20)
    turned = {**reveal.shares, 3: (Secret.SELF_MASK, reveal.shares[3][1])}
    assert reason_of(phase.receive, replace(reveal, shares=turned).pack()) is Reason.SHARES_UNEXPECTED


def test_parameters_of_no_graph_are_refused(kit) -> None:
    federation = kit.complete(4, parameters=lambda n: Parameters(2, 2))
    with pytest.raises(ConfigError, match="graph"):
        federation.invite()
