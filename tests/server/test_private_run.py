"""Whole runs with differential privacy, masks and all, from the configuration to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.cli.app import app
from fedrec.client.guard import FOLDER
from fedrec.client.ledger import Ledger
from fedrec.config import Config, parse
from fedrec.data import Dataset, Marketplace, marketplace
from fedrec.errors import ConfigError, FedrecError, RoundFailed
from fedrec.models import load as load_model
from fedrec.privacy.accountant import epsilon_of
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.private_run import bounded
from fedrec.server.run import run
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Report
from tests.federation import config_of, exchange_of, grid_of, two_tenants

ROWS: Dataset = marketplace(Marketplace(num_users=120, num_items=40, mean_events=10), seed=2)
DELTA = 1e-5


def private(epsilon: float = 8.0, models: list[dict[str, Any]] | None = None, **privacy: Any) -> Config:
    return parse(
        {
            "name": "private",
            "data": {"dataset": "synthetic"},
            "tenants": {"split": "iid", "n": 4},
            "models": models or [{"name": "content_pca", "rank": 8, "content_rank": 8}],
            "evaluation": {"bootstrap": 0},
            "federation": {
                "arms": ["floor", "local", "federated", "pooled"],
                "min_tenants": 4,
                "max_tenants": 8,
                "max_users_per_tenant": 1000,
                "secure_aggregation": privacy.get("placement") != "local",
            },
            "privacy": {"epsilon": epsilon, "delta": DELTA, "evaluation": "simulation", **privacy},
        }
    )


def spent(folder: Path) -> list[float]:
    """What each tenant's ledger says."""
    found = []
    for tenant in sorted((folder / "tenants").iterdir()):
        entries = Ledger(tenant / FOLDER).entries()
        found.append(epsilon_of([one for entry in entries for one in entry.mechanisms], DELTA))
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("private") / "run"
    return folder, Experiment(private(), folder).run(ROWS)


def test_a_run_spends_its_budget_at_every_tenant_and_no_more(finished: tuple[Path, Report]) -> None:
    assert all(8.0 * 0.99 <= epsilon <= 8.0 for epsilon in spent(finished[0]))


def test_the_server_knows_no_more_than_what_was_recorded(finished: tuple[Path, Report]) -> None:
    """The mechanisms in the server's log are those in each tenant's ledger."""
    folder, _ = finished
    events = [json.loads(line) for line in (folder / "server" / "events.jsonl").read_text().splitlines()]
    stated = [one for event in events if event["event"] == "round-end" for one in event.get("mechanisms", [])]
    lines = (next((folder / "tenants").iterdir()) / FOLDER / "ledger.jsonl").read_text().splitlines()[1:]
    assert stated == [one for line in lines for one in json.loads(line)["mechanisms"]]
    assert {one["kind"] for one in stated} == {"skellam"}


def test_the_claim_is_in_the_report(finished: tuple[Path, Report]) -> None:
    _, report = finished
    facts = {fact.name: fact.text for fact in report.privacy.claim}
    assert report.privacy.noise_on
    assert report.privacy.masks_on
    assert report.privacy.epsilon == pytest.approx(8.0, rel=0.01)
    assert "one user" in facts["Unit"]
    assert "add or remove" in facts["Neighbouring relation"]
    assert "outside of the claim" in facts["Metrics"]
    assert "3 tenants" in facts["Trust"]
    assert facts["Users"] == "120"
    assert "What is claimed for each user" in render(report)


def test_nothing_is_chosen_and_the_pooled_ceiling_has_no_noise(finished: tuple[Path, Report]) -> None:
    folder, report = finished
    assert {round_.phase for round_ in report.rounds} == {"final"}
    assert report.chosen == "content_pca"
    assert not any(card.candidates for card in report.models)
    assert not (folder / "pooled" / "everyone" / FOLDER).exists()
    counts = load_model(folder / "pooled" / "models" / "popularity").weights["popularity"]
    assert (counts % 1 == 0).all()


def test_bounds_that_the_configuration_leaves_open_are_public_ones(finished: tuple[Path, Report]) -> None:
    card = next(card for card in finished[1].models if card.name == "popularity")
    assert card.parameters == {"max_items_per_user": 100, "unit_norm": True}


@pytest.mark.parametrize(
    ("epsilon", "users", "expected"), [(1.0, 943, False), (2.0, 943, True), (1.0, 6040, True), (1.0, None, True)]
)
def test_what_is_personal_is_asked_for_where_the_stated_users_are_enough(
    epsilon: float, users: int | None, expected: bool
) -> None:
    """943 users at epsilon 1 are 202 per noise of a Gram if all tenants are counted on, less as one is not."""
    config = private(epsilon, [{"name": "popularity"}, {"name": "content_pca"}], users=users)
    (popularity, personal) = bounded(config, config.models)
    assert personal.parameters.get("personal", True) is expected
    assert "personal" not in popularity.parameters


@pytest.mark.parametrize("placement", ["local", "central-for-comparison"])
def test_other_placements_run_and_say_what_they_are(tmp_path: Path, placement: str) -> None:
    config = private(models=[{"name": "popularity"}, {"name": "als", "rank": 2, "sweeps": 1}], placement=placement)
    config = config.model_copy(update={"federation": config.federation.model_copy(update={"arms": ("federated",)})})
    report = Experiment(config, tmp_path / "run", page=False).run(ROWS)
    assert all(epsilon <= 8.0 for epsilon in spent(tmp_path / "run"))
    assert report.privacy.noise_on == (placement == "local")
    facts = {fact.name: fact.text for fact in report.privacy.claim}
    assert "privacy loss distribution" in facts["Accountant"]
    assert ("comparison only" in report.privacy.statement) == (placement != "local")


