"""Coverage-guided fuzzing of everything in secure aggregation that reads bytes from others or from a disk.

atheris is no dependency of the project. In an environment of its own, beside the one that `make test` made:

    python3.11 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris
    PYTHONPATH=.venv/lib/python3.11/site-packages:src:. /tmp/fuzz/bin/python tests/fuzz/fuzz_wire.py \
        -max_total_time=180 -rss_limit_mb=4096

Further arguments are libFuzzer's: folders of a corpus, a crashing input to be run again. The first byte of an input
chooses the target, the rest is what the target reads. The corpus starts with real messages and states of a small
federation. An input is a finding if anything but the documented error leaves the target, or if a message that was
accepted is not, behind its header, what its fields would be packed to.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fedrec.privacy.secagg", "fedrec.client.party"]):
    from fedrec.client.party import read_policy
    from fedrec.errors import ConfigError, ContributionError, ProtocolError, Refusal
    from fedrec.privacy.secagg.client import ClientRunState
    from fedrec.privacy.secagg.roster import Roster
    from fedrec.privacy.secagg.round_messages import Collect, Consent, Reveal, Survivors, Unmask, Upload
    from fedrec.privacy.secagg.setup_messages import (
        Cohort,
        Shares,
        pack_advertise,
        parse_advert,
        parse_advertise,
    )
    from fedrec.privacy.secagg.wire import HEADER, Kind, peek
from tests.privacy.secagg.conftest import CONTEXT, SMALL_TASK, Drops, Federation, roster, vector

LIMIT = 1 << 20
NODE = 2
FEDERATION = Federation((1, 2, 3, 4, 5))
FEDERATION.round(Drops(upload=frozenset({5})))
STATES = [state.to_bytes() for state in FEDERATION.states[NODE]]
PARTY = FEDERATION.clients[NODE].party
POLICY_FILE = Path(tempfile.mkdtemp(prefix="fuzz-")) / "policy.toml"
POLICY = b"min_cohort = 3\nmin_threshold = 0.6\nmax_bound = inf\nkey_lifetime = 10\n"

Target = Callable[[bytes], None]


def parser(read: Callable[[bytes], bytes]) -> Target:
    """Reads a message; what was accepted must be packed to the same bytes again."""

    def run(data: bytes) -> None:
        try:
            packed = read(data)
        except Refusal:
            return
        if packed[HEADER.size :] != data[HEADER.size :]:
            raise AssertionError(f"accepted {data.hex()}, which packs to {packed.hex()}")

    return run


def advertise(data: bytes) -> bytes:
    request = parse_advertise(data, LIMIT)
    return pack_advertise(request.run, request.round_id)


def advert(data: bytes) -> bytes:
    header, found = parse_advert(data, LIMIT)
    return header.pack() + found.pack()


def state(data: bytes) -> None:
    with contextlib.suppress(Refusal):
        ClientRunState.from_bytes(data, PARTY).to_bytes()


def step(name: str) -> Target:
    """A client in one of its states is asked something; it answers or refuses, or its words do not fit."""

    def run(data: bytes) -> None:
        client = ClientRunState.from_bytes(STATES[data[0] % len(STATES)] if data else STATES[0], PARTY)
        work = (vector(NODE, 1, SMALL_TASK), CONTEXT) if name == "upload" else ()
        with contextlib.suppress(ProtocolError, ContributionError):
            getattr(client, name)(data[1:], *work)

    return run


def roster_text(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        Roster.from_text(data.decode("utf-8", errors="replace"))


def policy_file(data: bytes) -> None:
    POLICY_FILE.write_bytes(data)
    with contextlib.suppress(ConfigError):
        read_policy(POLICY_FILE)


PARSERS: dict[Kind, Callable[[bytes], bytes]] = {
    Kind.ADVERTISE: advertise,
    Kind.ADVERT: advert,
    Kind.COHORT: lambda data: Cohort.parse(data, LIMIT).pack(),
    Kind.SHARES: lambda data: Shares.parse(data, LIMIT).pack(),
    Kind.COLLECT: lambda data: Collect.parse(data, LIMIT).pack(),
    Kind.UPLOAD: lambda data: bytes(Upload.parse(data, LIMIT, SMALL_TASK).pack()),
    Kind.SURVIVORS: lambda data: Survivors.parse(data, LIMIT).pack(),
    Kind.CONSENT: lambda data: Consent.parse(data, LIMIT).pack(),
    Kind.UNMASK: lambda data: Unmask.parse(data, LIMIT).pack(),
    Kind.REVEAL: lambda data: Reveal.parse(data, LIMIT).pack(),
}
STEPS = {
    Kind.ADVERTISE: "advertise",
    Kind.COHORT: "share",
    Kind.COLLECT: "upload",
    Kind.SURVIVORS: "consent",
    Kind.UNMASK: "reveal",
}
TARGETS: list[Target] = [
    *map(parser, PARSERS.values()),
    *map(step, STEPS.values()),
    state,
    roster_text,
    policy_file,
]


def seeds() -> list[bytes]:
    """A real input or more for every target."""
    messages = {message for _, message in FEDERATION.sent} | set(FEDERATION.received)
    found = []
    for message in messages:
        kind = peek(message, LIMIT).kind
        found.append(bytes([list(PARSERS).index(kind)]) + message)
        if kind in STEPS:
            target = len(PARSERS) + list(STEPS).index(kind)
            found += [bytes([target, place]) + message for place in range(len(STATES))]
    last = [(len(TARGETS) - 2, roster((1, 2, 3)).to_text().encode()), (len(TARGETS) - 1, POLICY)]
    last += [(len(TARGETS) - 3, stored) for stored in STATES]
    return found + [bytes([target]) + data for target, data in last]


def one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


def main() -> None:
    """Puts the seeds into a scratch corpus unless libFuzzer is given an input of its own, and starts."""
    arguments = list(sys.argv)
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="fuzz-corpus-"))
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        arguments.append(str(corpus))
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
