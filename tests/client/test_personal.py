"""What serves a tenant: the best of what others made with it, and of what it makes alone, on its own validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.client.kept import KEPT, keep_validation, kept_test, kept_validation
from fedrec.client.personal import choose, personal
from fedrec.client.scoring import score
from fedrec.client.store import TenantStore, create_store
from fedrec.errors import ModelError, ProtocolError, Refusal
from fedrec.messages import Capacity, ModelSpec, ScoreBody, part
from fedrec.server.exchange import holdout_of
from tests.federation import LEFT, config_of, rows_of

POPULARITY = ModelSpec(label="popularity", name="popularity", candidates=({"max_items_per_user": None},))
NEAREST = ModelSpec(label="user_knn", name="user_knn", candidates=({"neighbours": 1},))
NAMED = 'popularity {"max_items_per_user": null}'


@pytest.fixture
def store(tmp_path: Path) -> TenantStore:
    return create_store(tmp_path / "left", rows_of(LEFT, "left"))


def asked(arm: str, phase: str = "final", models: tuple[ModelSpec, ...] = (POPULARITY,)) -> ScoreBody:
    capacity = Capacity(max_clients=4, max_users=100)
    return ScoreBody(round=1, phase=phase, capacity=capacity, holdout=holdout_of(config_of()), arm=arm, models=models)


def sent(counts: str) -> dict[str, np.ndarray]:
    """Popularity as a server might send it: one digit for each of the items a to f."""
    values = np.array([float(digit) for digit in counts])
    return {"counts": np.ones(6), "popularity/popularity": values, "popularity/num_items": np.array(6)}


def scored(store: TenantStore, together: str, models: tuple[ModelSpec, ...] = (POPULARITY,)) -> None:
    """All that comes before arm `personal`. together: the popularity of all tenants."""
    score(asked("federated", "choose"), sent(together), store)
    score(asked("local", models=models), {"counts": np.ones(6)}, store)
    score(asked("federated"), sent(together), store)


def summed(store: TenantStore, arm: str, label: str = "popularity") -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in part(kept_test(store, arm), label).items()}


@pytest.mark.parametrize(
    ("options", "best"),
    [
        ({"federated": [0.2, 0.4], "tuned": [0.6, 0.2], "local": [0.3, 0.4]}, "tuned"),
        ({"federated": [0.5, 0.1], "tuned": [0.1, 0.5], "local": [0.3, 0.3]}, "federated"),
        ({"federated": [0.0, 0.5], "local": [0.0, 0.501]}, "local"),
        ({"federated": [], "local": []}, "federated"),
        ({"local": [0.0]}, "local"),
    ],
)
def test_the_highest_mean_is_chosen_and_the_earliest_of_equals(options, best):
    assert choose({arm: np.array(values) for arm, values in options.items()}) == best


def test_a_choice_by_validation_costs_a_fifth_of_a_standard_error_at_most():
    """The bound of the documentation, for one user: d Phi(-d / s) with s = 1.

    If a choice is wrong with probability p, the mean cost of n has the standard deviation sqrt(d * d p (1 - p) / n),
    here at most sqrt(3 * .17 / 5,000) = .0102. A false alarm is 4.9 of these above the bound: below 1e-5 for all d.
    """
    rng = np.random.default_rng(0)
    for lost in (0.1, 0.5, 0.75, 1.5, 3.0):
        leads = rng.normal(-lost, 1.0, 5_000)
        wrong = [choose({"federated": np.array([lead]), "local": np.array([0.0])}) == "federated" for lead in leads]
        assert lost * np.mean(wrong) < 0.17 + 0.05


def test_a_tenant_whom_the_federation_does_not_fit_is_served_by_its_own(store):
    scored(store, together="000009")  # only left's b, c, d and e are ever held out
    found = personal(asked("personal"), store)["popularity"]
    assert found.arm == "local"
    assert {name: value.tolist() for name, value in found.sums.values.items()} == summed(store, "local")
    assert store.choice() == ("popularity", "local")


def test_a_tenant_whom_the_federation_helps_is_served_by_it(store):
    scored(store, together="079980")
    found = personal(asked("personal"), store)["popularity"]
    assert found.arm == "federated"
    assert {name: value.tolist() for name, value in found.sums.values.items()} == summed(store, "federated")
    assert found.validation == pytest.approx(float(np.mean(kept_validation(store, "federated")[NAMED])))
    assert store.choice() == ("popularity", "federated")


def test_its_sums_are_those_of_the_chosen_arm_and_its_results_say_which(store):
    scored(store, together="000009")
    contribution = score(asked("personal"), {}, store)
    assert {block.name for block in contribution.layout.blocks} == {
        f"popularity/{name}" for name in summed(store, "local")
    }
    results = store.results()
    assert results["personal"]["popularity"]["slices"] == results["local"]["popularity"]["slices"]
    assert results["personal"]["popularity"]["arm"] == "local"


def test_a_recommender_that_never_leaves_its_tenant_is_among_those_that_can_serve_it(store):
    models = (POPULARITY, NEAREST)
    scored(store, together="000009", models=models)
    found = personal(asked("personal", models=models), store)
    assert found["user_knn"].arm == "local"
    reached = {label: float(values.mean()) for label, values in kept_validation(store, "local").items()}
    assert store.choice() == (max(reached, key=lambda label: reached[label]), "local")


def test_of_what_others_made_only_the_first_recommender_can_serve_a_tenant(store):
    """The others did worse for all tenants together, and one tenant's users are too few to say otherwise."""
    second = ModelSpec(label="second", name="popularity", candidates=({"max_items_per_user": 9},))
    score(asked("federated", "choose", (POPULARITY, second)), sent("000009") | rest("009800"), store)
    score(asked("local"), {"counts": np.ones(6)}, store)
    score(asked("federated", models=(POPULARITY, second)), sent("000009") | rest("009800"), store)
    found = personal(asked("personal", models=(POPULARITY, second)), store)
    assert found["second"].arm == "federated"
    assert found["second"].validation > found["popularity"].validation
    assert store.choice() == ("popularity", "local")


def rest(counts: str) -> dict[str, np.ndarray]:
    return {name.replace("popularity/", "second/", 1): value for name, value in sent(counts).items() if "/" in name}


def test_without_a_trace_of_any_arm_there_is_no_choice(store):
    with pytest.raises(Refusal, match="nothing-kept"):
        personal(asked("personal"), store)


def test_an_arm_that_was_measured_but_not_scored_does_not_count(store):
    scored(store, together="000009")
    keep_validation(store, "tuned", {NAMED: np.ones(3)})
    assert personal(asked("personal"), store)["popularity"].arm == "local"


def test_there_is_no_personal_arm_while_choosing(store):
    with pytest.raises(ProtocolError, match="rests on what was kept"):
        score(asked("personal", "choose"), {}, store)


def test_what_is_kept_is_the_tenants_alone(store):
    scored(store, together="000009")
    personal(asked("personal"), store)
    paths = [store.folder / "choice.json", *(store.folder / KEPT).iterdir()]
    assert len(paths) == 6
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert (store.folder / KEPT).stat().st_mode & 0o777 == 0o700
    assert json.loads(paths[0].read_text()) == {"model": "popularity", "arm": "local"}


def test_a_damaged_file_is_an_error(store):
    scored(store, together="000009")
    path = store.folder / KEPT / "validation-local.safetensors"
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(ModelError, match="damaged"):
        personal(asked("personal"), store)
