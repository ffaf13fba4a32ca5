"""A server that writes another sender than itself into a header: refused, like any other header that is not its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Collect
from fedrec.privacy.secagg.setup_messages import pack_advertise
from fedrec.privacy.secagg.wire import HEADER, SERVER, peek
from tests.privacy.secagg.scene import LIMIT, VICTIM, Scene

SENDER_BYTES = 8


def of_node(message: bytes, node: int) -> bytes:
    """The same message with another sender, which is the last field of the header."""
    start = HEADER.size - SENDER_BYTES
    edited = message[:start] + node.to_bytes(SENDER_BYTES, "little") + message[HEADER.size :]
    assert peek(edited, LIMIT).sender == node
    return edited


@pytest.mark.parametrize("node", [VICTIM, 4, 2**64 - 1])
@pytest.mark.parametrize(("until", "step"), [("share", "share"), ("consent", "consent"), ("reveal", "reveal")])
def test_request_in_the_name_of_a_node_is_refused(kit, until, step, node) -> None:
    scene = Scene(kit, until)
    assert scene.refusal(step, of_node(scene.message, node)) is Reason.WRONG_SENDER
    scene.federation.ask(VICTIM, step, of_node(scene.message, SERVER))  # the refusal used nothing up


def test_advertise_request_in_the_name_of_a_node_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = pack_advertise(kit.run, 7)
    assert scene.refusal("advertise", of_node(message, 4)) is Reason.WRONG_SENDER
    scene.federation.ask(VICTIM, "advertise", message)


def test_upload_request_in_the_name_of_a_node_is_refused_before_any_work(kit) -> None:
    scene = Scene(kit, "upload")
    with pytest.raises(Refusal) as caught:
        scene.federation.clients[VICTIM].task(of_node(scene.message, 4))
    assert caught.value.reason is Reason.WRONG_SENDER
    scene.upload(VICTIM, scene.message)


def test_cohort_on_board_in_the_name_of_a_node_is_refused(kit) -> None:
    scene = Scene(kit, "upload")
    collect = Collect.parse(scene.message, LIMIT)
    message = replace(collect, cohort=of_node(collect.cohort, 4)).pack()
    assert scene.refusal_of_upload(message) is Reason.WRONG_SENDER
