"""The client's side of secure aggregation, for any Flower ClientApp: one mod, and no plain answer ever again.

    app = ClientApp(mods=[SecureSums(open_party, open_state)])

What it protects: the server, and whoever can read its memory or disk, learns the sum over the cohort and nothing else
of what this client answers. It does not protect from what the sum itself says: see SECURITY.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from fedrec.contribution import Words
from fedrec.errors import ContributionError, FedrecError, ProtocolError, Refusal
from fedrec.files import locked, write_bytes
from fedrec.messages import (
    EXPECT,
    REFUSAL,
    SECAGG,
    WORDS,
    content_digest,
    expected,
    read_answer,
    read_sealed,
    refusal,
    sealed,
)
from fedrec.privacy.secagg.client import MAX_STATE_BYTES, ClientRunState
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.wire import Kind, peek
from fedrec.strategies.updates import UpdateCodec

log = logging.getLogger("fedrec.client")
LOCK = "lock"
OpenParty = Callable[[Context, bytes], Party | None]
"""The party that this node is in the run with the given id; None if the node does not insist on secure sums."""


class StateStore(Protocol):
    """Where a client keeps its rounds in flight. SECRET, and never written by the server."""

    def read(self) -> bytes | None:
        """What was written last, if anything."""
        ...

    def write(self, state: bytes) -> None:
        """Keep `state`, in one step."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Held from `read` to `write`: two answers to one step would have the same masks, and their difference none."""
        ...


class SecureSums:
    """A Flower mod that answers with masked vectors only.

    open_party: who this node is, from its own files. open_state: where its rounds in flight are kept, for a run.
    codec: for apps that answer with an ArrayRecord and metrics; apps of fedrec answer with words and need none.
    """

    def __init__(
        self,
        open_party: OpenParty,
        open_state: Callable[[Context, bytes], StateStore] = lambda context, run: ContextState(context, run),
        codec: UpdateCodec | None = None,
    ) -> None:
        self._open_party, self._open_state, self._codec = open_party, open_state, codec

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """See Flower's mods."""
        try:
            content = self._answer(message, context, call_next)
        except Refusal as error:
            log.warning("refused reason=%s detail=%s", error.reason, error.detail)
            content = refusal(error.reason, error.detail)
        except ProtocolError as error:
            log.warning("refused reason=malformed detail=%s", error)
            content = refusal("malformed", "the message is not one of this protocol version")
        except FedrecError as error:
            log.error("failed error=%s", error)
            content = refusal(type(error).__name__, "the client's own log says more")
        except OSError as error:
            content = storage_failed(error)
        except Exception:
            log.exception("failed unexpectedly")
            content = refusal("internal-error", "the client's own log says more")
        return Message(content, reply_to=message)

    def _answer(self, message: Message, context: Context, call_next: ClientAppCallable) -> RecordDict:
        if SECAGG not in message.content:
            if self._open_party(context, bytes(16)) is not None:
                raise Refusal("plain-request", "this client answers with masked vectors only")
            content = call_next(message, context).content
            content.pop(EXPECT, None)  # what the app tells this mod
            return content
        payloads = read_sealed(message.content)
        if not payloads:
            raise Refusal("malformed", "an empty secure-aggregation record")
        header = peek(payloads[0], MAX_STATE_BYTES)
        party = self._open_party(context, header.run)
        if party is None:
            raise Refusal("no-identity", "this client has no identity key and roster; see docs/secagg.md")
        store = self._open_state(context, header.run)
        with store.alone():
            return self._next(party, store, payloads, message, context, call_next)

    def _next(
        self,
        party: Party,
        store: StateStore,
        payloads: Sequence[bytes],
        message: Message,
        context: Context,
        call_next: ClientAppCallable,
    ) -> RecordDict:
        """From one state of the round to the next."""
        stored = store.read()
        state = ClientRunState.start(party) if stored is None else ClientRunState.from_bytes(stored, party)
        if peek(payloads[0], MAX_STATE_BYTES).kind is Kind.COLLECT:
            return self._upload(state, payloads[0], message, context, call_next, store)
        replies = []
        for payload in payloads:
            state, reply = _step(state, payload)
            replies.append(reply)
        store.write(state.to_bytes())
        return RecordDict({SECAGG: sealed(replies)})

    def _upload(
        self,
        state: ClientRunState,
        payload: bytes,
        message: Message,
        context: Context,
        call_next: ClientAppCallable,
        store: StateStore,
    ) -> RecordDict:
        """Have the app compute its answer, and send it masked. Whatever else the app answers is dropped."""
        task = state.task(payload)  # refuses what the policy refuses before any work is done
        told = content_digest(message.content)
        reply = call_next(message, context)
        if reply.has_error():
            raise Refusal("client-error", "the app failed; the client's own log says more")
        if REFUSAL in reply.content:
            return reply.content
        words, bound = self._words(message, reply)
        if bound > task.bound:
            raise Refusal("bound-understated", f"the server states a bound of {task.bound:g}, the answer has {bound:g}")
        try:
            state, upload = state.upload(payload, words, told)
        except ContributionError as error:
            raise Refusal("contribution-error", "the answer does not have the announced form") from error
        store.write(state.to_bytes())
        return RecordDict({SECAGG: sealed([upload])})

    def _words(self, message: Message, reply: Message) -> tuple[Words, float]:
        """What the app answers, and the largest bound of a coordinate as this side knows it, not as the server says."""
        if WORDS in reply.content:
            return read_answer(reply.content), expected(reply.content)[2]
        if self._codec is None:
            raise Refusal("nothing-to-mask", "the app answered without words; give SecureSums an UpdateCodec")
        largest = max(block.user_max for block in self._codec.encoding(message.content).layout.blocks)
        return self._codec.encode(message.content, reply.content), largest


