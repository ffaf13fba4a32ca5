"""The client of a run: answers each message of the server once, in order, or refuses it with a typed reason.

Each method takes a message and returns the next state and the reply. The old state is then used up. Store
`to_bytes()` of the next state before the reply leaves: a client that forgets what it answered could be asked
again.

Round numbers only ever grow, so the highest one advertised, with the rounds in flight, says of every round
whether it may still go on: a round that was opened, given up or overtaken stays closed for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fedrec.contribution import Words
from fedrec.errors import Refusal
from fedrec.privacy.secagg.client_store import pack_stage, read_stage
from fedrec.privacy.secagg.keys import KEY_BYTES, SIGNATURE_BYTES, Agreement
from fedrec.privacy.secagg.latch import Latch
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Collect, Survivors, Task, Unmask, Upload
from fedrec.privacy.secagg.setup_messages import (
    DIGEST_BYTES,
    Advert,
    Cohort,
    Shares,
    pack_advert,
    parse_advertise,
)
from fedrec.privacy.secagg.stages import Advertised, Consented, Shared, Stage, Uploaded
from fedrec.privacy.secagg.wire import RUN_BYTES, Reader, pack_block

ORDER: tuple[type[Stage], ...] = (Advertised, Shared, Uploaded, Consented)
MAX_IN_FLIGHT = 4  # a pipelined run needs three: uploading, shared, advertised
MAX_STATE_BYTES = 1 << 28

S = TypeVar("S", Advertised, Shared, Uploaded, Consented)


@dataclass(frozen=True, eq=False)
class ClientRunState:
    """A client between two messages. SECRET: transport, and what the rounds in flight hold.

    since: the round in which the transport key was made. last_advertised: no round up to it can be entered
    again.
    """

    party: Party
    transport: Agreement
    since: int
    last_advertised: int
    rounds: Mapping[int, Stage]
    latch: Latch = field(default_factory=Latch, repr=False)

    @classmethod
    def start(cls, party: Party) -> ClientRunState:
        """A client that has not spoken in this run."""
        return cls(party, Agreement.generate(), since=0, last_advertised=0, rounds={})

    def advertise(self, message: bytes) -> tuple[ClientRunState, bytes]:
        """Answers a request for an advert: fresh mask keys for a round, signed."""
        self.latch.check()
        request = parse_advertise(message, self.party.policy.max_request_bytes)
        self.party.check_run(request.run)
        next_state, advert = self._advertised(request.round_id)
        self.latch.close()
        return next_state, advert

    def share(self, message: bytes) -> tuple[ClientRunState, bytes]:
        """Answers a cohort: the secrets of a round, shared among the neighbours."""
        self.latch.check()
        next_state, shares = self._shared(message)
        self.latch.close()
        return next_state, shares.pack()

    def task(self, message: bytes) -> Task:
        """What an upload request asks for, checked as `upload` does, so that no work is done for a refusal."""
        self.latch.check()
        return self._collect(message)[0].task

    def upload(self, message: bytes, words: Words, context: bytes) -> tuple[ClientRunState, bytes]:
        """Answers an upload request: the masked vector and, if asked, shares and advert of later rounds.

        words: this client's contribution, encoded for `task(message)`. context: the client's own digest of
        what it was told to compute (the model as received, the layout). Raises ContributionError for words of
        other lengths than the task's.
        """
        self.latch.check()
        collect, stage, held = self._collect(message)
        collect.task.check(words)
        next_state, shares, advert = self, b"", b""
        if collect.advertise:
            next_state, advert = next_state._advertised(collect.advertise)
        if collect.cohort:
            next_state, dealt = next_state._shared(collect.cohort)
            shares = dealt.pack()
        uploaded, masked = stage.upload(self.party, collect.task, held, words, context)
        upload = Upload(self.party.run, collect.round_id, self.party.node, masked, shares, advert)
        self.latch.close()
        return next_state._with(collect.round_id, uploaded), upload.pack()

    def consent(self, message: bytes) -> tuple[ClientRunState, bytes]:
        """Answers a set of survivors: its signature under it."""
        self.latch.check()
        survivors = Survivors.parse(message, self.party.policy.max_request_bytes)
        stage = self._stage(survivors.run, survivors.round_id, Uploaded)
        consented, consent = stage.consent(self.party, survivors)
        self.latch.close()
        return self._with(survivors.round_id, consented), consent.pack()

    def reveal(self, message: bytes) -> tuple[ClientRunState, bytes]:
        """Answers the neighbours' consents: one share of each neighbour. The round is closed for ever."""
        self.latch.check()
        unmask = Unmask.parse(message, self.party.policy.max_request_bytes)
        stage = self._stage(unmask.run, unmask.round_id, Consented)
        reveal = stage.reveal(self.party, unmask)
        self.latch.close()
        return self._with(unmask.round_id, None), reveal.pack()

    def to_bytes(self) -> bytes:
        """The state, for the next process. SECRET: see `client_store`."""
        stages = [number.to_bytes(8, "little") + pack_block(pack_stage(stage)) for number, stage in self.rounds.items()]
        return b"".join(
            (
                self.party.run,
                self.party.roster.digest,
                self.party.node.to_bytes(8, "little"),
                self.transport.secret(),
                self.since.to_bytes(8, "little"),
                self.last_advertised.to_bytes(8, "little"),
                len(stages).to_bytes(4, "little"),
                *stages,
            )
        )

    @classmethod
    def from_bytes(cls, stored: bytes, party: Party) -> ClientRunState:
        """The state that `to_bytes` wrote. Refuses another party's, run's or roster's, and damaged bytes."""
        reader = Reader(stored, MAX_STATE_BYTES)
        party.check_run(reader.raw(RUN_BYTES))
        if reader.raw(DIGEST_BYTES) != party.roster.digest:
            raise Refusal(Reason.FORGED_ROSTER, "the stored state belongs to another roster; start a new run")
        if reader.integer(8) != party.node:
            raise Refusal(Reason.WRONG_SENDER, "the stored state belongs to another node")
        transport = Agreement.from_secret(reader.raw(KEY_BYTES))
        since, last_advertised = reader.integer(8), reader.integer(8)
        rounds = {}
        for _ in range(reader.integer(4)):
            number, body = reader.integer(8), Reader(reader.block(), MAX_STATE_BYTES)
            rounds[number] = read_stage(body)
            body.end()
        reader.end()
        return cls(party, transport, since, last_advertised, rounds)

    def _advertised(self, round_id: int) -> tuple[ClientRunState, bytes]:
        if round_id <= self.last_advertised:
            raise self._entered(round_id)
        transport, since = self.transport, self.since
        if since == 0 or round_id - since >= self.party.policy.key_lifetime:
            transport, since = Agreement.generate(), round_id
        mask = Agreement.generate()
        unsigned = Advert(self.party.node, round_id, since, transport.public, mask.public, bytes(SIGNATURE_BYTES))
        statement = unsigned.statement(self.party.run, self.party.roster.digest)
        advert = replace(unsigned, signature=self.party.identity.sign(statement))
        rounds = {**self.rounds, round_id: Advertised(advert, transport, mask)}
        kept = {number: rounds[number] for number in sorted(rounds)[-MAX_IN_FLIGHT:]}
        next_state = ClientRunState(self.party, transport, since, round_id, kept)
        return next_state, pack_advert(self.party.run, advert)

    def _shared(self, message: bytes) -> tuple[ClientRunState, Shares]:
        cohort = Cohort.parse(message, self.party.policy.max_request_bytes)
        stage = self._stage(cohort.run, cohort.round_id, Advertised)
        shared, shares = stage.share(self.party, cohort)
        return self._with(cohort.round_id, shared), shares

    def _collect(self, message: bytes) -> tuple[Collect, Shared, dict[int, bytes]]:
        collect = Collect.parse(message, self.party.policy.max_request_bytes)
        stage = self._stage(collect.run, collect.round_id, Shared)
        return collect, stage, stage.receive(self.party, collect)

    def _stage(self, run: bytes, round_id: int, wanted: type[S]) -> S:
        """The round's state, which must be the one that the message is for."""
        self.party.check_run(run)
        stage = self.rounds.get(round_id)
        if isinstance(stage, wanted):
            return stage
        if stage is None and round_id > self.last_advertised:
            raise Refusal(
                Reason.WRONG_ROUND, f"round {round_id}; this client entered none after {self.last_advertised}"
            )
        if stage is not None and ORDER.index(type(stage)) < ORDER.index(wanted):
            raise Refusal(Reason.OUT_OF_ORDER, f"round {round_id} is only {type(stage).__name__.lower()}")
        raise self._entered(round_id)

    def _entered(self, round_id: int) -> Refusal:
        if round_id in self.rounds:
            return Refusal(Reason.STEP_REPEATED, f"this step of round {round_id} has been answered")
        return Refusal(Reason.ROUND_CLOSED, f"round {round_id} was opened, given up or overtaken")

    def _with(self, round_id: int, stage: Stage | None) -> ClientRunState:
        """The same client with one round moved on, or closed (None)."""
        rounds = {number: kept for number, kept in self.rounds.items() if number != round_id}
        if stage is not None:
            rounds[round_id] = stage
        return replace(self, rounds=rounds, latch=Latch())
