"""A real federation under user-level differential privacy, from empty ledgers to spent ones: masks, each tenant's guard
and ledger, and the popularity list as the floor that nothing may fall below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.federation import exchange_over
from fedrec.client.guard import FOLDER
from fedrec.client.ledger import Ledger
from fedrec.config import Config
from fedrec.content.features import catalogue_features
from fedrec.data import Dataset
from fedrec.messages import ModelSpec
from fedrec.models import ClosedForm, ItemFeatures
from fedrec.privacy.accountant import epsilon_of
from fedrec.server.choosing import Candidate, candidates_of
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import fit_federated
from fedrec.server.neural import train_weights
from fedrec.server.private_run import bounded, plan_privacy
from fedrec.server.scoring import score_arm

DELTA, METRIC, FLOOR = 1e-5, "NDCG@10", "popularity"


@dataclass(frozen=True)
class PrivateFederation:
    """chosen: the recommenders by name, each with one set of hyper-parameters. weights: of those fitted so far."""

    exchange: Exchange
    folder: Path
    items: ItemFeatures
    chosen: dict[str, Candidate]
    weights: dict[str, Any]

    @classmethod
    def fitted(cls, config: Config, dataset: Dataset, folder: Path) -> PrivateFederation:
        """Closed forms, among them the floor, after one noised sum."""
        exchange, items = exchange_over(config, dataset, folder), catalogue_features(dataset.catalogue)
        options = {model.name: candidates_of(model) for model in bounded(config, config.models)}
        plan_privacy(exchange, items, options)
        chosen = {name: several[0] for name, several in options.items()}
        closed = {name: c.algorithm for name, c in chosen.items() if isinstance(c.algorithm, ClosedForm)}
        return cls(exchange, folder, items, chosen, dict(fit_federated(exchange, closed, items, "final")))

    def train(self, name: str) -> None:
        """Train a recommender by gradients, beside those in closed form."""
        where, algorithm = self.folder / "training", self.chosen[name].algorithm
        self.weights[name] = train_weights(self.exchange, algorithm, self.items, self._counts, "final", where)

    def metrics(self) -> dict[str, float]:
        """NDCG@10 on all test users by recommender."""
        models = {name: (candidate, self.weights[name]) for name, candidate in self.chosen.items()}
        specs = [ModelSpec(label=name, name=name, candidates=(c.params,)) for name, c in self.chosen.items()]
        scores = score_arm(self.exchange, "federated", specs, models, self._counts, "final")
        return {name: float(summary["all"][METRIC]["mean"] or 0.0) for name, summary in scores.items()}

    def spent(self) -> float:
        """Epsilon by the running check of the tenant that spent most; 0 where nobody has a ledger."""
        folders = [tenant / FOLDER for tenant in (self.folder / "tenants").iterdir()]
        return max((spent_of(Ledger(folder)) for folder in folders if folder.exists()), default=0.0)

    @property
    def _counts(self) -> Any:
        return self.weights[FLOOR]["popularity"]


def spent_of(ledger: Ledger) -> float:
    """Epsilon of all releases on a ledger."""
    return epsilon_of([mechanism for entry in ledger.entries() for mechanism in entry.mechanisms], DELTA)
