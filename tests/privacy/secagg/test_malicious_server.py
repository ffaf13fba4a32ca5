"""A server that deviates before the survivors are known: each deviation is refused under a typed reason.

Every case is one edit of an honest server's message or order; without it the client goes on, as the control at the end
shows. What a server may try with survivors and consents is in test_malicious_unmasking.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedrec.errors import ConfigError, Refusal
from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.graph import Parameters, ring
from fedrec.privacy.secagg.keys import Agreement
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Collect, Task
from fedrec.privacy.secagg.setup_messages import Cohort, pack_advertise
from tests.privacy.secagg.scene import LIMIT, VICTIM, Scene, changed

# Setup: the cohort message


def test_swapped_mask_key_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    own_key_of_the_server = Agreement.generate().public
    message = changed(Cohort.parse(scene.message, LIMIT), 4, mask=own_key_of_the_server)
    assert scene.refusal("share", message) is Reason.ADVERT_SIGNATURE


def test_swapped_transport_key_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = changed(Cohort.parse(scene.message, LIMIT), 4, transport=Agreement.generate().public)
    assert scene.refusal("share", message) is Reason.ADVERT_SIGNATURE


def test_own_advert_exchanged_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = changed(Cohort.parse(scene.message, LIMIT), VICTIM, mask=Agreement.generate().public)
    assert scene.refusal("share", message) is Reason.OWN_ADVERT_CHANGED


def test_cohort_without_oneself_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    cohort = Cohort.parse(scene.message, LIMIT)
    others = cohort.adverts[cohort.adverts["node"] != VICTIM]
    message = replace(cohort, adverts=others, degree=4, threshold=4).pack()
    assert scene.refusal("share", message) is Reason.OWN_ADVERT_CHANGED


def test_replayed_advert_of_an_earlier_round_is_refused(kit) -> None:
    federation = kit.complete(5)
    federation.round()
    old = federation.server._sharing.plan.cohort.adverts  # round 3, signed by all
    federation.round()
    new = federation.server._sharing.plan.cohort  # round 4
    spliced = new.adverts.copy()
    spliced[4] = old[4]
    with pytest.raises(Refusal) as caught:
        federation.ask(VICTIM, "share", replace(new, adverts=spliced).pack())
    assert caught.value.reason is Reason.REPLAYED_ADVERT


def test_replayed_advert_under_the_new_round_number_is_refused(kit) -> None:
    federation = kit.complete(5)
    federation.round()
    old = federation.server._sharing.plan.cohort.adverts
    federation.round()
    new = federation.server._sharing.plan.cohort
    spliced = new.adverts.copy()
    spliced[4] = old[4]
    spliced["round"][4] = new.round_id
    with pytest.raises(Refusal) as caught:
        federation.ask(VICTIM, "share", replace(new, adverts=spliced).pack())
    assert caught.value.reason is Reason.ADVERT_SIGNATURE


def test_shrunken_cohort_is_refused(kit) -> None:
    scene = Scene(kit, "share", num_clients=6, policy=kit.strict(min_cohort=6))
    cohort = Cohort.parse(scene.message, LIMIT)
    message = replace(cohort, adverts=cohort.adverts[:5], degree=4, threshold=4).pack()
    assert scene.refusal("share", message) is Reason.COHORT_TOO_SMALL


def test_cohort_padded_beyond_the_policy_is_refused(kit) -> None:
    scene = Scene(kit, "share", num_clients=6, policy=kit.strict(max_cohort=5))
    assert scene.refusal("share", scene.message) is Reason.COHORT_TOO_LARGE


def test_cohort_of_strangers_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    cohort = Cohort.parse(scene.message, LIMIT)
    adverts = cohort.adverts.copy()
    adverts["node"][-1] = 99
    assert scene.refusal("share", replace(cohort, adverts=adverts).pack()) is Reason.UNKNOWN_NODE


def test_one_client_entered_twice_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    cohort = Cohort.parse(scene.message, LIMIT)
    adverts = cohort.adverts.copy()
    adverts[-1] = adverts[-2]
    assert scene.refusal("share", replace(cohort, adverts=adverts).pack()) is Reason.DUPLICATE


def test_forged_roster_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    forged = kit.roster((1, 2, 3, 4, 5, 6, 7)).digest
    message = replace(Cohort.parse(scene.message, LIMIT), roster_digest=forged).pack()
    assert scene.refusal("share", message) is Reason.FORGED_ROSTER


def test_stale_transport_key_is_refused(kit) -> None:
    federation = kit.complete(4)
    impatient = replace(federation.clients[VICTIM].party, policy=kit.strict(key_lifetime=2))
    federation.clients[VICTIM] = ClientRunState.start(impatient)
    federation.round()
    with pytest.raises(Refusal) as caught:
        federation.round()  # the cohort of round 3 is on board, with transport keys of round 1
    assert caught.value.reason is Reason.STALE_KEY


def test_transport_key_from_the_future_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = changed(Cohort.parse(scene.message, LIMIT), 4, since=2)
    assert scene.refusal("share", message) is Reason.STALE_KEY


def test_lowered_threshold_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = replace(Cohort.parse(scene.message, LIMIT), threshold=2).pack()
    assert scene.refusal("share", message) is Reason.THRESHOLD_TOO_LOW


def test_threshold_beyond_the_holders_is_refused(kit) -> None:
    scene = Scene(kit, "share")
    message = replace(Cohort.parse(scene.message, LIMIT), threshold=6).pack()
    assert scene.refusal("share", message) is Reason.THRESHOLD_TOO_HIGH


@pytest.mark.parametrize(("on_ring", "degree"), [(False, 4), (False, 2), (True, 10), (True, 13), (True, 0)])
def test_thinned_graph_is_refused(kit, on_ring, degree) -> None:
    scene = Scene(kit, "share", on_ring=on_ring, policy=kit.strict(min_degree=12))
    message = replace(Cohort.parse(scene.message, LIMIT), degree=degree, threshold=degree).pack()
    assert scene.refusal("share", message) is Reason.DEGREE_TOO_SMALL


def test_threshold_lowered_for_one_client_alone_is_found_by_its_neighbours(kit) -> None:
    # Both thresholds satisfy the policy, but shares are sealed under the digest of all that was agreed.
    scene = Scene(kit, "share")
    lowered = replace(Cohort.parse(scene.message, LIMIT), threshold=3).pack()
    for node, message in scene.messages.items():
        reply = scene.federation.ask(node, "share", lowered if node == VICTIM else message)
        scene.federation.server.receive(reply)
    scene.federation.server.prepare()
    collecting = scene.federation.server.collect(scene.federation.task)
    message = collecting.requests()[5]
    with pytest.raises(Refusal) as caught:
        scene.upload(5, message)
    assert caught.value.reason is Reason.SHARE_TAMPERED


# The upload request


def test_servers_own_graph_is_refused(kit) -> None:
    scene = Scene(kit, "upload", on_ring=True)
    collect = Collect.parse(scene.message, LIMIT)
    stranger = next(node for node in scene.federation.nodes if node not in collect.inbox and node != VICTIM)
    inbox = {**collect.inbox, stranger: next(iter(collect.inbox.values()))}
    assert scene.refusal_of_upload(replace(collect, inbox=inbox).pack()) is Reason.NOT_A_NEIGHBOUR


def test_shares_of_too_few_neighbours_are_refused(kit) -> None:
    scene = Scene(kit, "upload")
    collect = Collect.parse(scene.message, LIMIT)
    inbox = dict(list(collect.inbox.items())[:2])
    assert scene.refusal_of_upload(replace(collect, inbox=inbox).pack()) is Reason.TOO_FEW_SHARES


def test_shares_of_two_neighbours_exchanged_are_refused(kit) -> None:
    scene = Scene(kit, "upload")
    collect = Collect.parse(scene.message, LIMIT)
    inbox = {**collect.inbox, 4: collect.inbox[5], 5: collect.inbox[4]}
    assert scene.refusal_of_upload(replace(collect, inbox=inbox).pack()) is Reason.SHARE_TAMPERED


def test_share_changed_on_the_way_is_refused(kit) -> None:
    scene = Scene(kit, "upload")
    collect = Collect.parse(scene.message, LIMIT)
    sealed = bytearray(collect.inbox[4])
    sealed[20] ^= 1
    inbox = {**collect.inbox, 4: bytes(sealed)}
    assert scene.refusal_of_upload(replace(collect, inbox=inbox).pack()) is Reason.SHARE_TAMPERED


def test_shares_of_another_round_are_refused(kit) -> None:
    federation = kit.complete(5)
    federation.invite()
    old = Collect.parse(federation.server.collect(federation.task).requests()[VICTIM], LIMIT).inbox
    federation.invite()
    new = Collect.parse(federation.server.collect(federation.task).requests()[VICTIM], LIMIT)
    with pytest.raises(Refusal) as caught:
        federation.clients[VICTIM].task(replace(new, inbox=old).pack())
    assert caught.value.reason is Reason.SHARE_TAMPERED


def test_oversized_vector_is_refused_before_any_work(kit) -> None:
    scene = Scene(kit, "upload", policy=kit.strict(max_vector_length=8))
    for task in (Task(9, 0, 1.0), Task(0, 9, 1.0), Task(5, 4, 1.0)):
        message = replace(Collect.parse(scene.message, LIMIT), task=task).pack()
        with pytest.raises(Refusal) as caught:
            scene.federation.clients[VICTIM].task(message)
        assert caught.value.reason is Reason.VECTOR_TOO_LONG


@pytest.mark.parametrize("bound", [2.5, 0.0, -1.0])
def test_loosened_clip_bound_is_refused(kit, bound) -> None:
    scene = Scene(kit, "upload", policy=kit.strict(max_bound=2.0))
    message = replace(Collect.parse(scene.message, LIMIT), task=Task(5, 3, bound)).pack()
    assert scene.refusal_of_upload(message) is Reason.BOUND_TOO_LARGE


def test_second_upload_of_a_round_is_refused(kit) -> None:
    scene = Scene(kit, "upload")
    scene.upload(VICTIM, scene.message)
    assert scene.refusal_of_upload(scene.message) is Reason.STEP_REPEATED


def test_shrunken_cohort_on_board_of_the_upload_request_is_refused(kit) -> None:
    scene = Scene(kit, "upload", policy=kit.strict(min_cohort=6))
    collect = Collect.parse(scene.message, LIMIT)
    cohort = Cohort.parse(collect.cohort, LIMIT)
    shrunken = replace(cohort, adverts=cohort.adverts[:5], degree=4, threshold=4).pack()
    assert scene.refusal_of_upload(replace(collect, cohort=shrunken).pack()) is Reason.COHORT_TOO_SMALL
    scene.upload(VICTIM, scene.message)  # the refusal used nothing up


# Wrong place


def test_round_that_the_client_never_entered_is_refused(kit) -> None:
    scene = Scene(kit, "upload")
    message = replace(Collect.parse(scene.message, LIMIT), round_id=77).pack()
    assert scene.refusal_of_upload(message) is Reason.WRONG_ROUND


def test_request_of_another_run_is_refused(kit) -> None:
    for until, step in (("share", "share"), ("consent", "consent"), ("reveal", "reveal")):
        scene = Scene(kit, until)
        message = bytearray(scene.message)
        message[8:24] = bytes(16)
        assert scene.refusal(step, bytes(message)) is Reason.WRONG_RUN


def test_advert_for_a_round_is_made_once(kit) -> None:
    scene = Scene(kit, "share")
    assert scene.refusal("advertise", pack_advertise(kit.run, 2)) is Reason.STEP_REPEATED


def test_message_beyond_the_stated_maximum_is_refused(kit) -> None:
    scene = Scene(kit, "share", policy=kit.strict(max_cohort=10))
    too_long = scene.message + bytes(scene.federation.clients[VICTIM].party.policy.max_request_bytes)
    assert scene.refusal("share", too_long) is Reason.OVERSIZED


def test_state_object_cannot_be_used_twice(kit) -> None:
    scene = Scene(kit, "share")
    client = scene.federation.clients[VICTIM]
    client.share(scene.message)
    with pytest.raises(Refusal) as caught:
        client.share(scene.message)
    assert caught.value.reason is Reason.STATE_USED


def test_roster_that_does_not_pin_oneself_is_refused(kit) -> None:
    with pytest.raises(ConfigError, match="pin"):
        Party(kit.identity(5), 2, kit.roster((1, 2)), kit.policy, kit.run)


@pytest.mark.parametrize("on_ring", [False, True])
def test_honest_server_is_answered_at_every_step(kit, on_ring) -> None:
    for until, step in (("share", "share"), ("consent", "consent"), ("reveal", "reveal")):
        scene = Scene(kit, until, on_ring=on_ring)
        scene.federation.ask(VICTIM, step, scene.message)
    scene = Scene(kit, "upload", on_ring=on_ring)
    scene.upload(VICTIM, scene.message)


def test_graph_follows_from_the_adverts_and_nothing_else(kit) -> None:
    scene = Scene(kit, "share", on_ring=True)
    cohort = Cohort.parse(scene.message, LIMIT)
    scene.federation.ask(VICTIM, "share", scene.message)
    view = scene.federation.clients[VICTIM].rounds[1].view
    assert view.neighbours == ring(cohort.nodes, cohort.degree, cohort.digest()).of(VICTIM)
    other = replace(cohort, threshold=cohort.threshold + 1)
    assert ring(cohort.nodes, cohort.degree, other.digest()).of(VICTIM) != view.neighbours
    assert Parameters(cohort.degree, cohort.threshold) == Parameters(12, 8)
