"""A federation stopped before one message to one client, for a deviating server to edit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Survivors
from fedrec.privacy.secagg.setup_messages import Cohort

VICTIM = 2
LIMIT = 1 << 24


class Scene:
    """A federation stopped before one message to the victim, and the honest message itself."""

    def __init__(self, kit, until: str, **fields) -> None:
        self.kit = kit
        self.federation = kit.sparse(**fields) if fields.pop("on_ring", False) else kit.complete(**fields)
        server, nodes = self.federation.server, self.federation.nodes
        for request in server.invite():
            for node in nodes:
                server.receive(self.federation.ask(node, "advertise", request))
        messages = server.share()
        if until != "share":
            for node, message in messages.items():
                server.receive(self.federation.ask(node, "share", message))
            server.prepare()
            self.collecting = server.collect(self.federation.task)
            messages = self.collecting.requests()
        if until in ("consent", "reveal"):
            for node, message in messages.items():
                server.receive_upload(self.collecting, self.upload(node, message))
            consenting = self.collecting.close()
            messages = dict.fromkeys(nodes, consenting.request())
        if until == "reveal":
            for node, message in messages.items():
                consenting.receive(self.federation.ask(node, "consent", message))
            messages = consenting.close().requests()
        self.message = messages[VICTIM]
        self.messages = messages

    def upload(self, node: int, message: bytes) -> bytes:
        words = self.kit.vector(node, 1, self.federation.task)
        return self.federation.ask(node, "upload", message, words, self.kit.context)

    def refusal(self, step: str, message: bytes, *work) -> Reason:
        with pytest.raises(Refusal) as caught:
            self.federation.ask(VICTIM, step, message, *work)
        return caught.value.reason

    def refusal_of_upload(self, message: bytes) -> Reason:
        return self.refusal("upload", message, self.kit.vector(VICTIM, 1, self.federation.task), self.kit.context)


def changed(cohort: Cohort, node: int, **fields) -> bytes:
    """The cohort with some fields of one advert replaced."""
    adverts = cohort.adverts.copy()
    for name, value in fields.items():
        adverts[name][adverts["node"] == node] = np.void(value) if isinstance(value, bytes) else value
    return replace(cohort, adverts=adverts).pack()


def survivors(scene: Scene, **changes) -> bytes:
    honest = Survivors.parse(scene.message, LIMIT)
    alive, dead = honest.alive.copy(), honest.dead.copy()
    for position in changes.get("dead", ()):
        alive[position], dead[position] = False, True
    for position in changes.get("vanished", ()):
        alive[position], dead[position] = False, False
    for position in changes.get("both", ()):
        dead[position] = True
    return replace(honest, alive=alive, dead=dead).pack()
