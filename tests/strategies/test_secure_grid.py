"""Secure sums through Flower messages: the same results as plain sums, and nothing plain on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from fedrec.client.party import pin_roster
from fedrec.client.store import TenantStore, create_store
from fedrec.content.features import catalogue_features
from fedrec.errors import RoundFailed
from fedrec.messages import ARRAYS, BODY, EXPECT, REFUSAL, SECAGG, read_sealed
from fedrec.models import EASE, Popularity
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Roster
from fedrec.privacy.secagg.wire import Kind, peek
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.server.run import run
from fedrec.simulations.grid import SERVER_NODE_ID, InProcessGrid
from fedrec.simulations.tenancy import create_roster
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import config_of, grid_of, rows_of

ROWS = [
    {"ann": "abcd", "bob": "bcde"},
    {"cat": "abce", "dan": "cdef"},
    {"eve": "fedc", "fay": "acef"},
    {"gus": "bdfa", "hal": "abcf"},
    {"ida": "edcb", "jon": "fabc"},
]
POLICY = Policy(min_cohort=3, min_degree=2)


def five_tenants(folder: Path) -> tuple[list[TenantStore], Roster]:
    stores = [create_store(folder / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(ROWS)]
    roster = create_roster(stores, folder / "roster.txt")
    for store in stores:
        pin_roster(store.folder, roster, POLICY)
    return stores, roster


def kind_of(message: Message) -> Kind | None:
    """Which step of the protocol a message is, in either direction."""
    if message.has_error() or SECAGG not in message.content:
        return None
    return peek(read_sealed(message.content)[0], 1 << 30).kind


class Federation:
    """Five tenants behind a secure grid; `lost` decides which messages are lost."""

    def __init__(
        self, folder: Path, lost: Callable[[Message], bool] = lambda message: False, **federation: object
    ) -> None:
        self.folder = folder
        self.stores, roster = five_tenants(folder / "tenants")
        self.wire: list[Message] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.lost = lost
        config = config_of(federation={"secure_aggregation": True, "min_tenants": 3, **federation})
        self.grid = SecureGrid(
            grid_of(self.stores, self._watched),
            roster,
            groups=config.federation.groups,
            listener=lambda event, fields: self.events.append((event, dict(fields))),
        )
        self.exchange = Exchange(self.grid, config, EventLog(folder / "events.jsonl"))
        self.items = catalogue_features(self.stores[0].dataset().catalogue)

    def popularity(self) -> list[float]:
        weights = fit_federated(self.exchange, {"popularity": Popularity()}, self.items, "final")
        return weights["popularity"]["popularity"].tolist()

    def counts(self, tenants: list[int]) -> list[float]:
        kept = [row[:-1] for n in tenants for row in ROWS[n].values()]
        return [float(sum(item in row for row in kept)) for item in "abcdef"]

    def _watched(self, message: Message) -> bool:
        self.wire.append(message)
        return self.lost(message)


def node_of(message: Message) -> int:
    return message.metadata.src_node_id if message.metadata.reply_to_message_id else message.metadata.dst_node_id


def test_a_run_under_masks_has_the_results_of_a_plain_run(tmp_path):
    secure = Federation(tmp_path / "secure")
    run(secure.exchange, secure.stores[0].dataset().catalogue, tmp_path / "secure" / "server")
    stores = [create_store(tmp_path / "plain" / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(ROWS)]
    plain = Exchange(grid_of(stores), config_of(federation={"min_tenants": 3}), EventLog(tmp_path / "plain.jsonl"))
    run(plain, stores[0].dataset().catalogue, tmp_path / "plain" / "server")
    read = [json.loads((tmp_path / kind / "server" / "server.json").read_text()) for kind in ("secure", "plain")]
    assert read[0] == read[1]


def test_only_allowed_records_cross_the_wire_and_no_reply_is_plain(tmp_path):
    federation = Federation(tmp_path)
    run(federation.exchange, federation.stores[0].dataset().catalogue, tmp_path / "server")
    down = [message.content for message in federation.wire if not message.metadata.reply_to_message_id]
    up = [message.content for message in federation.wire if message.metadata.reply_to_message_id]
    assert {frozenset(content) for content in down} == {frozenset({SECAGG}), frozenset({BODY, ARRAYS, EXPECT, SECAGG})}
    assert {frozenset(content) for content in up} == {frozenset({SECAGG})}


def test_in_the_steady_state_a_round_is_three_messages_per_client(tmp_path):
    federation = Federation(tmp_path)
    federation.popularity()
    federation.wire.clear()
    federation.popularity()
    kinds = [kind_of(m) for m in federation.wire if m.metadata.reply_to_message_id and node_of(m) == 100]
    assert kinds == [Kind.UPLOAD, Kind.CONSENT, Kind.REVEAL]


def test_a_masked_upload_does_not_repeat_and_does_not_show_the_counts(tmp_path):
    federation = Federation(tmp_path)
    federation.popularity()
    federation.popularity()
    uploads = [read_sealed(m.content)[0] for m in federation.wire if kind_of(m) is Kind.UPLOAD and node_of(m) == 100]
    plain = np.array(federation.counts([0]), np.uint32).tobytes()
    assert len(uploads) == 2
    assert uploads[0] != uploads[1]
    assert not [upload for upload in uploads if plain in upload]


@pytest.mark.parametrize("kind", [Kind.ADVERT, Kind.SHARES])
def test_a_client_lost_before_it_shared_is_left_out_and_comes_back(tmp_path, kind):
    federation = Federation(tmp_path, lost=lambda m: kind_of(m) is kind and node_of(m) == 104)
    assert federation.popularity() == federation.counts([0, 1, 2, 3])
    federation.lost = lambda message: False
    for _ in range(3):
        last = federation.popularity()
    assert last == federation.counts([0, 1, 2, 3, 4])


def test_a_client_that_comes_back_is_asked_while_the_others_upload(tmp_path):
    """It costs the round no exchange of its own, for whose end everybody would wait if it is gone again."""
    federation = Federation(tmp_path, lost=lambda m: kind_of(m) is Kind.UPLOAD and node_of(m) == 104)
    federation.popularity()
    exchanges = []
    carry = federation.grid._grid.send_and_receive
    federation.grid._grid.send_and_receive = lambda messages, **options: (
        exchanges.append({node_of(m): kind_of(m) for m in messages}) or carry(messages, **options)
    )
    federation.popularity()
    others = dict.fromkeys(range(100, 104), Kind.COLLECT)
    assert exchanges[0] == {**others, 104: Kind.ADVERTISE}
    assert len(exchanges) == 3


def test_a_client_lost_at_its_upload_is_left_out_of_the_sum(tmp_path):
    federation = Federation(tmp_path, lost=lambda m: kind_of(m) is Kind.UPLOAD and node_of(m) == 102)
    assert federation.popularity() == federation.counts([0, 1, 3, 4])
    (told,) = [fields for event, fields in federation.events if event == "secure-sum"]
    sizes = {"cohort": 5, "degree": 4, "threshold": 3, "alive": 4}
    assert told == {**sizes, "members": [1, 2, 4, 5], "dropped": [3]}


def test_a_node_of_which_flower_says_that_it_is_gone_did_not_answer(tmp_path, monkeypatch):
    """The SuperLink answers for it, in its own name: that is nobody's refusal."""
    federation = Federation(tmp_path)
    deliver = InProcessGrid.deliver

    def gone(grid: InProcessGrid, message: Message) -> Message | None:
        reply = deliver(grid, message)
        if message.metadata.dst_node_id != 102:
            return reply
        answer = Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)
        answer.metadata.__dict__["_src_node_id"] = SERVER_NODE_ID
        return answer

    monkeypatch.setattr(InProcessGrid, "deliver", gone)
    assert federation.popularity() == federation.counts([0, 1, 3, 4])
    told = {event: fields["node"] for event, fields in federation.events if event in ("refused", "no-answer")}
    assert told == {"no-answer": 102}


