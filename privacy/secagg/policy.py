"""What a client insists on, whatever the server asks: read from the client's own file, never from a message.

A request for less is refused with a typed reason; the client never answers with a weaker release.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedrec.errors import ConfigError, Refusal
from fedrec.privacy.secagg.graph import is_degree
from fedrec.privacy.secagg.reasons import Reason


@dataclass(frozen=True)
class Policy:
    """The client's own limits.

    min_cohort: fewest clients that start a round, and fewest whose uploads a sum may hold (oneself included).
    max_cohort: most clients; bounds what a message may make this client read.
    min_degree: fewest neighbours in a sparse graph (a complete one is always enough).
    min_threshold: least t/k; above 1/2, or a lying server could open both secrets of a client.
    max_bound: largest magnitude bound (clip) of one coordinate that the task may state.
    max_vector_length: most coordinates of both widths together.
    key_lifetime: rounds for which a transport key may be used.
    """

    min_cohort: int = 3
    max_cohort: int = 10_000
    min_degree: int = 20
    min_threshold: float = 0.6
    max_bound: float = math.inf
    max_vector_length: int = 1 << 26
    key_lifetime: int = 1_000

    def __post_init__(self) -> None:
        for name in ("min_cohort", "max_cohort", "min_degree", "max_vector_length", "key_lifetime"):
            if type(getattr(self, name)) is not int:
                raise ConfigError(f"Expected {name}={getattr(self, name)!r} to be a whole number.")
        if not 2 <= self.min_cohort <= self.max_cohort <= 1 << 16:
            raise ConfigError(f"Expected 2 <= min_cohort={self.min_cohort} <= max_cohort={self.max_cohort} <= 65536.")
        if self.min_degree < 2 or not 0.5 < self.min_threshold <= 1:
            raise ConfigError(
                f"Expected min_degree={self.min_degree} >= 2, 0.5 < min_threshold={self.min_threshold} <= 1."
            )
        if not self.max_bound > 0 or not 1 <= self.max_vector_length <= 1 << 31 or self.key_lifetime < 1:
            raise ConfigError(
                f"Expected max_bound={self.max_bound} > 0, 1 <= max_vector_length={self.max_vector_length} "
                f"<= 2^31 and key_lifetime={self.key_lifetime} >= 1."
            )

    @property
    def max_request_bytes(self) -> int:
        """The longest message that this client reads: an upload request with the next cohort on board."""
        return 4096 + self.max_cohort * 512

    def check_cohort(self, num_clients: int, degree: int, threshold: int) -> None:
        """Refuses a cohort, degree or threshold below the policy, or of no graph of the protocol."""
        if num_clients < self.min_cohort:
            raise Refusal(Reason.COHORT_TOO_SMALL, f"{num_clients} clients, the policy asks for {self.min_cohort}")
        if num_clients > self.max_cohort:
            raise Refusal(Reason.COHORT_TOO_LARGE, f"{num_clients} clients, the policy reads {self.max_cohort}")
        least = min(self.min_degree, num_clients - 1)
        if degree < least or not is_degree(degree, num_clients):
            raise Refusal(
                Reason.DEGREE_TOO_SMALL,
                f"degree {degree} among {num_clients} clients; policy: {least} or more; "
                "protocol: complete up to 64 clients, even above",
            )
        if threshold > degree:
            raise Refusal(Reason.THRESHOLD_TOO_HIGH, f"threshold {threshold} of {degree} holders")
        if threshold < self.min_threshold * degree:
            raise Refusal(
                Reason.THRESHOLD_TOO_LOW,
                f"threshold {threshold} of {degree}; the policy asks for {self.min_threshold:g} of them",
            )

    def check_task(self, vector_length: int, bound: float) -> None:
        """Refuses a vector or bound beyond the policy."""
        if vector_length > self.max_vector_length:
            raise Refusal(
                Reason.VECTOR_TOO_LONG,
                f"{vector_length} coordinates, the policy allows {self.max_vector_length}",
            )
        if not 0 < bound <= self.max_bound:
            raise Refusal(Reason.BOUND_TOO_LARGE, f"bound {bound:g}, the policy allows {self.max_bound:g}")

    def check_survivors(self, num_alive: int) -> None:
        """Refuses a sum over fewer clients than the policy asks for."""
        if num_alive < self.min_cohort:
            raise Refusal(
                Reason.SURVIVORS_TOO_FEW,
                f"a sum over {num_alive} clients, the policy asks for {self.min_cohort}",
            )
