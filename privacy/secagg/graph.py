"""Who shares masks and secrets with whom, and how many of them it takes.

Up to 64 clients everyone neighbours everyone. Above, clients stand on a ring in an order that the hash of all
their signed adverts decides, and each neighbours the k/2 next ones on either side (a Harary graph; Bell et
al., CCS 2020, section 3). Everyone computes the graph; nobody is told it.

k and the threshold t come from the hypergeometric distribution of the corrupt and of the missing clients
among k neighbours. Against a server that only watches, no client may have t corrupt neighbours. Against one
that shows its clients different survivors, 2t must exceed k plus the corrupt neighbours: each honest holder
reveals one kind of share a round, so both secrets of a client need 2t <= (k - corrupt) + 2 corrupt (Bonawitz
et al., CCS 2017, section 6).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.errors import ConfigError
from fedrec.privacy.secagg.keys import LABEL_GRAPH

COMPLETE_UP_TO = 64


@dataclass(frozen=True)
class Ring:
    """The graph of one round: clients in `order` with `degree` neighbours each; complete at degree n - 1."""

    order: tuple[int, ...]
    degree: int

    def neighbours(self, position: int) -> tuple[int, ...]:
        """The neighbours, ascending, of the client at `position` of the ring."""
        size = len(self.order)
        if self.degree == size - 1:
            return tuple(sorted(self.order[:position] + self.order[position + 1 :]))
        half = self.degree // 2
        offsets = (*range(-half, 0), *range(1, half + 1))
        return tuple(sorted(self.order[(position + offset) % size] for offset in offsets))

    def of(self, node: int) -> tuple[int, ...]:
        """The neighbours, ascending, of `node`."""
        return self.neighbours(self.order.index(node))

    def all(self) -> dict[int, tuple[int, ...]]:
        """The neighbours of every client."""
        return {node: self.neighbours(position) for position, node in enumerate(self.order)}


def ring(nodes: Sequence[int], degree: int, round_digest: bytes) -> Ring:
    """The graph of a round: clients in the order of SHA-256(label, digest of all signed adverts, node)."""
    prefix = hashlib.sha256(LABEL_GRAPH + round_digest)

    def place(node: int) -> bytes:
        state = prefix.copy()
        state.update(node.to_bytes(8, "little"))
        return state.digest()

    return Ring(tuple(sorted(nodes, key=place)), degree)


def is_degree(degree: int, num_clients: int) -> bool:
    """Whether the protocol has a graph of this degree: complete, or even and above 64 clients."""
    if degree == num_clients - 1:
        return degree >= 1
    return num_clients > COMPLETE_UP_TO and 2 <= degree < num_clients and degree % 2 == 0


@dataclass(frozen=True)
class Parameters:
    """`degree` neighbours for each client, `threshold` of whose shares open a secret."""

    degree: int
    threshold: int


@dataclass(frozen=True)
class Assumptions:
    """What the parameters are to withstand.

    `corrupt` and `dropout` are fractions of the cohort, drawn without regard to the graph; at least one
    client is taken to be corrupt. The chance that they break privacy is below 2^-privacy_bits, that a round
    fails below 2^-failure_bits. `active`: the server may lie about the survivors, not only watch.
    """

    corrupt: float = 0.1
    dropout: float = 0.1
    privacy_bits: int = 40
    failure_bits: int = 20
    active: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.corrupt < 1 and 0 <= self.dropout < 1 and self.privacy_bits > 0 and self.failure_bits > 0):
            raise ConfigError(
                f"Expected corrupt={self.corrupt} and dropout={self.dropout} within [0, 1), "
                f"privacy_bits={self.privacy_bits} and failure_bits={self.failure_bits} > 0."
            )


def choose(num_clients: int, assumptions: Assumptions) -> Parameters:
    """The smallest degree, with its threshold, that withstands the assumptions.

    Up to 64 clients, and where no sparse graph does, the complete graph with the threshold that privacy
    demands, even if more dropouts than it bears may then fail the round. Raises ConfigError below two
    clients.
    """
    if num_clients < 2:
        raise ConfigError(f"Expected num_clients={num_clients} >= 2; there is nobody to hide among.")
    if num_clients > COMPLETE_UP_TO:
        for degree in range(2, num_clients - 1, 2):
            low, high = thresholds(num_clients, degree, assumptions)
            if low <= high:
                return Parameters(degree, _between(low, high, degree))
    degree = num_clients - 1
    low, high = thresholds(num_clients, degree, assumptions)
    return Parameters(degree, _between(low, max(low, high), degree))


def thresholds(num_clients: int, degree: int, assumptions: Assumptions) -> tuple[int, int]:
    """The least threshold that keeps privacy, and the greatest (maybe less) that keeps the round alive."""
    corrupt = max(1, math.ceil(assumptions.corrupt * num_clients))
    missing = math.floor(assumptions.dropout * num_clients)
    others = num_clients - 1
    held = _quantile(others, min(corrupt, others), degree, num_clients, assumptions.privacy_bits)
    gone = _quantile(others, missing, degree, num_clients, assumptions.failure_bits)
    low = (degree + held) // 2 + 1 if assumptions.active else held + 1
    return min(low, degree), degree - gone


def _between(low: int, high: int, degree: int) -> int:
    """Two thirds of the degree where privacy and dropouts leave the choice."""
    return min(max(low, math.ceil(2 * degree / 3)), high)


def _quantile(population: int, marked: int, drawn: int, num_clients: int, bits: int) -> int:
    """The most marked ones that any client sees among `drawn` neighbours, but for a chance of 2^-bits.

    Exact: the union over all clients of the hypergeometric tail, in integers.
    """
    allowed = math.comb(population, drawn) // (num_clients << bits)
    tail = 0
    for count in range(min(marked, drawn), 0, -1):
        tail += math.comb(marked, count) * math.comb(population - marked, drawn - count)
        if tail > allowed:
            return count
    return 0
