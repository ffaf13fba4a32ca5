"""What crosses the wire: the only place that knows the keys of Flower's records.

An instruction carries a JSON body (validated on arrival) and public arrays. A reply carries the words of one bounded
vector, or a refusal with a typed reason; nothing else. Text of an unexpected error never leaves a client, since it may
quote a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from fedrec.config import Arm, Section
from fedrec.config_privacy import Placement
from fedrec.content.encoder import ItemEncoder
from fedrec.content.registry import agreed_encoder
from fedrec.contribution import Words
from fedrec.errors import ProtocolError, Refusal
from fedrec.models.protocols import EncoderId
from fedrec.terms import Capacity as Capacity
from fedrec.terms import Holdout as Holdout
from fedrec.terms import ranking_protocol as ranking_protocol

PROTOCOL: Literal[1] = 1
CONTRIBUTE = "train.contribute"
SCORE = "evaluate.score"

BODY, ARRAYS, WORDS, REFUSAL = "fedrec.body", "fedrec.arrays", "fedrec.words", "fedrec.refusal"
SECAGG, EXPECT = "fedrec.secagg", "fedrec.expect"
SUMMING_NODE = 0
"""Source of a reply that an aggregation layer on the server made; Flower gives no client this id."""
SUMMED = "fedrec.summed"
"""Present only in a reply that the server's own aggregation layer made: the words are the sum of so many clients."""

AnyArray = NDArray[Any]
Octets = bytes | bytearray | memoryview
Phase = Literal["choose", "final"]
Params = dict[str, bool | int | float | str | None]


class StatisticSpec(Section):
    """A statistic by name; its arrays, if any, travel as `<index>/<name>`."""

    name: str
    params: Params


class ModelSpec(Section):
    """A recommender by name; its shared weights travel as `<label>/<name>`.

    `candidates` are its possible hyper-parameters: one, but for arm `local`, where the tenant chooses on its own
    validation.
    """

    label: str
    name: str
    candidates: tuple[Params, ...] = Field(min_length=1)


class EncoderSpec(Section):
    """The encoder that the content in an instruction, or asked for by it, comes from. One that gives other vectors is
    refused, see `fedrec.content.registry`."""

    name: str
    digest: str

    @classmethod
    def of(cls, encoder: EncoderId | None) -> EncoderSpec | None:
        """`encoder` as an instruction states it."""
        return None if encoder is None else cls(name=encoder.name, digest=encoder.digest)

    def agreed(self, own: Iterable[ItemEncoder] = ()) -> ItemEncoder:
        """This party's own encoder, if it gives the same vectors. Raises Refusal if not, naming both.

        own: encoders beside those that everyone has.
        """
        return agreed_encoder(EncoderId(self.name, self.digest), own)


class Body(Section):
    """What every instruction says. encoder: where content is used."""

    protocol: Literal[1] = PROTOCOL
    round: int = Field(ge=1)
    phase: Phase
    capacity: Capacity
    holdout: Holdout
    encoder: EncoderSpec | None = None


class NoiseTerms(Section):
    """The noise that a release has: one multiplier of the bound per user for each statistic, and how many honest
    clients are counted on where the noise is shared. A client that finds it too little, or is told of none, refuses."""

    placement: Placement
    sharers: int = Field(ge=1)
    multipliers: tuple[float, ...] = Field(min_length=1)


class ContributeBody(Body):
    """Add up these statistics over your users, with noise on terms if there are any."""

    statistics: tuple[StatisticSpec, ...] = Field(min_length=1)
    noise: NoiseTerms | None = None


class ScoreBody(Body):
    """Rank for your held-out users and add up the metrics. Arm `local`: with models fitted on your own rows; arm
    `tuned`: with those that come, tuned on your own rows; arm `fused`: with all that come at once, and the best of your
    `own`; arm `personal`: with what did best for you. Of its models the first is the one that did best for all tenants
    together.

    training: the `LocalTraining` of neural recommenders that are trained alone, or tuned. agreed: what each mix of arm
    `fused` reached on validation of all tenants together, once that is known.
    """

    arm: Arm
    training: Params | None = None
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    own: tuple[ModelSpec, ...] = ()
    agreed: tuple[float, ...] = ()


B = TypeVar("B", bound=Body)


def instruction(body: Body, arrays: Mapping[str, AnyArray]) -> RecordDict:
    """The content of a message to a client."""
    return RecordDict(
        {
            BODY: ConfigRecord({"json": body.model_dump_json()}),
            ARRAYS: ArrayRecord({name: Array(np.ascontiguousarray(value)) for name, value in arrays.items()}),
        }
    )


def expecting(content: RecordDict, num_u32: int, num_u64: int, bound: float) -> RecordDict:
    """`content` with a note of the words that every answer will have, and the largest bound of a coordinate."""
    content[EXPECT] = ConfigRecord({"u32": num_u32, "u64": num_u64, "bound": bound})
    return content


def expected(content: RecordDict) -> tuple[int, int, float]:
    """What `expecting` noted. Raises ProtocolError if it is not there."""
    record = content.get(EXPECT)
    if not isinstance(record, ConfigRecord) or set(record) != {"u32", "u64", "bound"}:
        raise ProtocolError(f"Expected a record '{EXPECT}' with u32, u64 and bound.")
    return int(str(record["u32"])), int(str(record["u64"])), float(str(record["bound"]))