def test_a_second_run_over_the_same_tenants_is_refused(tmp_path: Path, finished: tuple[Path, Report]) -> None:
    stores = two_tenants(tmp_path / "tenants")
    config = private(models=[{"name": "popularity"}], placement="local")
    federation = config.federation.model_copy(update={"min_tenants": 2})
    config = config.model_copy(update={"federation": federation})
    from fedrec.client.guard import PrivacyPolicy, create_guard

    for store in stores:
        create_guard(store.folder, PrivacyPolicy(8.0, DELTA, "local", max_users=1000, evaluation="simulation"))
    catalogue = stores[0].dataset().catalogue
    for attempt in ("one", "two"):
        exchange = Exchange(grid_of(stores), config, EventLog(tmp_path / attempt / "events.jsonl"))
        if attempt == "one":
            run(exchange, catalogue, tmp_path / attempt)
        else:
            with pytest.raises(RoundFailed, match="budget-spent"):
                run(exchange, catalogue, tmp_path / attempt)


def test_without_evaluation_models_are_fitted_and_no_metric_is_asked_for(tmp_path: Path) -> None:
    report = Experiment(private(evaluation="none"), tmp_path / "run", page=False).run(ROWS)
    assert report.results == []
    assert all(not round_.action.startswith("score") for round_ in report.rounds)
    assert (tmp_path / "run" / "server" / "models" / "content_pca").is_dir()
    assert "No metrics of the test left" in {fact.name: fact.text for fact in report.privacy.claim}["Metrics"]


def test_recommenders_without_noise_of_their_own_are_refused(tmp_path: Path) -> None:
    config = private(models=[{"name": "popularity"}, {"name": "mf"}])
    with pytest.raises(ConfigError, match="a round is a fixed number of steps"):
        Experiment(config, tmp_path / "run").run(ROWS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluation": {"holdout": "time"}}, "moments that are taken from the rows"),
        ({"federation": {"secure_aggregation": False}}, "under masks"),
        ({"federation": {"min_tenants": 1}}, "colluding must be fewer"),
        ({"privacy": {"epsilon": 0, "delta": DELTA}}, "greater than 0"),
        ({"privacy": {"epsilon": 1.0}}, "privacy.delta"),
        ({"privacy": {"epsilon": 1.0, "delta": DELTA, "unit": "event"}}, "privacy.unit"),
        ({"privacy": {"epsilon": 1.0, "delta": DELTA, "placement": "central"}}, "privacy.placement"),
        ({"privacy": {"epsilon": 1.0, "delta": DELTA, "epslon": 1}}, "did you mean 'epsilon'"),
    ],
)
def test_configurations_that_would_not_keep_the_claim_are_refused(change: dict[str, Any], message: str) -> None:
    base = {
        "data": {"dataset": "ml-100k"},
        "models": [{"name": "popularity"}],
        "privacy": {"epsilon": 1.0, "delta": DELTA},
    }
    with pytest.raises(ConfigError, match=message):
        parse(base | change)


def test_noise_is_off_unless_the_configuration_says_so(tmp_path: Path) -> None:
    assert config_of().privacy is None
    stores = two_tenants(tmp_path / "tenants")
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    run(exchange, stores[0].dataset().catalogue, tmp_path / "server")
    assert exchange.spending is None


def test_a_tenant_with_a_stricter_budget_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FedrecError, match="too-little-noise"):
        _stricter(tmp_path)


def _stricter(folder: Path) -> None:
    """The run plans with epsilon 8; each tenant insists on 4."""
    from fedrec.client.guard import PrivacyPolicy, create_guard

    stores = two_tenants(folder / "tenants")
    for store in stores:
        create_guard(store.folder, PrivacyPolicy(4.0, DELTA, "local", max_users=1000))
    config = private(models=[{"name": "popularity"}], placement="local")
    config = config.model_copy(update={"federation": config.federation.model_copy(update={"min_tenants": 2})})
    run(Exchange(grid_of(stores), config, EventLog(folder / "e.jsonl")), stores[0].dataset().catalogue, folder / "out")


def test_the_command_line_plans_lists_and_explains(finished: tuple[Path, Report]) -> None:
    folder = str(finished[0])
    plan = CliRunner().invoke(app, ["privacy", "plan", "--users", "6040", "--epsilon", "2", "--json"])
    assert "personal" in json.loads(plan.output)["expect"]
    some = CliRunner().invoke(
        app, ["privacy", "plan", "--users", "6040", "--epsilon", "2", "--candidates", "4", "--json"]
    )
    assert "4 candidates whose means differ by more than 0.001" in json.loads(some.output)["validation tells apart"]
    ledger = CliRunner().invoke(app, ["privacy", "ledger", folder, "--json"])
    lines = json.loads(ledger.output)
    assert [line["number"] for line in lines] == [1, 2] * 4
    assert lines[1]["epsilon"] == pytest.approx(8.0, rel=0.01)
    explained = CliRunner().invoke(app, ["privacy", "explain", folder])
    assert "everything one shopper ever did" in explained.output
    one = CliRunner().invoke(app, ["privacy", "explain", f"{folder}/tenants/tenant-0", "--json"])
    assert json.loads(one.output)["Unit"].startswith("one user")


def test_the_command_line_refuses_what_it_cannot_answer(tmp_path: Path) -> None:
    none = CliRunner().invoke(app, ["privacy", "ledger", str(tmp_path)])
    assert none.exit_code == 2
    assert "holds no privacy ledger" in none.output
    exposed = CliRunner().invoke(app, ["privacy", "plan", "--users", "1000", "--epsilon", "2", "--delta", "0.01"])
    assert exposed.exit_code == 2
    assert "may be exposed" in exposed.output
