"""One question to all clients, one total back: every number that the server learns comes through `Exchange.ask`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedrec.config import Config
from fedrec.contribution import Layout, Total
from fedrec.messages import AnyArray, Body, Capacity, Holdout, Phase, expecting, instruction, num_bytes
from fedrec.privacy.budget import Spending
from fedrec.privacy.mechanisms import as_record
from fedrec.privacy.release import Release
from fedrec.server.events import EventLog
from fedrec.server.predecessor import Predecessor
from fedrec.server.released import Released
from fedrec.strategies.asked import asked_release
from fedrec.strategies.summing import Quorum, Summed, sum_replies


@dataclass
class Exchange:
    """The clients of one run. Counts its rounds; nothing else in it changes.

    spending: the noise of a private run, once it is planned. released: its noised sums, which are asked for once.
    before: the run that this one follows, if any.
    """

    grid: Grid
    config: Config
    events: EventLog
    round: int = field(default=0, init=False)
    spending: Spending | None = field(default=None, init=False)
    released: Released | None = field(default=None, init=False)
    before: Predecessor | None = None

    @property
    def capacity(self) -> Capacity:
        """Public limits that every instruction states."""
        federation = self.config.federation
        return Capacity(max_clients=federation.max_tenants, max_users=federation.max_users_per_tenant)

    @property
    def holdout(self) -> Holdout:
        """What every client holds out."""
        return holdout_of(self.config)

    def ask(self, kind: str, body: Body, arrays: Mapping[str, AnyArray], layout: Layout, action: str) -> Total:
        """Send `body` to every node, add up the answers. Raises RoundFailed below the quorum."""
        release = asked_release(layout, body)
        known = self.released if release.noise is not None and self._may_keep(arrays) else None
        if known is not None and (kept := known.kept(body, release.encoding.layout)) is not None:
            return kept
        content = expecting(instruction(body, arrays), *release.words)
        nodes = sorted(self.grid.get_node_ids())
        self.events.emit("round-start", round=self.round, phase=body.phase, action=action, nodes=len(nodes))
        started = time.monotonic()
        messages = [Message(content, dst_node_id=node, message_type=kind, group_id=str(self.round)) for node in nodes]
        replies = self.grid.send_and_receive(messages, timeout=self.config.federation.timeout_s)
        summed = sum_replies(replies, release, self._quorum())
        if known is not None:
            known.keep(body, summed.total)
        self._report(body.phase, action, summed, content, release, time.monotonic() - started)
        return summed.total

    def _may_keep(self, arrays: Mapping[str, AnyArray]) -> bool:
        """Whether an answer can be told by its question: within one run always, between runs if no arrays are in it."""
        return self.released is not None and not (self.released.shared and arrays)

    def next_round(self) -> int:
        """Number of the round that begins."""
        self.round += 1
        return self.round

    def skip(self, rounds: int) -> None:
        """Count rounds that were made before the run was interrupted."""
        self.round += rounds

    def _quorum(self) -> Quorum:
        return Quorum(self.config.federation.min_tenants, self.config.federation.on_failure)

    def _report(
        self, phase: Phase, action: str, summed: Summed, content: RecordDict, release: Release, seconds: float
    ) -> None:
        self.events.emit(
            "round-end",
            round=self.round,
            phase=phase,
            action=action,
            clients=summed.total.num_clients,
            failed=summed.failed,
            bytes_up=summed.bytes_up,
            bytes_down=num_bytes(content),
            seconds=round(seconds, 3),
            sent=sent(release),
            mechanisms=[as_record(one) for one in release.noise.mechanisms] if release.noise else [],
        )


def holdout_of(config: Config) -> Holdout:
    """The part of a configuration that clients are told about what they hold out."""
    evaluation = config.evaluation
    return Holdout(
        rule=evaluation.holdout,
        starts=evaluation.starts,
        exclude_seen=evaluation.exclude_seen,
        ks=evaluation.ks,
        bootstrap=evaluation.bootstrap,
        headline=evaluation.headline,
        seed=config.seed,
        half_life_s=config.freshness.half_life_s,
        as_of=config.freshness.as_of,
    )


def sent(release: Release) -> Sequence[dict[str, object]]:
    """What left each client in a round: block, shape, bits, resolution, bound per user."""
    return [
        {
            "block": grid.block.name,
            "shape": list(grid.block.shape),
            "bits": grid.word_bits,
            "resolution": grid.block.resolution,
            "user_l2": grid.block.user_l2,
        }
        for grid in release.encoding.grid
    ]
