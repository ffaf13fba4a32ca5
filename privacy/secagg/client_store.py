"""The client's rounds in flight as bytes, because a client may be a new process for every message.

SECRET: the bytes hold mask keys, self-mask secrets and the shares of others. Keep them where only this client
reads and the server never writes: an old copy put back would let a step be answered twice. They are parsed as
defensively as a message.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from fedrec.errors import Refusal
from fedrec.privacy.secagg.keys import KEY_BYTES, SEAL_KEY_BYTES, Agreement
from fedrec.privacy.secagg.party import View
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Task
from fedrec.privacy.secagg.setup_messages import ADVERT, DIGEST_BYTES, Advert
from fedrec.privacy.secagg.shares import SHARE_BYTES
from fedrec.privacy.secagg.stages import Advertised, Consented, Shared, Stage, Uploaded
from fedrec.privacy.secagg.wire import Reader, pack_block

HELD_BYTES = 2 * SHARE_BYTES
NODE = np.dtype([("node", "<u8")])


class StageCode(IntEnum):
    """How a stored round begins."""

    ADVERTISED = 1
    SHARED = 2
    UPLOADED = 3
    CONSENTED = 4


def pack_stage(stage: Stage) -> bytes:
    """One round in flight. SECRET."""
    match stage:
        case Advertised():
            code, body = StageCode.ADVERTISED, _pack_advertised(stage)
        case Shared():
            code, body = StageCode.SHARED, _pack_shared(stage)
        case Uploaded():
            code, body = StageCode.UPLOADED, _pack_uploaded(stage)
        case Consented():
            code, body = StageCode.CONSENTED, _pack_consented(stage)
    return bytes([code]) + body


def read_stage(reader: Reader) -> Stage:
    """One round in flight. Refuses damaged bytes."""
    code = reader.integer(1)
    if code not in StageCode.__members__.values():
        raise Refusal(Reason.MALFORMED, f"stored round begins with {code}")
    return READERS[StageCode(code)](reader)


def _pack_advertised(stage: Advertised) -> bytes:
    return stage.advert.pack() + stage.transport.secret() + stage.mask.secret()


def _read_advertised(reader: Reader) -> Advertised:
    advert = Advert.of(np.frombuffer(reader.take(ADVERT.itemsize), ADVERT)[0])
    return Advertised(advert, _agreement(reader), _agreement(reader))


def _pack_shared(stage: Shared) -> bytes:
    return b"".join(
        (
            _number(stage.round_id),
            _pack_view(stage.view),
            stage.mask.secret(),
            stage.secret,
            _pack_map(stage.inward),
            _pack_map(stage.mask_keys),
        )
    )


def _read_shared(reader: Reader) -> Shared:
    return Shared(
        reader.integer(8),
        _read_view(reader),
        _agreement(reader),
        reader.raw(KEY_BYTES),
        _read_map(reader, SEAL_KEY_BYTES),
        _read_map(reader, KEY_BYTES),
    )


def _pack_uploaded(stage: Uploaded) -> bytes:
    head = _number(stage.round_id) + _pack_view(stage.view) + stage.task.pack() + stage.context
    return head + _pack_map(stage.held)


def _read_uploaded(reader: Reader) -> Uploaded:
    return Uploaded(
        reader.integer(8),
        _read_view(reader),
        Task.read(reader),
        reader.raw(DIGEST_BYTES),
        _read_map(reader, HELD_BYTES),
    )


def _pack_consented(stage: Consented) -> bytes:
    head = _number(stage.round_id) + _pack_view(stage.view) + pack_block(stage.statement)
    return head + _pack_nodes(sorted(stage.alive)) + _pack_map(stage.held)


def _read_consented(reader: Reader) -> Consented:
    return Consented(
        reader.integer(8),
        _read_view(reader),
        reader.block(),
        frozenset(_read_nodes(reader)),
        _read_map(reader, HELD_BYTES),
    )


READERS: dict[StageCode, Callable[[Reader], Stage]] = {
    StageCode.ADVERTISED: _read_advertised,
    StageCode.SHARED: _read_shared,
    StageCode.UPLOADED: _read_uploaded,
    StageCode.CONSENTED: _read_consented,
}


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _agreement(reader: Reader) -> Agreement:
    return Agreement.from_secret(reader.raw(KEY_BYTES))


def _pack_view(view: View) -> bytes:
    nodes = _pack_nodes(view.nodes) + _pack_nodes(view.neighbours)
    return view.digest + view.threshold.to_bytes(2, "little") + nodes


def _read_view(reader: Reader) -> View:
    digest, threshold = reader.raw(DIGEST_BYTES), reader.integer(2)
    return View(digest, _read_nodes(reader), threshold, _read_nodes(reader))


def _pack_nodes(nodes: tuple[int, ...] | list[int]) -> bytes:
    return len(nodes).to_bytes(4, "little") + b"".join(map(_number, nodes))


def _read_nodes(reader: Reader) -> tuple[int, ...]:
    return tuple(reader.records(NODE)["node"].tolist())


def _pack_map(values: dict[int, bytes]) -> bytes:
    items = [_number(node) + values[node] for node in sorted(values)]
    return len(items).to_bytes(4, "little") + b"".join(items)


def _read_map(reader: Reader, item_bytes: int) -> dict[int, bytes]:
    dtype = np.dtype([("node", "<u8"), ("value", f"V{item_bytes}")])
    return {node: bytes(value) for node, value in reader.records(dtype).tolist()}
