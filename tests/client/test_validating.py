"""Validation with noise: what one user can change in the words that leave, whatever a server sends, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.guard import FOLDER, PrivacyPolicy, candidates_in, create_guard
from fedrec.client.ledger import Ledger
from fedrec.client.store import TenantStore, create_store
from fedrec.client.validating import validate
from fedrec.contribution import Contribution
from fedrec.messages import (
    REFUSAL,
    WORDS,
    Capacity,
    Holdout,
    ModelSpec,
    NoiseTerms,
    expecting,
    instruction,
)
from fedrec.models import PCA, ItemFeatures, Popularity, fit
from fedrec.models.fitting import pooled_sum
from fedrec.privacy.accountant import multiplier_for
from fedrec.privacy.mechanisms import Skellam
from fedrec.privacy.policy import Distributed
from fedrec.privacy.release import noised_release_of
from fedrec.strategies.asked import asked_release
from fedrec.strategies.validation import VALIDATE, ValidateBody, layout_of
from tests.federation import LEFT, RIGHT, grid_of, rows_of

DELTA = 1e-5
LIMITS = PrivacyPolicy(epsilon=4.0, delta=DELTA, placement="local", max_users=1000)
MULTIPLIER = multiplier_for(4.0, DELTA) * 1.001
TERMS = NoiseTerms(placement="local", sharers=1, multipliers=(MULTIPLIER,))
USERS = {**LEFT, **RIGHT, "hal": "ab", "ivy": "a", "joe": "fa"}
PARAMS: dict[str, Any] = {"rank": 2, "half_life": None, "window": None}


def fitted(weights: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
    """A PCA of all rows, with other weights in the place of some."""
    rows = rows_of(USERS).histories()
    found = fit(PCA(**PARAMS), ItemFeatures(6), pooled_sum([rows]))
    return {**{name: found[name] for name in PCA.shared if name in found}, **(weights or {})}


def spec(label: str, name: str = "pca", params: dict[str, Any] | None = None) -> ModelSpec:
    return ModelSpec(label=label, name=name, candidates=(PARAMS if params is None else params,))


def body(*models: ModelSpec, **changes: Any) -> ValidateBody:
    holdout = Holdout(
        rule="leave-last-out", starts=None, exclude_seen=True, ks=(2,), bootstrap=0, headline="NDCG@2", seed=0
    )
    given = {
        "round": 3,
        "phase": "choose",
        "capacity": Capacity(max_clients=8, max_users=1000),
        "holdout": holdout,
        "candidates": len(models),
        "models": models,
        "noise": TERMS,
    }
    return ValidateBody(**{**given, **changes})


HOSTILE: dict[str, dict[str, Any]] = {
    "plain": {},
    "no number": {"components": np.where(np.arange(6)[:, None] == 2, np.nan, 1.0) * np.ones((6, 2))},
    "infinite": {"components": np.full((6, 2), 1e308)},
    "too short": {"components": np.ones((3, 2))},
    "no weights": {"components": np.zeros((0, 0))},
}


def arrays_of(weights: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    return {f"{label}/{name}": value for label, one in weights.items() for name, value in one.items()}


ASKED = body(*(spec(label) for label in HOSTILE), spec("list", "popularity", {}))
ARRAYS = arrays_of({label: fitted(change) for label, change in HOSTILE.items()}) | {
    "list/num_items": np.array(6),
    "list/popularity": np.arange(6.0),
}


def contributed(folder: Path, users: dict[str, str]) -> Contribution:
    store = create_store(folder, rows_of(users))
    return validate(ASKED, ARRAYS, store)


def test_the_weights_that_are_attacked_are_those_of_the_model() -> None:
    assert "components" in fitted()


def within_the_bound(before: Contribution, after: Contribution) -> bool:
    """Whether the words differ by no more than is accounted for."""
    release = noised_release_of(layout_of(ASKED.candidates), 4, 100, Distributed(2), [1.0])
    assert release.noise is not None
    (one,) = release.noise.blocks
    assert isinstance(one.mechanism, Skellam)
    steps = [
        release.encoding.segments(release.encoding.encode(found))[0].astype(np.float64) for found in (before, after)
    ]
    moved = steps[1] - steps[0]
    return bool(np.linalg.norm(moved) <= one.mechanism.l2 and np.abs(moved).sum() <= one.mechanism.l1 * (1 + 1e-9))


@pytest.mark.parametrize("left_out", USERS)
def test_no_user_changes_the_words_by_more_than_is_accounted_for(tmp_path: Path, left_out: str) -> None:
    others = {user: items for user, items in USERS.items() if user != left_out}
    before, after = contributed(tmp_path / "without", others), contributed(tmp_path / "with", USERS)
    assert within_the_bound(before, after)


@pytest.mark.parametrize("left_out", USERS)
def test_no_user_changes_the_part_of_another(tmp_path: Path, left_out: str) -> None:
    """The sum without a user is the sum less that user's own part, which is that of a tenant with no other user."""
    others = {user: items for user, items in USERS.items() if user != left_out}
    (without,) = contributed(tmp_path / "without", others).values.values()
    (alone,) = contributed(tmp_path / "alone", {left_out: USERS[left_out]}).values.values()
    (everyone,) = contributed(tmp_path / "with", USERS).values.values()
    assert everyone == pytest.approx(without + alone, abs=1e-12)
    assert np.linalg.norm(alone) <= np.sqrt(ASKED.candidates + 1) / 2 + 1e-12


