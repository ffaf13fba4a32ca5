"""A client without room on its disk, in secure sums."""

from __future__ import annotations

import contextlib

from flwr.app import Message

from fedrec.privacy.secagg.wire import Kind
from tests.full_disk import room_for
from tests.strategies.test_secure_grid import Federation, kind_of, node_of


def test_a_client_whose_disk_is_full_says_so_sends_nothing_and_comes_back(tmp_path):
    """It cannot note that it answered, so it does not answer."""
    federation, disk = Federation(tmp_path), contextlib.ExitStack()

    def fill(message: Message) -> bool:
        disk.close()
        if node_of(message) == 102 and kind_of(message) is Kind.COLLECT:
            disk.enter_context(room_for(0))
        return False

    federation.lost = fill
    assert federation.popularity() == federation.counts([0, 1, 3, 4])
    (refused,) = [fields for event, fields in federation.events if event == "refused"]
    assert (refused["node"], refused["reason"]) == (102, "storage-failed")
    federation.lost = lambda message: False
    for _ in range(3):
        last = federation.popularity()
    assert last == federation.counts([0, 1, 2, 3, 4])
