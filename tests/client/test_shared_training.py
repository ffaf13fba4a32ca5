"""A tenant that adds a share of the noise to a step: what it refuses, what it records, and what its words hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.client.guard import PrivacyPolicy
from fedrec.client.local_training import train_reply
from fedrec.client.party import create_identity, pin_roster, write_policy
from fedrec.client.store import TenantStore
from fedrec.errors import ProtocolError, Refusal
from fedrec.messages import read_answer
from fedrec.models.ctr import WideDeep
from fedrec.models.neural.plan import LocalTraining
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.mechanisms import SampledSkellam
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.strategies.local_updates import StepNoise, TrainBody
from tests.client.asking import refused_unread
from tests.client.test_private_training import asked, body_of, released, store_in
from tests.federation import LEFT

PLAN = LocalTraining(loss="bce", negatives=4, steps=1, batch_size=2, optimizer="sgd", learning_rate=0.1)
NOISE = StepNoise(placement="distributed", rate=0.5, clip_norm=0.5, multiplier=2.0, sharers=2)
LIMITS = PrivacyPolicy(epsilon=8.0, delta=1e-5, placement="distributed", colluding=1)


def masked_store(folder: Path, limits: PrivacyPolicy | None = LIMITS, rows: dict[str, str] = LEFT) -> TenantStore:
    """A tenant whose secure sums hold at least three."""
    store = store_in(folder, limits, rows)
    key = create_identity(store.folder)
    pin_roster(store.folder, Roster((Member(1, key, store.name),)))
    write_policy(store.folder, Policy(min_cohort=3))
    return store


def shared_body(plan: LocalTraining = PLAN, noise: StepNoise | None = NOISE, **changes: Any) -> TrainBody:
    return body_of(plan, noise, **changes)


def words(store: TenantStore, body: TrainBody) -> np.ndarray:
    message = asked(body)
    answer = read_answer(train_reply(message, store))
    return body.release(message.content).encoding.decode(answer)["sum"]


def test_a_round_is_a_sampled_release_by_the_tenants_own_reckoning(tmp_path: Path) -> None:
    store = masked_store(tmp_path)
    found = words(store, shared_body())
    (spent,) = released(store)
    assert isinstance(spent, SampledSkellam)
    assert spent.rate == 0.5
    assert spent.variance**0.5 / spent.l2 == pytest.approx(2.0)
    assert found.shape == (sum(array.numpy().size for array in asked(shared_body()).content["fedrec.arrays"].values()),)


def test_a_tenant_without_anyone_answers_with_its_share_of_the_noise(tmp_path: Path) -> None:
    """Half of the variance of one user's bound times 2, on each of 28 coordinates: the sum of squares is chi-square,
    and outside of these quantiles with a chance of 1e-6."""
    found = words(masked_store(tmp_path, rows={"ann": "a"}), shared_body())
    std = 2.0 * 0.5 / np.sqrt(2)
    chi = float(((found / std) ** 2).sum())
    assert 5.0 < chi < 85.0
    assert (found != 0).sum() >= 25


@pytest.mark.parametrize(
    ("body", "limits", "reason"),
    [
        (shared_body(noise=None), LIMITS, "noise-required"),
        (shared_body(), replace(LIMITS, placement="local"), "wrong-placement"),
        (shared_body(noise=NOISE.model_copy(update={"sharers": 3})), LIMITS, "too-few-honest"),
        (shared_body(noise=NOISE.model_copy(update={"multiplier": 0.1})), LIMITS, "too-little-noise"),
        (shared_body(), replace(LIMITS, epsilon_per_release=0.1), "too-little-noise"),
        (shared_body(), None, "no-privacy-policy"),
        (shared_body(model=WideDeep.name, params={}), LIMITS, "noise-required"),
        (shared_body(params={"dim": 4, "max_length": 8, "residual": "private"}), LIMITS, "noise-required"),
    ],
    ids=["no noise", "placement", "sharers", "multiplier", "per release", "no policy", "clicks", "private"],
)
def test_weaker_terms_are_refused_before_any_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: TrainBody, limits: PrivacyPolicy | None, reason: str
) -> None:
    store = masked_store(tmp_path, limits)
    assert refused_unread(monkeypatch, asked(body), store) == reason
    assert limits is None or released(store) == []


def test_without_masks_a_share_of_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="masks-required"):
        train_reply(asked(shared_body()), store_in(tmp_path, LIMITS))


def test_a_plan_of_more_than_one_gradient_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="a round is one gradient"):
        train_reply(asked(shared_body(replace(PLAN, steps=2))), masked_store(tmp_path))


def test_the_budget_ends_training(tmp_path: Path) -> None:
    """Two rounds fit, the third does not."""
    terms = SumTerms(0.5, 0.5, 2.0, 2, 2)
    release = terms.release(28, 4)
    assert release.noise is not None
    two = epsilon_of([*release.noise.mechanisms] * 2, 1e-5)
    store = masked_store(tmp_path, replace(LIMITS, epsilon=two * 1.01))
    for number in (1, 2):
        train_reply(asked(shared_body(round=number)), store)
    with pytest.raises(Refusal, match="budget-spent"):
        train_reply(asked(shared_body(round=3)), store)
    assert len(released(store)) == 2
