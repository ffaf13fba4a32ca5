"""A report as a real run would write it, with the ugly cases that real runs have."""

import random

import pytest

from fedrec.simulations.report.schema import (
    Data,
    Measure,
    ModelCard,
    Privacy,
    Report,
    Result,
    Round,
    Sent,
    Tenant,
    TenantResult,
)

ARMS = ["floor", "local", "federated", "pooled"]
MODELS = {  # name: title, scope, local, federated and pooled quality
    "popularity": ("Popularity", "federated", 0.0712, 0.0803, 0.0803),
    "recent": ("Recently popular", "federated", 0.0871, 0.0905, 0.0905),
    "item_knn": ("Item-kNN", "federated", 0.1542, 0.1893, 0.1893),
    "ease": ("EASE", "federated", 0.1608, 0.2071, 0.2071),
    "pca": ("PCA", "federated", 0.1391, 0.1745, 0.1745),
    "als": ("Implicit ALS", "federated", 0.1477, 0.1862, 0.1921),
    "markov": ("Markov chain", "federated", 0.1203, 0.1666, 0.1668),
    "content": ("Content similarity", "tenant", 0.0934, None, None),
}
NAMES = [
    "Nordlicht Records", "corner", "Ålesund Bok & Papir", "La Petite Épicerie", "<script>alert('x')</script>",
    "A shop whose owners could not agree on one name and therefore simply registered all of them at once",
    "garden-centre-04", "garden-centre-05", "pets", "outdoor", "toys", "grocery-east", "grocery-west",
    "hardware", "pharmacy", "bikes", "books-2nd-hand", "wine", "tea $x_1^", "[red]markup[/red]", "new-tenant",
]  # fmt: skip
PARTS = {
    "activity:0": 0.35, "activity:1-9": 0.74, "activity:10-49": 1.02, "activity:50-199": 1.11,
    "target:head": 1.9, "target:mid": 0.62, "target:tail": 0.21, "target:cold": 0.002,
}  # fmt: skip


def measure(mean, users=5412.0, spread=0.006):
    return Measure(mean=mean, users=users, low=max(0.0, mean - spread), high=mean + spread)


def result(arm, model, mean):
    accuracy = {
        "HR@10": measure(mean * 1.8, spread=0.01),
        "NDCG@10": measure(mean),
        "MRR@10": measure(mean * 0.7),
    }
    users = dict(zip(PARTS, (61.0, 1140.0, 2890.0, 1321.0, 2011.0, 2307.0, 1001.0, 93.0), strict=True))
    slices = {"all": accuracy}
    slices |= {part: {"NDCG@10": measure(mean * factor, users[part], 0.02)} for part, factor in PARTS.items()}
    slices["lists"] = {
        "coverage@10": Measure(mean=0.05 + mean, users=5412.0),
        "gini@10": Measure(mean=0.97 - mean / 2, users=5412.0),
        "novelty@10": Measure(mean=9.1 + 3 * mean, users=5412.0),
        "diversity@10": Measure(mean=0.61 + mean / 3, users=5380.0),
    }
    return Result(arm=arm, model=model, slices=slices)


def results():
    found = [result("floor", "popularity", 0.0803)]
    for model, (_, _, *scores) in MODELS.items():
        pairs = zip(ARMS[1:], scores, strict=True)
        found += [result(arm, model, mean) for arm, mean in pairs if mean is not None]
    return found


def tenant(place, name, rng):
    if name == "new-tenant":
        return Tenant(
            name=name,
            users=4,
            test_users=0,
            events=9,
            results=[],
            best_local=None,
            best_federated=None,
            gain=None,
        )
    gain = {"corner": -0.062, "wine": 0.002, "tea $x_1^": 3.4}.get(name, rng.uniform(-0.01, 0.85))
    alone = rng.uniform(0.08, 0.2)
    scores = {("local", "item_knn"): alone, ("federated", "ease"): alone * (1 + gain)}
    rows = [TenantResult(arm=a, model=m, metrics={"NDCG@10": score}) for (a, m), score in scores.items()]
    users = rng.randint(40, 900)
    return Tenant(name=name, users=users, test_users=users - 7, events=users * 31 + place, results=rows,
                  best_local="item_knn", best_federated="ease", gain=gain)  # fmt: skip


def rounds():
    gram = Sent(block="gram/products", shape=[1682, 1682], bits=32, resolution=0.001, user_l2=1.0)
    counts = Sent(block="popularity/items", shape=[1682], bits=32, resolution=1.0, user_l2=12.649)
    sums = Sent(block="metrics", shape=[10, 22], bits=64, resolution=1e-06, user_l2=4.69)
    asked = [("choose", "popularity", [counts], 6728), ("choose", "item-item products", [gram], 11316496)]
    asked += [("choose", f"als half-step {step}", [gram], 2691200) for step in range(1, 5)]
    asked += [("final", "item-item products", [gram], 11316496)] + [("test", f"score {a}", [sums], 1760) for a in ARMS]
    failed = {
        2: {"tenant-12": "timed out after 30 s"},
        6: {"tenant-03": "<b>disk full</b>", "tenant-12": "timed out"},
    }
    return [
        Round(
            number=number, phase=phase, action=action, clients=21, failed=failed.get(number, {}), bytes_up=up,
            bytes_down=up // 2 + 312, seconds=0.11 + up / 6e6, sent=sent,
        )
        for number, (phase, action, sent, up) in enumerate(asked, start=1)
    ]  # fmt: skip


def card(name, title, scope):
    tried = [{"l2": l2, "NDCG@10": round(0.19 - abs(l2 - 500) / 1e5, 5)} for l2 in (50.0, 200.0, 500.0, 1000.0)]
    parameters = {"l2": 500.0} if name == "ease" else {"neighbours": 100, "shrink": 20.0} if name == "item_knn" else {}
    return ModelCard(
        name=name, title=title, scope=scope, parameters=parameters, candidates=tried if name == "ease" else []
    )


def make_report(**changes):
    """The sample, with some of its fields replaced."""
    rng = random.Random(7)
    report = Report(
        name="marketplace, 21 shops",
        created="2026-11-22T09:30:00Z",
        seed=1,
        command="fedrec simulate --preset marketplace --seed 1 --out runs/marketplace",
        versions={"fedrec": "0.1.0", "flwr": "1.41.0", "numpy": "2.3.5", "python": "3.11.2"},
        headline="NDCG@10",
        data=Data(
            name="MovieLens 100K", users=9430, items=1682, events=100000, tenants=21, split="by home region",
            holdout="leave last out", users_left_out=17, licence="research; see https://example.org/terms",
        ),
        arms=ARMS,
        chosen="ease",
        models=[card(name, title, scope) for name, (title, scope, *_) in MODELS.items()],
        results=results(),
        tenants=[tenant(place, name, rng) for place, name in enumerate(NAMES)],
        rounds=rounds(),
        privacy=Privacy(
            noise="No noise was added.", masks="Sums were sent in the clear.",
            statement="What left each tenant are bounded sums over its users, one vector a round.",
        ),
        seconds={"prepare": 1.9, "choose": 21.4, "final": 8.2, "test": 14.1},
        peak_memory_bytes=1_310_000_000,
    )  # fmt: skip
    return report.model_copy(update=changes)


@pytest.fixture(scope="session", name="make_report")
def make_report_fixture():
    return make_report


@pytest.fixture(scope="session")
def report():
    return make_report()