def test_metrics_that_are_not_cut_to_their_range_are_noticed(tmp_path: Path) -> None:
    """A planted bug: a metric such as discounted gain without its norm, added up as it comes."""
    before = contributed(tmp_path / "with", USERS)
    (values,) = before.values.values()
    gain = np.array([*np.full(ASKED.candidates, 1.63), 0.5])
    after = Contribution(before.layout, {"0/scores": values + gain}, before.num_users + 10)
    assert not within_the_bound(before, after)


def test_a_user_who_is_counted_for_more_than_half_is_noticed(tmp_path: Path) -> None:
    """A planted bug: the count of users is not scaled with the metrics."""
    before = contributed(tmp_path / "with", USERS)
    (values,) = before.values.values()
    after = Contribution(before.layout, {"0/scores": values + np.array([0.5] * ASKED.candidates + [1.0])}, 30)
    assert not within_the_bound(before, after)


def store_in(folder: Path, limits: PrivacyPolicy | None = LIMITS, users: dict[str, str] | None = None) -> TenantStore:
    store = create_store(folder / "tenant", rows_of(USERS if users is None else users))
    if limits is not None:
        create_guard(store.folder, limits)
    return store


def answered(store: TenantStore, asked: ValidateBody, arrays: dict[str, np.ndarray] | None = None) -> Any:
    content = instruction(asked, ARRAYS if arrays is None else arrays)
    if asked.noise is not None:
        content = expecting(content, *asked_release(layout_of(asked.candidates), asked).words)
    reply = grid_of([store]).deliver(Message(content, dst_node_id=100, message_type=VALIDATE))
    assert reply is not None
    return reply.content


def reason(store: TenantStore, asked: ValidateBody, arrays: dict[str, np.ndarray] | None = None) -> str:
    content = answered(store, asked, arrays)
    assert set(content) == {REFUSAL}
    return str(dict(content[REFUSAL])["reason"])


def entries(store: TenantStore) -> list[str]:
    return [entry.what for entry in Ledger(store.folder / FOLDER).entries()]


