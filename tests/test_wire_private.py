"""What is private to a tenant never enters a message: its own weights, and by what and how it chose what serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.kept import kept_test, read_arrays
from fedrec.client.local_training import PRIVATE
from fedrec.client.store import TenantStore
from fedrec.contribution import joined
from fedrec.messages import ARRAYS, BODY, SECAGG, WORDS, ScoreBody, part, ranking_protocol, read_instruction
from fedrec.metrics import MetricSums
from fedrec.models import create
from fedrec.models.neural import NEURAL
from fedrec.models.neural.protocol import CONTENT, ENCODER, POPULARITY, RESIDUAL, RUN
from fedrec.privacy.release import release_of
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.run import run
from fedrec.strategies.local_updates import TRAIN
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import config_of, exchange_of, grid_of, two_tenants
from tests.strategies.test_secure_grid import five_tenants

TRAINING = {"rounds": 2, "alone_epochs": 1, "tuning_epochs": 1, "local": {"batch_size": 2}}
CODED = {CONTENT, ENCODER, POPULARITY, RUN}


class Run:
    """A whole run of one neural recommender with private residuals over two tenants; the wire is kept."""

    def __init__(self, folder: Path, name: str) -> None:
        self.wire: list[Message] = []
        self.stores = two_tenants(folder / "tenants")
        model = {"name": name, "dim": 4, "max_length": 8, "residual": "private"}
        config = config_of(models=[{"name": "popularity"}, model], training=TRAINING)
        self.folder = folder
        exchange = exchange_of(grid_of(self.stores, self._watched), config, folder)
        run(exchange, self.stores[0].dataset().catalogue, folder / "server")
        self.down = [message for message in self.wire if not message.metadata.reply_to_message_id]
        self.up = {m.metadata.reply_to_message_id: m for m in self.wire if m.metadata.reply_to_message_id}

    def scored(self, arm: str) -> Iterator[tuple[TenantStore, ScoreBody, Message]]:
        """Each tenant, what it was asked to score on test under an arm, and its answer."""
        for message in self.down:
            if "score" in message.metadata.message_type:
                body, _ = read_instruction(message, ScoreBody)
                if (body.arm, body.phase) == (arm, "final"):
                    store = self.stores[message.metadata.dst_node_id - 100]
                    yield store, body, self.up[message.metadata.message_id]

    def _watched(self, message: Message) -> bool:
        self.wire.append(message)
        return False


def private_rows(stores: list[TenantStore]) -> set[bytes]:
    """Every item's residual at every tenant, after each round that was kept in either phase."""
    files = [path for store in stores for path in (store.folder / PRIVATE).iterdir()]
    assert len(files) == 4 * len(stores)
    return {row.tobytes() for path in files for row in read_arrays(path)[RESIDUAL]}


def octets(message: Message) -> bytes:
    arrays = [array.data for record in message.content.array_records.values() for array in record.values()]
    texts = [repr(value).encode() for record in message.content.config_records.values() for value in record.values()]
    return b"".join([*arrays, *texts])


@pytest.mark.parametrize("name", NEURAL)
def test_nothing_but_shared_weights_and_sums_is_ever_sent(tmp_path, name):
    wire = Run(tmp_path, name)
    shared = set(create(name, {"residual": "private"}).shared)
    for message in wire.down:
        names = set(message.content[ARRAYS])
        if message.metadata.message_type == TRAIN:
            assert names <= shared - CODED
            update = sum(array.numpy().size for array in message.content[ARRAYS].values())
            words = wire.up[message.metadata.message_id].content[WORDS]
            assert words["u32"].numpy().size + words["u64"].numpy().size == update + 2  # its weight and its loss
        else:
            assert {n.removeprefix(f"{name}/") for n in names if n.startswith(f"{name}/")} <= shared
    assert {frozenset(reply.content) for reply in wire.up.values()} == {frozenset({WORDS})}
    rows = private_rows(wire.stores)
    assert len(rows) > 40
    assert not [row for message in wire.wire for row in rows if row in octets(message)]


@pytest.fixture(scope="module")
def factorised(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("mf"), "mf")


def test_under_arm_personal_exactly_the_sums_of_the_chosen_arms_are_sent(factorised):
    """Whatever the tenants chose, what they send has one length, and nothing in it says how they chose."""
    answered = list(factorised.scored("personal"))
    assert len(answered) == 2
    for store, body, reply in answered:
        chosen = {label: str(one["arm"]) for label, one in store.results()["personal"].items()}
        parts = {label: part(kept_test(store, arm), label) for label, arm in chosen.items()}
        sums = {n: MetricSums(ranking_protocol(body.holdout), 6, values).contribution() for n, values in parts.items()}
        contribution = joined({spec.label: sums[spec.label] for spec in body.models})
        release = release_of(contribution.layout, body.capacity.max_clients, body.capacity.max_users)
        words = release.prepare(contribution)
        np.testing.assert_array_equal(reply.content[WORDS]["u32"].numpy(), words.u32)
        np.testing.assert_array_equal(reply.content[WORDS]["u64"].numpy(), words.u64)
    asked = [m for m in factorised.down if '"arm":"personal"' in str(m.content.get(BODY))]
    assert {frozenset(m.content[ARRAYS]) for m in asked} == {frozenset({"counts"})}


def test_the_server_keeps_nothing_of_a_choice(factorised):
    assert all(store.choice() is not None for store in factorised.stores)
    for path in (factorised.folder / "server").rglob("*.json"):
        assert "served_by" not in path.read_text()
        assert "choice" not in path.read_text()


def test_under_masks_private_weights_and_sums_are_in_no_message(tmp_path):
    wire: list[Message] = []
    stores, roster = five_tenants(tmp_path / "tenants")
    model = {"name": "mf", "dim": 4, "max_length": 8, "residual": "private"}
    federation = {"secure_aggregation": True, "min_tenants": 3}
    config = config_of(federation, models=[{"name": "popularity"}, model], training=TRAINING)
    grid = SecureGrid(grid_of(stores, lambda message: bool(wire.append(message))), roster)
    run(Exchange(grid, config, EventLog(tmp_path / "e.jsonl")), stores[0].dataset().catalogue, tmp_path / "server")
    up = [message for message in wire if message.metadata.reply_to_message_id]
    assert {frozenset(message.content) for message in up} == {frozenset({SECAGG})}
    rows = private_rows(stores)
    sums = {kept_test(store, "tuned")["mf/metrics"].tobytes() for store in stores}
    assert not [secret for message in wire for secret in rows | sums if secret in octets(message)]
