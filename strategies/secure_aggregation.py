"""Secure aggregation around any Flower strategy: `SecureAggregation(FedAdam(...), roster, codec).start(grid, ...)`.

The inner strategy runs on a `SecureGrid`. It gets the weighted mean as if one client had sent it, so whatever it does
with means (momentum, Adam, proximal terms) works; what needs single updates (Krum, medians) needs `groups`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedrec.errors import RoundFailed
from fedrec.privacy.secagg.graph import Assumptions
from fedrec.privacy.secagg.roster import Roster
from fedrec.strategies.secure_grid import Listener, SecureGrid
from fedrec.strategies.updates import UpdateCodec


class SecureAggregation(Strategy):
    """`inner`, whose rounds are secure sums. The other arguments are those of `SecureGrid`.

    A round below the threshold is discarded: the inner strategy sees no reply, keeps its weights and goes on. With
    `discard_failed=False`, RoundFailed ends the run instead.
    """

    def __init__(
        self,
        inner: Strategy,
        roster: Roster,
        codec: UpdateCodec,
        *,
        assumptions: Assumptions | None = None,
        groups: int = 1,
        discard_failed: bool = True,
        listener: Listener = lambda event, fields: None,
    ) -> None:
        self.inner = inner
        self._roster, self._codec, self._assumptions = roster, codec, assumptions
        self._groups, self._discard_failed, self._listener = groups, discard_failed, listener

    def start(self, grid: Grid, *args: Any, **kwargs: Any) -> Result:
        """As the inner strategy's, over a secure grid."""
        secure = SecureGrid(grid, self._roster, self._assumptions, self._groups, self._codec, self._listener)
        chosen = _Discarding(secure, self._listener) if self._discard_failed else secure
        return self.inner.start(chosen, *args, **kwargs)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return self.inner.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.inner.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return self.inner.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        self.inner.summary()


class _Discarding(SecureGrid):
    """A secure grid on which a failed round brings no reply instead of an error."""

    def __init__(self, grid: SecureGrid, listener: Listener) -> None:
        self._grid, self._listener = grid, listener

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        try:
            return self._grid.send_and_receive(messages, timeout=timeout)
        except RoundFailed as error:
            self._listener("discarded", {"reason": str(error)})
            return []