def storage_failed(error: OSError) -> RecordDict:
    """What a client answers that cannot read or write its own files, as on a full disk: nothing leaves that it could
    not note before."""
    log.error("storage failed code=%d", error.errno or 0)
    return refusal("storage-failed", "the client cannot read or write its own files; is its disk full?")


def _step(state: ClientRunState, payload: bytes) -> tuple[ClientRunState, bytes]:
    match peek(payload, MAX_STATE_BYTES).kind:
        case Kind.ADVERTISE:
            return state.advertise(payload)
        case Kind.COHORT:
            return state.share(payload)
        case Kind.SURVIVORS:
            return state.consent(payload)
        case Kind.UNMASK:
            return state.reveal(payload)
        case kind:
            raise Refusal("wrong-kind", f"a {kind.name.lower()} is not for a client")


class ContextState:
    """Rounds in flight in Flower's `Context.state`, which stays on the client's machine."""

    def __init__(self, context: Context, run: bytes) -> None:
        self._context, self._key = context, f"secagg.{run.hex()}"

    def read(self) -> bytes | None:
        """See `StateStore`."""
        record = self._context.state.get(self._key)
        return bytes(record["state"]) if isinstance(record, ConfigRecord) else None  # type: ignore[arg-type]  # written below

    def write(self, state: bytes) -> None:
        """See `StateStore`."""
        self._context.state[self._key] = ConfigRecord({"state": state})

    def alone(self) -> AbstractContextManager[None]:
        """See `StateStore`. Flower gives a context to one message at a time."""
        return nullcontext()


class FileState:
    """Rounds in flight in a file of the client's own, which survives the client's crash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """See `StateStore`."""
        return self._path.read_bytes() if self._path.exists() else None

    def write(self, state: bytes) -> None:
        """See `StateStore`."""
        write_bytes(self._path, state, mode=0o600)

    def alone(self) -> AbstractContextManager[None]:
        """See `StateStore`."""
        return locked(self._path.parent / LOCK)