def test_a_validation_is_a_release_on_the_ledger_until_the_budget_is_spent(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert set(answered(store, ASKED)) >= {WORDS}
    assert entries(store) == ["round 3: validation of 6 candidates"]
    assert candidates_in(entries(store)[0]) == 6
    assert reason(store, ASKED) == "budget-spent"
    assert len(entries(store)) == 1


def test_the_ledger_is_written_before_a_word_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, seen = store_in(tmp_path), []

    def sent(*arguments: Any) -> Any:
        seen.append(entries(store))
        raise RuntimeError("the power went out")

    monkeypatch.setattr("fedrec.client.noised.answer", sent)
    assert reason(store, ASKED) == "internal-error"
    assert seen == [["round 3: validation of 6 candidates"]]


@pytest.mark.parametrize("users", [{"ann": "a"}, {"ann": "c", "bob": "ac"}, {"ann": "abcdef"}])
def test_no_rows_make_an_answer_a_refusal(tmp_path: Path, users: dict[str, str]) -> None:
    """Else weights that fail for one item would tell whether anyone had it."""
    assert WORDS in answered(store_in(tmp_path, users=users), ASKED)


@pytest.mark.parametrize(
    ("asked", "limits", "why"),
    [
        (ASKED.model_copy(update={"noise": None}), LIMITS, "noise-required"),
        (ASKED.model_copy(update={"candidates": 2}), LIMITS, "candidates-mismatch"),
        (ASKED.model_copy(update={"models": ASKED.models[:1]}), LIMITS, "candidates-mismatch"),
        (ASKED.model_copy(update={"models": (ASKED.models[0],) * 6}), LIMITS, "candidates-mismatch"),
        (ASKED.model_copy(update={"phase": "final"}), LIMITS, "malformed-instruction"),
        (body(spec("plain")), LIMITS, "malformed-instruction"),
        (
            ASKED.model_copy(
                update={"noise": NoiseTerms(placement="local", sharers=1, multipliers=(0.9 * MULTIPLIER,))}
            ),
            LIMITS,
            "too-little-noise",
        ),
        (
            ASKED.model_copy(update={"noise": TERMS.model_copy(update={"placement": "central-for-comparison"})}),
            LIMITS,
            "wrong-placement",
        ),
        (
            ASKED.model_copy(update={"capacity": Capacity(max_clients=8, max_users=999)}),
            LIMITS,
            "capacity-too-small",
        ),
        (ASKED, None, "no-privacy-policy"),
    ],
)
def test_what_is_not_as_planned_is_refused_and_reads_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: ValidateBody, limits: PrivacyPolicy | None, why: str
) -> None:
    store = store_in(tmp_path, limits)
    monkeypatch.setattr(TenantStore, "split", lambda self, holdout: pytest.fail("rows were read"))
    assert reason(store, asked) == why
    assert limits is None or entries(store) == []


def test_candidates_that_are_made_from_the_tenants_rows_are_refused(tmp_path: Path) -> None:
    """Of user-kNN what one user is shown depends on the others."""
    store = store_in(tmp_path)
    assert reason(store, body(spec("near", "user_knn", {})), {}) == "private-weights"


def test_nothing_is_validated_once_the_test_was_read(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.read_test()
    assert reason(store, ASKED) == "test-already-read"
    assert entries(store) == []


def test_popularity_is_what_it_is_by_hand(tmp_path: Path) -> None:
    """Ann had a, b and then c of a..f; with d, e, f less popular, c is first among what is left: NDCG@2 = 1, so her part
    is 1/2 and 1/2. Bob's c is the last of four: -1/2 and 1/2. Cat has one event, and nothing to validate with."""
    weights = {"list/num_items": np.array(6)}
    users = {"ann": "abcd", "bob": "abcd", "cat": "a"}
    asked = body(spec("list", "popularity", {}))
    liked = weights | {"list/popularity": np.array([0.0, 0.0, 9.0, 1.0, 1.0, 1.0])}
    disliked = weights | {"list/popularity": np.array([0.0, 0.0, -9.0, 1.0, 1.0, 1.0])}
    store = create_store(tmp_path, rows_of(users))
    assert validate(asked, liked, store).values["0/scores"].tolist() == [1.0, 1.0]
    assert validate(asked, disliked, store).values["0/scores"].tolist() == [-1.0, 1.0]


def test_popularity_needs_its_weights() -> None:
    assert set(Popularity.shared) == {"num_items", "popularity"}
