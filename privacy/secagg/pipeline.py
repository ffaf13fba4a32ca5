"""The server of a run: keeps the next rounds prepared while the present one goes on.

In the steady state a round costs each client three messages, and only the first carries a vector:

    collect r    down: the shares dealt for r, the cohort of r+1, a request to advertise for r+2
                 up:   the masked vector of r, the shares for r+1, the advert for r+2
    survivors r  down: who uploaded             up: a signature under it
    unmask r     down: the neighbours' consents  up: one share of each neighbour

The first round, and the first after a failed preparation, is invited: two short phases (adverts of two rounds
at once, shares) come before it. A client that comes back, or is new, pays two messages of its own, while
rounds r and r + 1 collect: an advert (`admission`), then its shares (`catch_up`). It takes part from r + 2
on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fedrec.errors import Refusal, RoundFailed
from fedrec.privacy.secagg.graph import Parameters
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.roster import Roster
from fedrec.privacy.secagg.round_messages import Task
from fedrec.privacy.secagg.server import Collecting
from fedrec.privacy.secagg.server_setup import Advertising, Prepared, Sharing
from fedrec.privacy.secagg.wire import Kind, Octets, peek

MAX_SHARES_BYTES = 1 << 24


class Pipeline:
    """Rounds in preparation. `prepared`: the round that can start now, or None if clients must be invited first.

    `refused` collects what was wrong with messages for later rounds; their senders still count in the present
    one.
    """

    def __init__(
        self, run: bytes, roster: Roster, parameters: Callable[[int], Parameters], first_round: int = 1
    ) -> None:
        self.run, self.roster, self.parameters = run, roster, parameters
        self.next_round = first_round
        self.prepared: Prepared | None = None
        self.refused: list[Refusal] = []
        self._invited: Sharing | None = None  # the first round of an invitation
        self._sharing: Sharing | None = None  # the round after the present one
        self._advertising: list[Advertising] = []  # the one after that; at an invitation two

    def invite(self) -> tuple[bytes, ...]:
        """Starts afresh under new round numbers: the messages, one after another, to every client invited."""
        self.prepared, self._invited, self._sharing = None, None, None
        self._advertising = [self._advertise(), self._advertise()]
        return tuple(phase.request() for phase in self._advertising)

    def share(self) -> dict[int, bytes]:
        """When the adverts of an invitation are in: the message to each client. Raises RoundFailed below two."""
        first, second = self._advertising
        self._advertising = []
        self._invited, self._sharing = first.close(self.parameters), self._shared_next(second)
        return {node: self._invited.request() for node in self._invited.nodes}

    def prepare(self) -> None:
        """When the shares of an invitation are in: the round is prepared. Raises RoundFailed if they are too few."""
        invited, self._invited = self._invited, None
        if invited is None:
            raise RoundFailed("No round is being shared; invite the clients first.")
        self.prepared = invited.close()

    def collect(self, task: Task, last: bool = False) -> Collecting:
        """Starts the prepared round. `last`: ask for no later ones. Raises RoundFailed if none is prepared."""
        if self.prepared is None:
            raise RoundFailed("No round is prepared; invite the clients first.")
        prepared, self.prepared = self.prepared, None
        if last:
            self._sharing, self._advertising = None, []
            return Collecting(prepared, task)
        self._advertising = [self._advertise()]
        riders = dict.fromkeys(self._sharing.nodes, self._sharing.request()) if self._sharing else {}
        return Collecting(prepared, task, self._advertising[0].round_id, riders)

    def admissions(self, collecting: Collecting, nodes: Iterable[int]) -> dict[int, tuple[bytes, ...]]:
        """While a round collects: the messages to those of `nodes` that are outside it and want to join later ones."""
        outside = set(nodes) - collecting.prepared.nodes
        sharing = set(self._sharing.nodes) if self._sharing else set()
        shares = {node: (self._sharing.request(),) for node in outside & sharing} if self._sharing else {}
        adverts = tuple(phase.request() for phase in self._advertising)
        return {node: shares.get(node, ()) + adverts for node in outside}

    def receive(self, message: Octets, sender: int | None = None) -> int:
        """Takes an advert or shares for a round in preparation, from the node that it returns."""
        header = peek(message, MAX_SHARES_BYTES)
        if header.kind is Kind.SHARES:
            phases: list[Advertising | Sharing] = [phase for phase in (self._invited, self._sharing) if phase]
        else:
            phases = list(self._advertising)
        for phase in phases:
            if phase.round_id == header.round_id:
                return phase.receive(message, sender)
        raise Refusal(Reason.WRONG_ROUND, f"{header.kind.name.lower()} for round {header.round_id} are not open")

    def receive_upload(self, collecting: Collecting, message: Octets, sender: int | None = None) -> int:
        """Takes an upload with all that rides on it, from the node that it returns."""
        arrival = collecting.receive(message, sender)
        for rider in filter(None, (arrival.shares, arrival.advert)):
            try:
                self.receive(rider, arrival.node)
            except Refusal as refusal:
                self.refused.append(refusal)
        return arrival.node

    def advance(self) -> None:
        """When the uploads are in: moves the later rounds on by one. Where too few answered, none is prepared."""
        sharing, advertising = self._sharing, self._advertising
        self._sharing, self._advertising = None, []
        if sharing is None or not advertising:
            return
        try:
            self.prepared = sharing.close()
        except RoundFailed:
            return
        self._sharing = self._shared_next(advertising[0])

    def _advertise(self) -> Advertising:
        phase = Advertising(self.run, self.roster, self.next_round)
        self.next_round += 1
        return phase

    def _shared_next(self, advertising: Advertising) -> Sharing | None:
        try:
            return advertising.close(self.parameters)
        except RoundFailed:
            return None
