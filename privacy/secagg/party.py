"""A client as it sees itself: who it is, whom it knows, what it insists on. None of it comes from the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.errors import ConfigError, Refusal
from fedrec.privacy.secagg.graph import ring
from fedrec.privacy.secagg.keys import Identity, signed_by
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.roster import Roster
from fedrec.privacy.secagg.setup_messages import Advert, Cohort
from fedrec.privacy.secagg.wire import RUN_BYTES


@dataclass(frozen=True, eq=False)
class Party:
    """One client of one run. `run` is 16 bytes that the server chose; rounds of another run are refused."""

    identity: Identity
    node: int
    roster: Roster
    policy: Policy
    run: bytes

    def __post_init__(self) -> None:
        if self.roster.keys.get(self.node) != self.identity.public:
            raise ConfigError(
                f"The roster does not pin this party's identity key for node {self.node}; "
                "enter its public key in the roster, or correct the node number."
            )
        if len(self.run) != RUN_BYTES:
            raise ConfigError(f"Expected a run id of {RUN_BYTES} bytes, got {len(self.run)}.")

    def check_run(self, run: bytes) -> None:
        """Refuses a message of another run."""
        if run != self.run:
            raise Refusal(Reason.WRONG_RUN, f"run {run.hex()}, this party takes part in {self.run.hex()}")


@dataclass(frozen=True, eq=False)
class View:
    """What a client holds to be true of a round once it has checked the cohort.

    nodes: the cohort, ascending. neighbours: its own, ascending, by the graph that it computed itself.
    """

    digest: bytes
    nodes: tuple[int, ...]
    threshold: int
    neighbours: tuple[int, ...]


def admit(party: Party, cohort: Cohort, own: Advert) -> tuple[View, dict[int, Advert]]:
    """Checks a cohort against roster, policy and own advert; the view, and the neighbours' adverts.

    Signatures are checked of the neighbours, who are all others up to 64 clients. Above, an advert that
    nobody signed is seen by its own neighbours, who then stay away: see docs/secagg.md.
    """
    party.check_run(cohort.run)
    if cohort.roster_digest != party.roster.digest:
        raise Refusal(Reason.FORGED_ROSTER, f"the server's roster is {cohort.roster_digest.hex()}")
    party.policy.check_cohort(len(cohort.adverts), cohort.degree, cohort.threshold)
    _check_adverts(party, cohort)
    nodes = cohort.nodes
    position = {node: index for index, node in enumerate(nodes)}
    if own.node not in position or cohort.adverts[position[own.node]].tobytes() != own.pack():
        raise Refusal(Reason.OWN_ADVERT_CHANGED, "the cohort does not hold the keys that this party advertised")
    digest = cohort.digest()
    neighbours = ring(nodes, cohort.degree, digest).of(own.node)
    adverts = {node: Advert.of(cohort.adverts[position[node]]) for node in neighbours}
    for advert in adverts.values():
        check_signature(party.roster, party.run, advert)
    return View(digest, nodes, cohort.threshold, neighbours), adverts


def check_signature(roster: Roster, run: bytes, advert: Advert) -> None:
    """Refuses an advert that its node's pinned identity key did not sign for this run, round and roster."""
    if not signed_by(roster.keys[advert.node], advert.signature, advert.statement(run, roster.digest)):
        raise Refusal(Reason.ADVERT_SIGNATURE, f"node {advert.node} did not sign these keys for this round")


def _check_adverts(party: Party, cohort: Cohort) -> None:
    strangers = set(cohort.nodes) - party.roster.keys.keys()
    if strangers:
        raise Refusal(Reason.UNKNOWN_NODE, f"nodes {sorted(strangers)[:5]} are not in the roster")
    if (cohort.adverts["round"] != cohort.round_id).any():
        raise Refusal(Reason.REPLAYED_ADVERT, f"an advert of another round than {cohort.round_id}")
    since = cohort.adverts["since"]
    age = cohort.round_id - np.minimum(since, cohort.round_id).astype(np.int64)
    if (since > cohort.round_id).any() or (age >= party.policy.key_lifetime).any():
        raise Refusal(Reason.STALE_KEY, f"a transport key of {age.max()} rounds; policy: {party.policy.key_lifetime}")
