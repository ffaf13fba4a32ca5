"""Ten seconds of what `benchmarks run sasrec-...` measures in hours: federated attention comes close to pooled."""

from __future__ import annotations

from fedrec.config import parse
from fedrec.simulations.experiment import Experiment

CONFIG = {
    "name": "quality",
    "data": {"dataset": "synthetic", "synthetic": {"num_tenants": 4, "num_users": 300, "num_items": 60}},
    "tenants": {"split": "by_user_attribute", "attribute": "tenant"},
    "evaluation": {"bootstrap": 0},
    "federation": {"arms": ["floor", "federated", "pooled"]},
    "training": {
        "rounds": 60,
        "optimizer": "fedadam",
        "parameters": {"eta": 0.01, "beta_2": 0.999, "tau": 1e-8},
        "schedule": "cosine",
        "local": {"steps": 1, "batch_size": 25, "optimizer": "sgd", "learning_rate": 1.0, "update_norm": 5.0},
        "alone": {"batch_size": 25, "optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine"},
        "pooled": {"epochs": 10},
    },
    "models": [{"name": "popularity"}, {"name": "sasrec", "dim": 16, "max_length": 20}],
}


def test_one_step_a_round_keeps_the_pooled_quality(tmp_path):
    report = Experiment(parse(CONFIG), tmp_path / "run", page=False).run()
    reached = {(r.arm, r.model): r.slices["all"]["NDCG@10"].mean for r in report.results}
    floor, pooled = reached["floor", "popularity"], reached["pooled", "sasrec"]
    assert pooled > 1.1 * floor
    assert reached["federated", "sasrec"] > 0.9 * pooled
