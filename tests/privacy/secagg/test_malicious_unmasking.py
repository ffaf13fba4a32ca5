"""A server that deviates about the survivors: nothing is revealed for a partition that a threshold did not sign."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Unmask
from fedrec.privacy.secagg.setup_messages import pack_advertise
from tests.privacy.secagg.scene import LIMIT, VICTIM, Scene, survivors

# The survivors


def test_request_for_both_kinds_of_share_is_refused(kit) -> None:
    scene = Scene(kit, "consent")
    assert scene.refusal("consent", survivors(scene, both=[4])) is Reason.ALIVE_AND_DEAD


def test_survivors_without_oneself_are_refused(kit) -> None:
    scene = Scene(kit, "consent")
    assert scene.refusal("consent", survivors(scene, dead=[VICTIM - 1])) is Reason.NOT_ALIVE_MYSELF


def test_sum_over_too_few_is_refused(kit) -> None:
    scene = Scene(kit, "consent", policy=kit.strict(min_cohort=6))
    assert scene.refusal("consent", survivors(scene, dead=[5])) is Reason.SURVIVORS_TOO_FEW


def test_survivors_with_too_few_neighbours_are_refused(kit) -> None:
    scene = Scene(kit, "consent")
    assert scene.refusal("consent", survivors(scene, dead=[3, 4, 5])) is Reason.NEIGHBOURS_TOO_FEW


def test_neighbour_that_vanishes_after_sharing_is_refused(kit) -> None:
    scene = Scene(kit, "consent")
    assert scene.refusal("consent", survivors(scene, vanished=[4])) is Reason.SURVIVORS_INCONSISTENT


def test_second_set_of_survivors_is_refused(kit) -> None:
    scene = Scene(kit, "consent")
    scene.federation.ask(VICTIM, "consent", scene.message)
    assert scene.refusal("consent", survivors(scene, dead=[5])) is Reason.STEP_REPEATED


def split_view(kit, odd_one_out: bool):
    """Client 2 is shown client 6 alive, all others are shown it dead; the honest relay of their consents to 2."""
    scene = Scene(kit, "consent")
    lie = survivors(scene, dead=[5])
    consents = {}
    for node in (1, 2, 3, 4, 5):
        shown = scene.message if node == VICTIM and odd_one_out else lie
        scene.federation.ask(node, "consent", shown)
        consents[node] = scene.federation.received[-1][-64:]
    del consents[VICTIM]
    return scene, Unmask(kit.run, 1, consents).pack()


def test_split_survivor_sets_are_refused(kit) -> None:
    scene, message = split_view(kit, odd_one_out=True)
    assert scene.refusal("reveal", message) is Reason.CONSENTS_TOO_FEW


def test_same_survivor_set_for_all_is_answered(kit) -> None:
    scene, message = split_view(kit, odd_one_out=False)
    scene.federation.ask(VICTIM, "reveal", message)


def test_different_models_for_different_clients_are_refused(kit) -> None:
    # Every client hashes what it was sent; nobody reveals unless a threshold was sent the same.
    scene = Scene(kit, "upload")
    for node, message in scene.messages.items():
        words = kit.vector(node, 1, scene.federation.task)
        context = hashlib.sha256(b"a special model").digest() if node == VICTIM else kit.context
        scene.collecting.receive(scene.federation.ask(node, "upload", message, words, context))
    consenting = scene.collecting.close()
    for node in scene.federation.nodes:
        consenting.receive(scene.federation.ask(node, "consent", consenting.request()))
    assert scene.refusal("reveal", consenting.close().requests()[VICTIM]) is Reason.CONSENTS_TOO_FEW


# The consents


def test_unmasking_with_too_few_consents_is_refused(kit) -> None:
    scene = Scene(kit, "reveal")
    unmask = Unmask.parse(scene.message, LIMIT)
    few = dict(list(unmask.consents.items())[:3])
    assert scene.refusal("reveal", replace(unmask, consents=few).pack()) is Reason.CONSENTS_TOO_FEW


def test_consents_of_the_servers_own_making_are_refused(kit) -> None:
    scene = Scene(kit, "reveal")
    unmask = Unmask.parse(scene.message, LIMIT)
    forged = {node: kit.identity(99).sign(signature) for node, signature in unmask.consents.items()}
    assert scene.refusal("reveal", replace(unmask, consents=forged).pack()) is Reason.CONSENTS_TOO_FEW


def test_consents_of_strangers_do_not_count(kit) -> None:
    scene = Scene(kit, "reveal", on_ring=True)
    unmask = Unmask.parse(scene.message, LIMIT)
    strangers = {
        node: consent
        for message in scene.messages.values()
        for node, consent in Unmask.parse(message, LIMIT).consents.items()
        if node not in unmask.consents
    }
    assert len(strangers) > 40
    assert scene.refusal("reveal", replace(unmask, consents=strangers).pack()) is Reason.CONSENTS_TOO_FEW


def test_unmasking_without_consent_step_is_refused(kit) -> None:
    scene = Scene(kit, "consent")
    assert scene.refusal("reveal", Unmask(kit.run, 1, {}).pack()) is Reason.OUT_OF_ORDER


def test_second_unmasking_of_a_round_is_refused_for_ever(kit) -> None:
    scene = Scene(kit, "reveal")
    scene.federation.ask(VICTIM, "reveal", scene.message)
    assert scene.refusal("reveal", scene.message) is Reason.ROUND_CLOSED
    stored = scene.federation.clients[VICTIM].to_bytes()
    scene.federation.clients[VICTIM] = ClientRunState.from_bytes(stored, scene.federation.clients[VICTIM].party)
    assert scene.refusal("reveal", scene.message) is Reason.ROUND_CLOSED


def test_round_cannot_be_advertised_again_after_it_was_opened(kit) -> None:
    scene = Scene(kit, "reveal")
    scene.federation.ask(VICTIM, "reveal", scene.message)
    assert scene.refusal("advertise", pack_advertise(kit.run, 1)) is Reason.ROUND_CLOSED