@pytest.mark.parametrize("kind", [Kind.CONSENT, Kind.REVEAL])
def test_a_client_lost_after_its_upload_stays_in_the_sum(tmp_path, kind):
    federation = Federation(tmp_path, lost=lambda m: kind_of(m) is kind and node_of(m) == 101)
    assert federation.popularity() == federation.counts([0, 1, 2, 3, 4])


@pytest.mark.parametrize("kind", [Kind.ADVERT, Kind.SHARES, Kind.UPLOAD, Kind.CONSENT, Kind.REVEAL])
def test_below_the_threshold_the_round_fails_and_the_next_one_is_right(tmp_path, kind):
    federation = Federation(tmp_path, lost=lambda m: kind_of(m) is kind and node_of(m) > 101)
    with pytest.raises(RoundFailed):
        federation.popularity()
    federation.lost = lambda message: False
    assert federation.popularity() == federation.counts([0, 1, 2, 3, 4])


def test_a_tenant_with_an_identity_declines_a_plain_request(tmp_path):
    stores, _ = five_tenants(tmp_path / "tenants")
    plain = Exchange(grid_of(stores), config_of(), EventLog(tmp_path / "events.jsonl"))
    with pytest.raises(RoundFailed, match="node 100: plain-request"):
        fit_federated(plain, {"popularity": Popularity()}, catalogue_features(stores[0].dataset().catalogue), "final")


