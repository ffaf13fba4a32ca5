"""Damaged, random and spliced bytes: nothing but a Refusal leaves a parser."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.roster import FIRST_LINE, Roster
from fedrec.privacy.secagg.round_messages import Collect, Consent, Reveal, Survivors, Task, Unmask, Upload
from fedrec.privacy.secagg.setup_messages import Cohort, Shares, parse_advert, parse_advertise
from fedrec.privacy.secagg.wire import Kind, peek

LIMIT = 1 << 20
TASK = Task(5, 3, 1.0)
PARSERS = {
    Kind.ADVERTISE: parse_advertise,
    Kind.ADVERT: parse_advert,
    Kind.COHORT: Cohort.parse,
    Kind.SHARES: Shares.parse,
    Kind.COLLECT: Collect.parse,
    Kind.UPLOAD: lambda message, limit: Upload.parse(message, limit, TASK),
    Kind.SURVIVORS: Survivors.parse,
    Kind.CONSENT: Consent.parse,
    Kind.UNMASK: Unmask.parse,
    Kind.REVEAL: Reveal.parse,
}
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def messages(kit) -> dict[Kind, bytes]:
    """One real message of each kind."""
    federation = kit.complete(5)
    federation.round(kit.Drops(upload=frozenset({5})))
    found: dict[Kind, bytes] = {}
    for message in [message for _, message in federation.sent] + federation.received:
        found[peek(message, LIMIT).kind] = message
    assert found.keys() == PARSERS.keys()
    return found


@pytest.fixture(scope="module")
def states(kit) -> list[ClientRunState]:
    """A client in each of its states."""
    federation = kit.complete(4)
    federation.round()
    return federation.states[2]


def damage(data, message: bytes) -> bytes:
    """A real message, cut, lengthened, or with some bytes overwritten: mostly where lengths and counts are."""
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    return bytes(damaged[:cut]) + data.draw(st.one_of(st.just(b""), st.binary(max_size=40)))


@pytest.mark.parametrize("kind", list(PARSERS))
def test_undamaged_message_is_parsed(messages, kind) -> None:
    PARSERS[kind](messages[kind], LIMIT)


@pytest.mark.parametrize("kind", list(PARSERS))
def test_every_shorter_message_is_refused(messages, kind) -> None:
    for length in range(len(messages[kind])):
        with pytest.raises(Refusal):
            PARSERS[kind](messages[kind][:length], LIMIT)


@pytest.mark.parametrize("kind", list(PARSERS))
def test_message_over_the_limit_is_refused_unread(messages, kind) -> None:
    with pytest.raises(Refusal) as caught:
        PARSERS[kind](messages[kind], len(messages[kind]) - 1)
    assert caught.value.reason is Reason.OVERSIZED


@pytest.mark.parametrize("kind", list(PARSERS))
@FUZZ
@given(data=st.data())
def test_damaged_message_is_parsed_or_refused(messages, kind, data) -> None:
    with contextlib.suppress(Refusal):
        PARSERS[kind](damage(data, messages[kind]), LIMIT)


@FUZZ
@given(st.sampled_from(list(PARSERS)), st.binary(max_size=300))
def test_random_bytes_behind_a_right_header_are_parsed_or_refused(kind, body) -> None:
    with contextlib.suppress(Refusal):
        PARSERS[kind](b"fsa1\x01" + bytes([kind]) + bytes(34) + body, LIMIT)


@pytest.mark.parametrize(("step", "kind"), [("share", Kind.COHORT), ("upload", Kind.COLLECT), ("reveal", Kind.UNMASK)])
@FUZZ
@given(data=st.data())
def test_client_answers_or_refuses_damaged_requests(kit, messages, states, step, kind, data) -> None:
    stored = data.draw(st.sampled_from(states)).to_bytes()
    client = ClientRunState.from_bytes(stored, states[0].party)
    work = (kit.vector(2, 1, TASK), kit.context) if step == "upload" else ()
    with contextlib.suppress(ProtocolError):
        getattr(client, step)(damage(data, messages[kind]), *work)


def test_stored_state_is_restored_exactly(states) -> None:
    seen = set()
    for state in states:
        stored = state.to_bytes()
        assert ClientRunState.from_bytes(stored, state.party).to_bytes() == stored
        seen |= {type(stage).__name__ for stage in state.rounds.values()}
    assert seen == {"Advertised", "Shared", "Uploaded", "Consented"}


@FUZZ
@given(data=st.data())
def test_damaged_state_is_restored_or_refused(states, data) -> None:
    state = data.draw(st.sampled_from(states))
    with contextlib.suppress(Refusal):
        ClientRunState.from_bytes(damage(data, state.to_bytes()), state.party)


def test_state_of_another_run_node_or_roster_is_refused(kit, states) -> None:
    stored = states[0].to_bytes()
    for start, reason in ((0, Reason.WRONG_RUN), (16, Reason.FORGED_ROSTER), (48, Reason.WRONG_SENDER)):
        changed = stored[:start] + bytes([stored[start] ^ 1]) + stored[start + 1 :]
        with pytest.raises(Refusal) as caught:
            ClientRunState.from_bytes(changed, states[0].party)
        assert caught.value.reason is reason


def test_secrets_do_not_show_in_the_representation_of_a_state(states) -> None:
    for state in states:
        for stage in state.rounds.values():
            for name in ("secret", "held", "inward"):
                value = getattr(stage, name, None)
                for secret in [value] if isinstance(value, bytes) else (value or {}).values():
                    assert repr(secret)[2:-1] not in repr(stage)


@FUZZ
@given(st.text(max_size=200))
def test_roster_text_is_read_or_refused(text) -> None:
    for candidate in (text, f"{FIRST_LINE}\n{text}"):
        with contextlib.suppress(ConfigError):
            Roster.from_text(candidate)
