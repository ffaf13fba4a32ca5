"""Model updates of any Flower project as one bounded vector, and back: what secure aggregation sums for others.

An app that answers as Flower's own strategies expect (an ArrayRecord of new weights, a MetricRecord with a weight) is
turned into blocks: the clipped difference to the weights it was sent, times its weight; the weight; each metric, times
the weight. The server divides the sums. Only the mean leaves, never a client's weight or metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fedrec.contribution import Block, Contribution, Float64Array, Layout, Words
from fedrec.errors import ConfigError, ProtocolError, Refusal, RoundFailed
from fedrec.privacy.fixed_point import Encoding, bits_for, clipped_block, plan

UPDATE, WEIGHT, METRIC = "update/", "weight", "metric/"
WEIGHT_RESOLUTION = 2.0**-20


@dataclass(frozen=True)
class UpdateCodec:
    """Public, and the same on both sides.

    clip_norm: L2 bound of one client's difference to the weights it was sent; longer ones are scaled down. max_weight:
    a client weighs its `weight_key` up to this. metrics: name -> largest magnitude; other metrics stay with the client.
    max_clients: most clients in one sum.
    """

    clip_norm: float
    max_weight: float = 10_000.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    max_clients: int = 1024
    weight_key: str = "num-examples"
    arrays_key: str = "arrays"
    metrics_key: str = "metrics"

    def __post_init__(self) -> None:
        if not (self.clip_norm > 0 and self.max_weight > 0 and all(bound > 0 for bound in self.metrics.values())):
            raise ConfigError("Expected clip_norm, max_weight and the bound of each metric > 0.")

    def encoding(self, sent: RecordDict) -> Encoding:
        """How answers to `sent` lie in words."""
        bits = bits_for(self.max_clients)
        shapes = {name: array.shape for name, array in self._arrays(sent).items()}
        blocks = [clipped_block(UPDATE + name, tuple(shape), self.clip_norm, bits) for name, shape in shapes.items()]
        blocks.append(Block(WEIGHT, (1,), 1.0, resolution=WEIGHT_RESOLUTION))
        blocks += [Block(METRIC + name, (1,), b, resolution=b * WEIGHT_RESOLUTION) for name, b in self.metrics.items()]
        return plan(Layout(tuple(blocks)), self.max_clients, 1)

    def encode(self, sent: RecordDict, reply: RecordDict, rng: np.random.Generator | None = None) -> Words:
        """Client: the answer as words. Raises Refusal for an answer of another form.

        rng: rounds at random, so that means are kept; a fresh one of the operating system's if it is not given.
        """
        encoding = self.encoding(sent)
        metrics = reply.get(self.metrics_key)
        if not isinstance(metrics, MetricRecord) or self.weight_key not in metrics:
            raise Refusal("contribution-error", f"the answer has no '{self.weight_key}' in '{self.metrics_key}'")
        weight = min(max(float(_number(metrics, self.weight_key)), 0.0), self.max_weight) / self.max_weight
        update = self._clipped_update(sent, reply)
        values: dict[str, Float64Array] = {UPDATE + name: weight * value for name, value in update.items()}
        values[WEIGHT] = np.array([weight])
        for name, bound in self.metrics.items():
            values[METRIC + name] = np.array([weight * float(np.clip(_number(metrics, name), -bound, bound))])
        return encoding.encode(Contribution(encoding.layout, values, num_users=1), rng or np.random.default_rng())

    def decode(self, sent: RecordDict, words: Words) -> RecordDict:
        """Server: `mean` of a sum that is still in words."""
        return self.mean(sent, self.encoding(sent).decode(words))

    def mean(self, sent: RecordDict, values: Mapping[str, Float64Array]) -> RecordDict:
        """Server: the weighted mean of the answers, in the form in which a strategy expects one client's answer.

        values: the sum over clients, by block. Raises RoundFailed if nobody in it has a weight.
        """
        total = float(values[WEIGHT][0])
        if not total > 0:
            raise RoundFailed("All clients of the round have weight 0: there is no mean.")
        arrays = {
            name: Array((start + values[UPDATE + name] / total).astype(start.dtype))
            for name, start in ((name, array.numpy()) for name, array in self._arrays(sent).items())
        }
        means = {name: float(values[METRIC + name][0]) / total for name in self.metrics}
        metrics = MetricRecord({**means, self.weight_key: total * self.max_weight})
        return RecordDict({self.arrays_key: ArrayRecord(arrays), self.metrics_key: metrics})

    def _clipped_update(self, sent: RecordDict, reply: RecordDict) -> dict[str, Float64Array]:
        before, after = self._arrays(sent), self._arrays(reply)
        if {n: a.shape for n, a in before.items()} != {n: a.shape for n, a in after.items()}:
            raise Refusal("contribution-error", "the answer does not have the arrays that were sent")
        update = {n: after[n].numpy().astype(np.float64) - before[n].numpy().astype(np.float64) for n in before}
        norm = float(np.sqrt(sum(float(np.vdot(value, value)) for value in update.values())))
        if not np.isfinite(norm):
            raise Refusal("contribution-error", "the answer is not finite")
        scale = min(1.0, self.clip_norm / norm) if norm > 0 else 1.0
        return {name: scale * value for name, value in update.items()}

    def _arrays(self, content: RecordDict) -> ArrayRecord:
        record = content.get(self.arrays_key)
        if not isinstance(record, ArrayRecord):
            raise ProtocolError(f"Expected an ArrayRecord '{self.arrays_key}', got {sorted(content)}.")
        return record


def _number(metrics: MetricRecord, name: str) -> float:
    value = metrics.get(name)
    if not isinstance(value, (int, float)) or not np.isfinite(value):
        raise Refusal("contribution-error", f"the metric '{name}' is missing or not a finite number")
    return float(value)
