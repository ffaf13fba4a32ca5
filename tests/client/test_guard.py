"""A tenant that insists on noise, asked by servers that want less."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedrec.client.guard import FOLDER, POLICY, PrivacyPolicy, create_guard, guard_of, read_policy
from fedrec.client.ledger import HEAD, LEDGER, Ledger
from fedrec.client.party import write_policy
from fedrec.client.store import TenantStore
from fedrec.content.features import catalogue_features
from fedrec.errors import ConfigError, Refusal, RoundFailed
from fedrec.messages import (
    ARRAYS,
    BODY,
    REFUSAL,
    WORDS,
    Capacity,
    ContributeBody,
    Holdout,
    ModelSpec,
    NoiseTerms,
    StatisticSpec,
)
from fedrec.models import Popularity
from fedrec.privacy.accountant import multiplier_for
from fedrec.privacy.budget import Spending
from fedrec.privacy.secagg.policy import Policy
from fedrec.server.choosing import Candidate
from fedrec.server.fitting import fit_federated
from fedrec.server.run import run
from fedrec.server.scoring import score_arm
from tests.federation import config_of, exchange_of, grid_of, two_tenants

DELTA = 1e-5
LIMITS = PrivacyPolicy(epsilon=4.0, delta=DELTA, placement="local", max_users=1000)
MULTIPLIER = multiplier_for(4.0, DELTA) * 1.001
CONFIG = config_of({"max_users_per_tenant": 1000, "max_tenants": 8})


def stores_in(folder: Path, limits: PrivacyPolicy = LIMITS) -> list[TenantStore]:
    stores = two_tenants(folder / "tenants")
    for store in stores:
        create_guard(store.folder, limits)
    return stores


def asked(
    stores: list[TenantStore], folder: Path, spending: Spending | None, watch: Callable[[Message], bool] | None = None
) -> dict[str, str]:
    """Ask for item counts once; the reasons of those that refuse, by node."""
    exchange = exchange_of(grid_of(stores, watch or (lambda message: False)), CONFIG, folder)
    exchange.spending = spending
    items = catalogue_features(stores[0].dataset().catalogue)
    try:
        fit_federated(exchange, {"popularity": Popularity(max_items_per_user=3)}, items, "final")
    except RoundFailed as error:
        return dict(re.findall(r"node (\d+): ([\w-]+)", str(error)))
    return {}


def spending(multiplier: float = MULTIPLIER, placement: str = "local", sharers: int = 1) -> Spending:
    return Spending(placement, sharers, multiplier, weight=1.0)  # type: ignore[arg-type]


def entries(stores: list[TenantStore]) -> list[int]:
    return [len(Ledger(store.folder / FOLDER).entries()) for store in stores]


def test_a_release_on_the_policys_terms_is_answered_and_recorded(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    assert asked(stores, tmp_path, spending()) == {}
    assert entries(stores) == [1, 1]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (None, "noise-required"),
        (spending(MULTIPLIER * 0.9), "too-little-noise"),
        (spending(0.01), "too-little-noise"),
        (spending(placement="central-for-comparison"), "wrong-placement"),
        (spending(placement="distributed"), "wrong-placement"),
    ],
)
def test_weaker_terms_are_refused_and_cost_nothing(tmp_path: Path, terms: Spending | None, reason: str) -> None:
    stores = stores_in(tmp_path)
    assert asked(stores, tmp_path, terms) == {"100": reason, "101": reason}
    assert entries(stores) == [0, 0]


def test_more_noise_than_the_policy_asks_for_is_fine(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    assert asked(stores, tmp_path, spending(MULTIPLIER * 3)) == {}


def test_a_limit_for_one_release_is_kept(tmp_path: Path) -> None:
    limits = PrivacyPolicy(epsilon=4.0, delta=DELTA, placement="local", max_users=1000, epsilon_per_release=1.0)
    stores = stores_in(tmp_path, limits)
    assert set(asked(stores, tmp_path, spending()).values()) == {"too-little-noise"}
    assert asked(stores, tmp_path, spending(multiplier_for(1.0, DELTA))) == {}


def test_a_spent_budget_refuses_also_after_the_server_is_gone(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    (tmp_path / "server").mkdir()
    assert asked(stores, tmp_path / "server", spending()) == {}
    shutil.rmtree(tmp_path / "server")
    (tmp_path / "server").mkdir()
    assert set(asked(stores, tmp_path / "server", spending()).values()) == {"budget-spent"}
    assert entries(stores) == [1, 1]


def test_an_old_message_sent_again_is_a_release_of_its_own(tmp_path: Path) -> None:
    """Each answer has fresh noise and is charged; when the budget is spent the very same message is refused."""
    stores = stores_in(tmp_path)
    kept: list[Message] = []
    asked(stores, tmp_path, spending(MULTIPLIER * 2**0.5), lambda message: kept.append(message) is not None)
    question = next(m for m in kept if BODY in m.content and m.metadata.dst_node_id == 100)
    grid = grid_of(stores)
    first, second = (grid.deliver(_again(question)) for _ in range(2))
    assert entries(stores)[0] == 2
    assert first is not None
    assert second is not None
    assert WORDS in first.content
    assert dict(second.content[REFUSAL])["reason"] == "budget-spent"


def _again(message: Message) -> Message:
    return Message(message.content, dst_node_id=100, message_type="train.contribute")


@pytest.mark.parametrize("missing", [LEDGER, HEAD])
def test_a_tenant_whose_ledger_is_incomplete_releases_nothing(tmp_path: Path, missing: str) -> None:
    stores = stores_in(tmp_path)
    (stores[0].folder / FOLDER / missing).unlink()
    reasons = asked(stores, tmp_path, spending())
    assert reasons["100"] == "ledger-missing"


@pytest.mark.parametrize("text", ["", "epsilon = 4.0\n", "epsilon = -1\ndelta = 1e-5\n", "epsilon = 1\nnonsense", "\0"])
def test_a_damaged_policy_releases_nothing(tmp_path: Path, text: str) -> None:
    stores = stores_in(tmp_path)
    (stores[0].folder / FOLDER / POLICY).write_text(text)
    assert asked(stores, tmp_path, spending())["100"] == "ConfigError"
    (stores[0].folder / FOLDER / POLICY).unlink()
    assert asked(stores, tmp_path, spending())["100"] == "ConfigError"


def test_a_tenant_without_a_ledger_does_not_take_part_in_a_private_run(tmp_path: Path) -> None:
    assert set(asked(two_tenants(tmp_path / "tenants"), tmp_path, spending()).values()) == {"no-privacy-policy"}


def test_choosing_and_metrics_are_refused(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    exchange = exchange_of(grid_of(stores), CONFIG, tmp_path)
    with pytest.raises(RoundFailed, match="noise-required"):  # an ordinary run, which begins by choosing
        run(exchange, stores[0].dataset().catalogue, tmp_path / "server")
    model = Candidate("popularity", "popularity", {"max_items_per_user": None})
    weights = {"num_items": np.array(6), "popularity": np.arange(6.0)}
    spec = ModelSpec(label="popularity", name="popularity", candidates=(model.params,))
    for phase in ("choose", "final"):
        with pytest.raises(RoundFailed, match="metrics-not-private"):
            score_arm(exchange, "floor", [spec], {"popularity": (model, weights)}, np.arange(6.0), phase)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["train.local", "train.contribute", "evaluate.score", "evaluate.clicks"])
def test_every_other_kind_of_message_is_refused(tmp_path: Path, kind: str) -> None:
    stores = stores_in(tmp_path)
    grid = grid_of(stores)
    content = Message(hardly_anything(), dst_node_id=100, message_type=kind)
    reply = grid.deliver(content)
    assert reply is not None
    assert set(reply.content) == {REFUSAL}
    assert entries(stores) == [0, 0]


def hardly_anything() -> RecordDict:
    """An instruction that says its phase, and nothing else."""
    return RecordDict({BODY: ConfigRecord({"json": '{"phase": "final"}'}), ARRAYS: ArrayRecord()})


def body(terms: NoiseTerms, max_users: int = 1000) -> ContributeBody:
    holdout = Holdout(
        rule="leave-last-out", starts=None, exclude_seen=True, ks=(2,), bootstrap=0, headline="NDCG@2", seed=0
    )
    return ContributeBody(
        round=1,
        phase="final",
        capacity=Capacity(max_clients=8, max_users=max_users),
        holdout=holdout,
        statistics=(StatisticSpec(name="item_counts", params={}),),
        noise=terms,
    )


def reason(store: TenantStore, asked_for: ContributeBody) -> str:
    guard = guard_of(store)
    assert guard is not None
    with pytest.raises(Refusal) as caught:
        guard.check(asked_for)
    return caught.value.reason


def test_shares_of_noise_need_masks_and_as_many_honest_tenants_as_the_policies_vouch_for(tmp_path: Path) -> None:
    store = stores_in(tmp_path, PrivacyPolicy(epsilon=4.0, delta=DELTA, max_users=1000))[0]
    terms = NoiseTerms(placement="distributed", sharers=3, multipliers=(MULTIPLIER,))
    assert reason(store, body(terms)) == "masks-required"
    write_policy(store.folder, Policy(min_cohort=3))
    assert reason(store, body(terms)) == "too-few-honest"  # one of the three may collude
    write_policy(store.folder, Policy(min_cohort=4))
    guard = guard_of(store)
    assert guard is not None
    guard.check(body(terms))


def test_a_plan_for_fewer_users_is_refused_whatever_the_tenant_has(tmp_path: Path) -> None:
    """Else a server could find out by refusals how many users there are."""
    terms = NoiseTerms(placement="local", sharers=1, multipliers=(MULTIPLIER,))
    assert reason(stores_in(tmp_path)[0], body(terms, max_users=999)) == "capacity-too-small"


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    limits = PrivacyPolicy(2.5, 1e-6, "distributed", 2, 0.5, 77, True, "simulation")
    create_guard(tmp_path, limits)
    assert read_policy(tmp_path / FOLDER / POLICY) == limits


@pytest.mark.parametrize(
    "values",
    [
        {"epsilon": 0.0},
        {"epsilon": True},
        {"epsilon": "8"},
        {"delta": 1.5},
        {"placement": "central"},
        {"colluding": -1},
        {"max_users": 0},
        {"evaluation": "yes"},
        {"epsilon_per_release": -1.0},
    ],
)
def test_impossible_policies_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        PrivacyPolicy(**({"epsilon": 1.0, "delta": DELTA} | values))  # type: ignore[arg-type]
