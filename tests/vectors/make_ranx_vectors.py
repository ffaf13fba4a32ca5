"""Makes `ranx.json`: random rankings without ties, and the metrics that ranx 0.3.21 gives for them.

Run it in an environment of its own, since ranx is no dependency of the project:

    python -m venv /tmp/ranx && /tmp/ranx/bin/pip install ranx==0.3.21
    /tmp/ranx/bin/python tests/vectors/make_ranx_vectors.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ranx import Qrels, Run
from ranx import evaluate as ranx_evaluate

NAMES = {
    "HR": "hit_rate",
    "Recall": "recall",
    "Precision": "precision",
    "F1": "f1",
    "NDCG": "ndcg",
    "MRR": "mrr",
    "MAP": "map",
}
KS = (1, 5, 10, 20)
NUM_USERS, NUM_ITEMS = 25, 40


def main() -> None:
    """Writes `ranx.json` beside this file."""
    rng = np.random.default_rng(20240607)
    # whole numbers far below 2**24, since ranx may hold scores in single precision
    scores = [rng.permutation(1000)[:NUM_ITEMS].tolist() for _ in range(NUM_USERS)]
    seen, targets = [], []
    for _ in range(NUM_USERS):
        items = rng.permutation(NUM_ITEMS)
        num_seen, num_targets = rng.integers(0, 25), rng.integers(1, 14)
        seen.append(items[:num_seen].tolist())
        targets.append(items[num_seen : num_seen + num_targets].tolist())
    qrels = Qrels({f"u{user:03}": {str(item): 1 for item in row} for user, row in enumerate(targets)})
    run = Run(
        {
            f"u{user:03}": {str(i): float(row[i]) for i in range(NUM_ITEMS) if i not in seen[user]}
            for user, row in enumerate(scores)
        }
    )
    names = [f"{name}@{k}" for name in NAMES.values() for k in KS]
    result = ranx_evaluate(qrels, run, names, return_mean=False)
    metrics = {
        f"{ours}@{k}": [float(value) for value in result[f"{theirs}@{k}"]] for ours, theirs in NAMES.items() for k in KS
    }
    vectors = {"ks": KS, "scores": scores, "seen": seen, "targets": targets, "metrics": metrics}
    Path(__file__).with_name("ranx.json").write_text(json.dumps(vectors) + "\n")


if __name__ == "__main__":
    main()
