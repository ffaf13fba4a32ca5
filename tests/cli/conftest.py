"""Small generated markets, run once a session through the command line itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedrec.cli.app import app

Command = Callable[..., Result]

MARKET = """
name = "tiny"
seed = 3
[data]
dataset = "synthetic"
synthetic = { num_tenants = 3, num_users = 90, num_items = 60, mean_events = 12 }
[evaluation]
ks = [5]
headline = "NDCG@5"
bootstrap = 20
[[models]]
name = "popularity"
[[models]]
name = "ease"
l2 = [5, 500]
"""
BY_TENANT = MARKET + '[tenants]\nsplit = "by_user_attribute"\nattribute = "tenant"\n'
BY_CATEGORY = MARKET + '[tenants]\nsplit = "by_item_category"\n[federation]\narms = ["federated"]\n'


@pytest.fixture(scope="session")
def fedrec() -> Command:
    """`fedrec("report", "--json")` runs a command in this process."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of three tenants."""
    path = tmp_path_factory.mktemp("configuration") / "tiny.toml"
    path.write_text(BY_TENANT)
    return path


@pytest.fixture(scope="session")
def simulated(fedrec: Command, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What `fedrec simulate` printed of the run in `run`."""
    return fedrec("simulate", tiny, "--out", tmp_path_factory.getbasetemp() / "tiny")


@pytest.fixture(scope="session")
def run(simulated: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three tenants."""
    assert simulated.exit_code == 0, simulated.output
    return tmp_path_factory.getbasetemp() / "tiny"


@pytest.fixture(scope="session")
def shops(fedrec: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tenants that sell different items to the same users."""
    path = tmp_path_factory.mktemp("shops") / "shops.toml"
    path.write_text(BY_CATEGORY)
    result = fedrec("simulate", path, "--out", path.parent / "run", "--quiet")
    assert result.exit_code == 0, result.output
    return path.parent / "run"