def read_instruction(
    message: Message, kind: type[B], check: Callable[[EncoderSpec], object] = EncoderSpec.agreed
) -> tuple[B, dict[str, AnyArray]]:
    """Body and arrays of an instruction. check: raises Refusal for an encoder that is not this party's.

    Raises ProtocolError for anything that is not one, Refusal if its content is of another encoder than the one here.
    """
    body, arrays = message.content.get(BODY), message.content.get(ARRAYS)
    if not isinstance(body, ConfigRecord) or not isinstance(arrays, ArrayRecord):
        raise ProtocolError(f"Expected records '{BODY}' and '{ARRAYS}', got {sorted(message.content)}.")
    try:
        parsed = kind.model_validate_json(str(body.get("json", "")))
    except ValidationError as error:
        raise ProtocolError(f"The instruction is not a {kind.__name__} of protocol {PROTOCOL}: {error}") from error
    if parsed.encoder is not None:
        check(parsed.encoder)
    return parsed, read_arrays(arrays)


def phase_of(message: Message) -> Phase:
    """The phase that an instruction of any kind states. Raises ProtocolError if it states none."""
    body = message.content.get(BODY)
    try:
        phase = json.loads(str(body.get("json", "")))["phase"] if isinstance(body, ConfigRecord) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        phase = None
    if phase not in ("choose", "final"):
        raise ProtocolError("Expected an instruction that states its phase.")
    return cast(Phase, phase)


def read_arrays(record: ArrayRecord) -> dict[str, AnyArray]:
    """Arrays of a record. Raises ProtocolError if one does not decode (object arrays never do)."""
    try:
        return {name: value.numpy() for name, value in record.items()}
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise ProtocolError(f"An array of the message does not decode: {error}.") from error


def part(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    """The arrays named `prefix/...`, under the rest of their names."""
    return {name.removeprefix(prefix + "/"): value for name, value in arrays.items() if name.startswith(prefix + "/")}


def answer(words: Words) -> RecordDict:
    """The content of a reply: one bounded vector."""
    return RecordDict({WORDS: ArrayRecord({"u32": Array(words.u32), "u64": Array(words.u64)})})


def read_answer(content: RecordDict) -> Words:
    """The words of a reply. Raises Refusal if the client declined, ProtocolError if it is neither."""
    if REFUSAL in content:
        record = content[REFUSAL]
        reason = record.get("reason", "unknown") if isinstance(record, ConfigRecord) else "unknown"
        detail = record.get("detail", "") if isinstance(record, ConfigRecord) else ""
        raise Refusal(str(reason)[:100], str(detail)[:500])
    vector = content.get(WORDS)
    if not isinstance(vector, ArrayRecord):
        raise ProtocolError(f"Expected a record '{WORDS}', got {sorted(content)}.")
    arrays = read_arrays(vector)
    if set(arrays) != {"u32", "u64"} or arrays["u32"].dtype != np.uint32 or arrays["u64"].dtype != np.uint64:
        raise ProtocolError(f"Expected uint32 'u32' and uint64 'u64', got {[(k, v.dtype) for k, v in arrays.items()]}.")
    return Words(arrays["u32"].ravel(), arrays["u64"].ravel())


def sealed(payloads: Sequence[Octets]) -> ArrayRecord:
    """The messages of the secure-aggregation protocol that ride on one Flower message, as the record `SECAGG`."""
    octets = {str(index): np.frombuffer(payload, np.uint8) for index, payload in enumerate(payloads)}
    return ArrayRecord({name: Array(value) for name, value in octets.items()})


def read_sealed(content: RecordDict) -> list[bytes]:
    """What `sealed` packed. Raises Refusal if the other side declined, ProtocolError if there is no such record."""
    if REFUSAL in content:
        read_answer(content)
    record = content.get(SECAGG)
    if not isinstance(record, ArrayRecord):
        raise ProtocolError(f"Expected a record '{SECAGG}', got {sorted(content)}.")
    arrays = read_arrays(record)
    if sorted(arrays) != sorted(map(str, range(len(arrays)))) or any(a.dtype != np.uint8 for a in arrays.values()):
        raise ProtocolError(f"Expected byte arrays 0, 1, ... in '{SECAGG}', got {sorted(arrays)}.")
    return [arrays[str(index)].tobytes() for index in range(len(arrays))]


def content_digest(content: RecordDict) -> bytes:
    """SHA-256 of an instruction without its secure-aggregation part: clients that were told the same agree on it."""
    state = hashlib.sha256()
    for name in sorted(set(content) - {SECAGG}):
        record = content[name]
        for key in sorted(record):
            value = record[key]
            text = f"{value.dtype}{value.shape}" if isinstance(value, Array) else repr(value)
            data = value.data if isinstance(value, Array) else b""
            for part_ in (name.encode(), key.encode(), text.encode(), data):
                state.update(len(part_).to_bytes(8, "little") + part_)
    return state.digest()


def summed(content: RecordDict, clients: int, received: int, source: Message) -> Message:
    """A reply that the server's aggregation layer makes: the sum of `clients` replies to messages like `source`.

    received: bytes that all of them took on the wire.
    """
    content[SUMMED] = ConfigRecord({"clients": clients, "bytes": received})
    reply = Message(content, reply_to=source)
    reply.metadata.__dict__["_src_node_id"] = SUMMING_NODE
    return reply


def refusal(reason: str, detail: str) -> RecordDict:
    """The content of a reply that declines."""
    return RecordDict({REFUSAL: ConfigRecord({"reason": reason, "detail": detail})})


def num_bytes(content: RecordDict) -> int:
    """Payload of a message in bytes."""
    arrays = sum(len(a.data) for r in content.array_records.values() for a in r.values())
    texts = (str(v) if not isinstance(v, bytes) else v for r in content.config_records.values() for v in r.values())
    return arrays + sum(len(text) for text in texts)
