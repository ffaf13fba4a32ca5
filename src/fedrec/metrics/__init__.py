"""Evaluation that cannot flatter: full ranking, ties by expectation, sums that can be federated."""

from fedrec.metrics.evaluate import SliceMetrics, UserMetrics, evaluate
from fedrec.metrics.protocol import RankingProtocol
from fedrec.metrics.slices import SLICES
from fedrec.metrics.summary import Summary, over_seeds
from fedrec.metrics.sums import MetricSums

__all__ = [
    "SLICES",
    "MetricSums",
    "RankingProtocol",
    "SliceMetrics",
    "Summary",
    "UserMetrics",
    "evaluate",
    "over_seeds",
]
