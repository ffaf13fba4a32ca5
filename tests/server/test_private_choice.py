"""Hyper-parameters that a run with [privacy] leaves open: chosen by noised validation, within the same budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.guard import FOLDER, PrivacyPolicy, create_guard
from fedrec.client.ledger import Ledger
from fedrec.config import Config, parse
from fedrec.data import Dataset, Marketplace, marketplace
from fedrec.errors import ConfigError
from fedrec.messages import ARRAYS, BODY, WORDS
from fedrec.models import ItemFeatures, fit
from fedrec.models import load as load_model
from fedrec.models.fitting import pooled_sum
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.budget import VALIDATION_WEIGHT, Spending
from fedrec.server.arms import specs_of
from fedrec.server.course import read_course
from fedrec.server.private_run import compared
from fedrec.server.run import options_of, run
from fedrec.server.scoring import score_arm
from fedrec.server.validating import choose_noised
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Report
from fedrec.simulations.tenancy import create_tenants
from fedrec.strategies.validation import VALIDATE
from tests.federation import exchange_of, grid_of

ROWS: Dataset = marketplace(Marketplace(num_users=120, num_items=40, mean_events=10), seed=2)
DELTA = 1e-5
L2 = [1.0, 30.0, 3000.0]


def config(
    models: list[dict[str, Any]], privacy: dict[str, Any] | None, arms: tuple[str, ...] = ("federated",)
) -> Config:
    return parse(
        {
            "data": {"dataset": "synthetic"},
            "tenants": {"split": "iid", "n": 4},
            "models": models,
            "evaluation": {"bootstrap": 0},
            "federation": {
                "arms": list(arms),
                "min_tenants": 4,
                "max_tenants": 8,
                "max_users_per_tenant": 1000,
                "secure_aggregation": privacy is not None and privacy.get("placement") != "local",
            },
        }
        | ({} if privacy is None else {"privacy": {"delta": DELTA, "evaluation": "simulation", **privacy}})
    )


def ease(**changes: Any) -> dict[str, Any]:
    return {"name": "ease", "l2": L2, "max_items_per_user": 100, "unit_norm": True, **changes}


POPULARITY = {"name": "popularity", "max_items_per_user": 100, "unit_norm": True}


def told(folder: Path) -> dict[str, Any]:
    """The results that the server wrote for EASE."""
    cards = json.loads((folder / "server" / "server.json").read_text())["models"]
    return next(card for card in cards if card["model"] == "ease")


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "server" / "events.jsonl").read_text().splitlines()]


def released(folder: Path) -> list[list[str]]:
    return [[entry.what for entry in entries] for entries in ledgers(folder)]


def ledgers(folder: Path) -> list[Any]:
    return [Ledger(tenant / FOLDER).entries() for tenant in sorted((folder / "tenants").iterdir())]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("chosen") / "run"
    return folder, Experiment(config([POPULARITY, ease()], {"epsilon": 8.0}, ("floor", "federated")), folder).run(ROWS)


def test_candidates_share_their_sums_and_one_validation_and_that_spends_the_budget(
    finished: tuple[Path, Report],
) -> None:
    folder, _ = finished
    assert released(folder) == [["round 1: item_counts, item_gram", "round 2: validation of 3 candidates"]] * 4
    for entries in ledgers(folder):
        spent = epsilon_of([one for entry in entries for one in entry.mechanisms], DELTA)
        assert 8.0 * 0.99 <= spent <= 8.0


def test_the_choice_says_what_noise_left_open(finished: tuple[Path, Report]) -> None:
    """Of 120 users noise of epsilon 8 lets differences of a few percent pass; what is within it is not told apart."""
    folder, report = finished
    (validation,) = [event for event in events(folder) if event["event"] == "validation"]
    card = told(folder)
    scores = [one["validation"] for one in card["candidates"]]
    assert scores == list(validation["scores"].values())
    assert card["margin"] == validation["margin"] > 0
    within = [score >= max(scores) - card["margin"] for score in scores]
    assert card["parameters"]["l2"] == L2[within.index(True)]
    assert card["told_apart"] == validation["told_apart"]["ease"] == (sum(within) == 1)
    shown = next(one for one in report.models if one.name == "ease")
    assert [one["l2"] for one in shown.candidates] == L2
    assert shown.margin == card["margin"]
    assert "with noise: of those within" in render(report)


def test_what_was_compared_is_kept_and_no_sum_is_released_again(finished: tuple[Path, Report]) -> None:
    folder, report = finished
    started = [event for event in events(folder) if event["event"] == "round-start"]
    assert [(event["phase"], event["action"]) for event in started] == [
        ("choose", "sum item_counts, item_gram"),
        ("choose", "score 3 with noise"),
        ("final", "score floor"),
        ("final", "score federated"),
    ]
    assert cast(Any, load_model(folder / "server" / "models" / "ease").algorithm).l2 == told(folder)["parameters"]["l2"]
    facts = {fact.name: fact.text for fact in report.privacy.claim}
    assert facts["Choice"].startswith("3 candidates were compared on validation, in 1 release")


def test_with_a_huge_epsilon_the_choice_is_that_of_validation_without_noise(tmp_path: Path) -> None:
    """The same weights are scored both ways. Noise of a thousandth of a user's part, at each of four tenants, is 2e-5 of
    a mean; the best candidate is better by .003."""
    given = config([POPULARITY, ease(l2=[0.01, 1.0, 30.0])], None)
    stores, items = create_tenants(given, ROWS, tmp_path / "tenants"), ItemFeatures(ROWS.num_items)
    exchange = exchange_of(grid_of(stores), given, tmp_path)
    options = options_of(given)
    rows = pooled_sum([store.split(exchange.holdout).train for store in stores])
    tried = {c.label: (c, fit(cast(Any, c.algorithm), items, rows)) for several in options.values() for c in several}
    plain = score_arm(exchange, "federated", specs_of(tried), tried, np.ones(ROWS.num_items), "choose")
    for store in stores:
        create_guard(store.folder, PrivacyPolicy(1e7, DELTA, "local", max_users=1000))
    exchange.spending = Spending("local", 1, 1e-3, VALIDATION_WEIGHT)
    chosen, _ = choose_noised(exchange, options, tried, compared(options))
    (found,) = [choice for choice in chosen if choice.scores]
    expected = [float(cast(Any, plain[f"ease:{index}"]["all"]["NDCG@10"]["mean"])) for index in range(3)]
    assert [score for _, score in found.scores] == pytest.approx(expected, abs=5e-4)
    assert found.told_apart
    assert found.candidate.params["l2"] == [0.01, 1.0, 30.0][int(np.argmax(expected))]


def test_tenants_choose_for_themselves_what_stays_with_them(tmp_path: Path) -> None:
    models = [POPULARITY, {"name": "user_knn", "neighbours": [5, 20]}]
    Experiment(config(models, {"epsilon": 8.0, "placement": "local"}), tmp_path / "run", page=False).run(ROWS)
    assert released(tmp_path / "run") == [["round 1: item_counts"]] * 4


def test_candidates_with_private_weights_are_refused_before_anything_is_released(tmp_path: Path) -> None:
    training = {"rounds": 1, "local": {"loss": "bpr", "steps": 1}}
    models = [{"name": "mf", "dim": [2, 4], "residual": "private"}]
    found = config(models, {"epsilon": 8.0, "placement": "local"}).model_dump(mode="json", exclude_none=True)
    with pytest.raises(ConfigError, match="keeps weights at each tenant"):
        Experiment(parse(found | {"training": training}), tmp_path / "run", page=False).run(ROWS)
    assert released(tmp_path / "run") == [[]] * 4


def test_a_trained_recommender_is_trained_once_for_each_candidate_and_kept(tmp_path: Path) -> None:
    training = {"rounds": 2, "local": {"loss": "bpr", "steps": 2, "batch_size": 4}}
    models = [POPULARITY, {"name": "mf", "dim": [2, 3], "max_length": 8}]
    found = config(models, {"epsilon": 8.0, "placement": "local"}).model_dump(mode="json", exclude_none=True)
    Experiment(parse(found | {"training": training}), tmp_path / "run", page=False).run(ROWS)
    for entries in ledgers(tmp_path / "run"):
        assert [one.what.partition(": ")[2] for one in entries] == [
            "item_counts",
            *["mf"] * 4,
            "validation of 2 candidates",
        ]
        spent = epsilon_of([one for entry in entries for one in entry.mechanisms], DELTA)
        assert 8.0 * 0.98 <= spent <= 8.0


@pytest.mark.parametrize("moment", ["validation", "chosen"])
def test_a_run_that_was_interrupted_releases_nothing_twice(tmp_path: Path, moment: str) -> None:
    """Before the choice is on the disk, and after; both times all sums are, the validation among them."""

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == moment:
            raise KeyboardInterrupt

    given = config([POPULARITY, ease()], {"epsilon": 8.0, "placement": "local"})
    with pytest.raises(KeyboardInterrupt):
        Experiment(given, tmp_path / "run", stop, page=False).run(ROWS)
    before = [event for event in events(tmp_path / "run") if event["event"] == "validation"]
    Experiment(given, tmp_path / "run", page=False, resume=True).run(ROWS)
    assert (
        released(tmp_path / "run") == [["round 1: item_counts, item_gram", "round 2: validation of 3 candidates"]] * 4
    )
    assert [one["validation"] for one in told(tmp_path / "run")["candidates"]] == list(before[0]["scores"].values())
    course = read_course(tmp_path / "run" / "server", given)
    assert course is not None
    assert [choice.margin > 0 for choice in course.chosen] == [False, True]


def test_candidates_are_compared_under_noise_of_the_server_too(tmp_path: Path) -> None:
    given = config([POPULARITY, ease()], {"epsilon": 8.0, "placement": "central-for-comparison"})
    Experiment(given, tmp_path / "run", page=False).run(ROWS)
    assert told(tmp_path / "run")["margin"] > 0


def test_no_more_than_words_leaves_a_tenant_and_no_more_than_candidates_reach_it(tmp_path: Path) -> None:
    seen: list[Message] = []

    def watch(message: Message) -> bool:
        seen.append(message)
        return False

    given = config([POPULARITY, ease()], {"epsilon": 8.0, "placement": "local", "evaluation": "none"})
    stores = create_tenants(given, ROWS, tmp_path / "tenants")
    run(exchange_of(grid_of(stores, watch), given, tmp_path), ROWS.catalogue, tmp_path / "server")
    asked = [message for message in seen if message.metadata.message_type == VALIDATE and BODY in message.content]
    assert len(asked) == 4
    for message in asked:
        shared = ("num_items", "popularity", "item_weights")
        assert set(message.content[ARRAYS]) == {f"ease:{index}/{name}" for index in range(3) for name in shared}
    replies = [message.content for message in seen if message.metadata.reply_to_message_id]
    assert len(replies) == 8
    assert all(set(content) == {WORDS} for content in replies)