def test_the_tenants_own_policy_is_the_last_word(tmp_path):
    federation = Federation(tmp_path)
    for store in federation.stores:
        pin_roster(
            store.folder, Roster.from_text((tmp_path / "tenants" / "roster.txt").read_text()), Policy(min_cohort=6)
        )
    with pytest.raises(RoundFailed):
        federation.popularity()
    reasons = {fields.get("reason") for event, fields in federation.events if event == "refused"}
    assert reasons == {"cohort-too-small"}


def test_clients_that_were_told_different_things_do_not_open_the_sum(tmp_path):
    """The server sends one tenant another model: what the others sign is not what that tenant signs."""

    def tamper(message: Message) -> bool:
        if not message.metadata.reply_to_message_id and node_of(message) > 101 and EXPECT in message.content:
            body = dict(message.content[BODY])
            message.content[BODY] = type(message.content[BODY])({"json": str(body["json"]) + " "})
        return False

    federation = Federation(tmp_path, lost=tamper)
    with pytest.raises(RoundFailed):
        federation.popularity()
    reasons = {fields.get("reason") for event, fields in federation.events if event == "refused"}
    assert reasons == {"consents-too-few"}


def test_groups_give_one_sum_each_and_the_same_total(tmp_path):
    stores = [create_store(tmp_path / "t" / f"tenant-{n}", rows_of(ROWS[n % 5])) for n in range(6)]
    roster = create_roster(stores, tmp_path / "roster.txt")
    for store in stores:
        pin_roster(store.folder, roster, POLICY)
    grid = SecureGrid(grid_of(stores), roster, groups=2)
    exchange = Exchange(grid, config_of(federation={"secure_aggregation": True, "groups": 2}), EventLog(tmp_path / "e"))
    items = catalogue_features(stores[0].dataset().catalogue)
    weights = fit_federated(exchange, {"popularity": Popularity()}, items, "final")
    kept = [row[:-1] for n in (0, 1, 2, 3, 4, 0) for row in ROWS[n].values()]
    assert weights["popularity"]["popularity"].tolist() == [float(sum(i in row for row in kept)) for i in "abcdef"]
    end = json.loads((tmp_path / "e").read_text().splitlines()[-1])
    assert end["clients"] == 6


def test_a_refusal_of_the_app_reaches_the_operator_by_its_reason(tmp_path):
    federation = Federation(tmp_path, max_users_per_tenant=1)
    with pytest.raises(RoundFailed):
        federation.popularity()
    assert {fields.get("reason") for event, fields in federation.events if event == "refused"} == {"capacity-exceeded"}


def test_gram_sums_stay_exact_under_masks(tmp_path):
    federation = Federation(tmp_path)
    masked = fit_federated(federation.exchange, {"ease": EASE(l2=1.0)}, federation.items, "final")
    stores = [create_store(tmp_path / "plain" / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(ROWS)]
    plain = Exchange(grid_of(stores), config_of(), EventLog(tmp_path / "plain.jsonl"))
    expected = fit_federated(plain, {"ease": EASE(l2=1.0)}, federation.items, "final")
    np.testing.assert_array_equal(masked["ease"]["item_weights"], expected["ease"]["item_weights"])
    assert not [message for message in federation.wire if not message.has_error() and REFUSAL in message.content]


def test_a_damaged_identity_fails_closed_and_names_no_path(tmp_path):
    federation = Federation(tmp_path)
    (federation.stores[4].folder / "secagg" / "identity.key").write_text("damaged")
    assert federation.popularity() == federation.counts([0, 1, 2, 3])
    refused = [fields for event, fields in federation.events if event == "refused"]
    assert {fields["reason"] for fields in refused} == {"ConfigError"}
    assert not [fields for fields in refused if str(tmp_path) in str(fields["detail"])]


def test_a_bound_that_the_server_understates_is_refused_by_the_client(tmp_path):
    """The policy's largest bound would be worth nothing if it were checked against what the server says."""

    def understate(message: Message) -> bool:
        if not message.metadata.reply_to_message_id and EXPECT in message.content:
            (payload,) = read_sealed(message.content)
            told.append(payload)
        return False

    told: list[bytes] = []
    federation = Federation(tmp_path, lost=understate)
    federation.grid.task_of = lambda message: replace(SecureGrid.task_of(federation.grid, message), bound=0.5)
    with pytest.raises(RoundFailed):
        federation.popularity()
    assert told
    assert {fields.get("reason") for event, fields in federation.events if event == "refused"} == {"bound-understated"}
