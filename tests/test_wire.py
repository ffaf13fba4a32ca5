"""What leaves a tenant, read off the wire: an allow-list, checked on every reply of a whole run."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from fedrec.content.features import catalogue_features
from fedrec.errors import ProtocolError, Refusal, RoundFailed
from fedrec.messages import ARRAYS, BODY, REFUSAL, SUMMED, WORDS, ContributeBody, read_answer, read_instruction
from fedrec.models import Popularity
from fedrec.server.fitting import fit_federated
from fedrec.server.run import run
from tests.federation import config_of, exchange_of, grid_of, two_tenants

USERS = ("ann", "bob", "cat", "dan", "eve", "fay", "gus")


def replies_of_a_run(tmp_path) -> list[RecordDict]:
    replies: list[RecordDict] = []

    def watch(message: Message) -> bool:
        if message.metadata.reply_to_message_id:
            replies.append(message.content)
        return False

    stores = two_tenants(tmp_path / "tenants")
    exchange = exchange_of(grid_of(stores, lost=watch), config_of(), tmp_path)
    run(exchange, stores[0].dataset().catalogue, tmp_path / "server")
    return replies


def test_a_reply_holds_two_word_arrays_and_nothing_else(tmp_path):
    replies = replies_of_a_run(tmp_path)
    assert len(replies) > 8
    for content in replies:
        assert set(content) == {WORDS}
        assert {name: array.dtype for name, array in content[WORDS].items()} == {"u32": "uint32", "u64": "uint64"}


def test_no_user_id_is_on_the_wire(tmp_path):
    for content in replies_of_a_run(tmp_path):
        raw = b"".join(array.data for array in content[WORDS].values())
        assert not [user for user in USERS if user.encode() in raw]


def test_the_length_of_a_reply_does_not_depend_on_the_rows(tmp_path):
    sizes = [sum(len(a.data) for a in content[WORDS].values()) for content in replies_of_a_run(tmp_path)]
    assert sizes[0::2] == sizes[1::2]


def test_the_text_of_an_error_stays_with_the_tenant(tmp_path):
    stores = two_tenants(tmp_path / "tenants")
    (stores[0].folder / "rows" / "dataset.json").write_text('{"secret of ann": 1}')
    seen: list[RecordDict] = []

    def watch(message: Message) -> bool:
        seen.append(message.content)
        return False

    exchange = exchange_of(grid_of(stores, lost=watch), config_of(federation={"min_tenants": 1}), tmp_path)

    items = catalogue_features(stores[1].dataset().catalogue)
    fit_federated(exchange, {"popularity": Popularity()}, items, "final")
    (declined,) = [content for content in seen if REFUSAL in content]
    assert dict(declined[REFUSAL]) == {"reason": "DataError", "detail": "the tenant's own log says more"}


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({BODY: ConfigRecord({"json": "{}"})}),
        RecordDict({BODY: ConfigRecord({"json": "not json"}), ARRAYS: ArrayRecord()}),
        RecordDict({BODY: ConfigRecord({"json": '{"protocol": 2}'}), ARRAYS: ArrayRecord()}),
        RecordDict({BODY: ConfigRecord({"json": 7}), ARRAYS: ArrayRecord()}),
        RecordDict({BODY: ArrayRecord(), ARRAYS: ArrayRecord()}),
    ],
)
def test_what_is_no_instruction_is_refused(content, tmp_path):
    grid_of(two_tenants(tmp_path))  # sets the identity that a Message needs
    message = Message(content, dst_node_id=1, message_type="train.contribute")
    with pytest.raises(ProtocolError):
        read_instruction(message, ContributeBody)


@pytest.mark.parametrize(
    ("u32", "u64"),
    [
        (np.zeros(3, np.float64), np.zeros(0, np.uint64)),
        (np.zeros(3, np.uint64), np.zeros(0, np.uint64)),
        (np.zeros(3, np.uint32), np.zeros(0, np.int64)),
    ],
)
def test_words_of_another_type_are_refused(u32, u64):
    with pytest.raises(ProtocolError, match="uint32"):
        read_answer(RecordDict({WORDS: ArrayRecord({"u32": Array(u32), "u64": Array(u64)})}))


def test_a_refusal_is_read_with_its_reason():
    content = RecordDict({REFUSAL: ConfigRecord({"reason": "capacity-exceeded", "detail": "too many"})})
    with pytest.raises(Refusal) as caught:
        read_answer(content)
    assert caught.value.reason == "capacity-exceeded"


def test_a_client_cannot_pass_its_reply_off_as_a_sum_of_many(tmp_path):
    """Only the server's own aggregation layer may say how many clients a reply holds."""
    stores = two_tenants(tmp_path)

    def forge(message: Message) -> bool:
        if message.metadata.src_node_id == 100 and message.metadata.reply_to_message_id:
            message.content[SUMMED] = ConfigRecord({"clients": 50})
        return message.metadata.dst_node_id == 101

    exchange = exchange_of(grid_of(stores, lost=forge), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    with pytest.raises(RoundFailed, match="0 usable replies"):
        fit_federated(exchange, {"popularity": Popularity()}, items, "final")
