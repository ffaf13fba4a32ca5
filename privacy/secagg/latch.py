"""A state object is used once: what it answered may not be answered again, differently."""

from __future__ import annotations

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason


class Latch:
    """Closes at the first step that a state takes. A step that is refused leaves it open."""

    def __init__(self) -> None:
        self._used = False

    def check(self) -> None:
        """Raises Refusal (state-used) if the state has already been left."""
        if self._used:
            raise Refusal(Reason.STATE_USED, "this state was already left; go on with the state that it returned")

    def close(self) -> None:
        """Leaves the state. Raises Refusal (state-used) at the second call."""
        self.check()
        self._used = True
