"""What is measured and how: the public choices on which two results must agree to be comparable."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.errors import ConfigError

CUT_OFF_METRICS = ("HR", "Recall", "Precision", "F1", "NDCG", "MRR", "MAP")


@dataclass(frozen=True)
class RankingProtocol:
    """How users are ranked and what is summed. Public, and the same for every client of one evaluation.

    ks: cut-offs, ascending; the metrics at the first are the ones with bootstrap intervals.
    list_length: length of the list whose exposure, novelty and diversity are measured.
    exclude_seen: items of the user's history are not candidates.
    sampled_negatives: rank the targets among so many sampled items instead of the catalogue. Such figures can
        order two recommenders wrongly (Krichene & Rendle, "On Sampled Metrics for Item Recommendation", KDD
        2020). They exist to set a result beside an old paper's, and their names say so. They are not for
        release under differential privacy: a user's sample depends on the row, so on who else is there.
    novelty_cap: the most self-information, in bits, that one recommended item can count for.
    num_bootstrap: Poisson bootstrap replicates; 0 for none.
    seed: of the sampled negatives and of the bootstrap.
    """

    ks: tuple[int, ...] = (10, 20)
    list_length: int = 10
    exclude_seen: bool = True
    sampled_negatives: int | None = None
    novelty_cap: float = 20.0
    num_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ks or self.ks[0] < 1 or list(self.ks) != sorted(set(self.ks)):
            raise ConfigError(f"Expected ascending cut-offs of at least 1, got ks={self.ks}; for example (10, 20).")
        if self.list_length < 1:
            raise ConfigError(f"Expected list_length={self.list_length} >= 1.")
        if self.sampled_negatives is not None and self.sampled_negatives < 1:
            raise ConfigError(
                f"Expected sampled_negatives={self.sampled_negatives} >= 1; leave it out to rank the whole catalogue."
            )
        if not 0 < self.novelty_cap < float("inf"):
            raise ConfigError(f"Expected a finite novelty_cap={self.novelty_cap} > 0 bits.")
        if self.num_bootstrap < 0:
            raise ConfigError(f"Expected num_bootstrap={self.num_bootstrap} >= 0.")

    def named(self, metric: str) -> str:
        """`metric` as it is reported: sampled metrics carry a warning in their name."""
        if self.sampled_negatives is None:
            return metric
        return f"{metric} ({self.sampled_negatives} sampled negatives, not comparable)"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The per-user ranking metrics in the order of their columns."""
        at_k = [f"{metric}@{k}" for k in self.ks for metric in CUT_OFF_METRICS]
        return tuple(self.named(metric) for metric in (*at_k, "AUC"))

    @property
    def main_metrics(self) -> tuple[str, str]:
        """HR and NDCG at the first cut-off: the ones with bootstrap intervals."""
        return self.named(f"HR@{self.ks[0]}"), self.named(f"NDCG@{self.ks[0]}")
