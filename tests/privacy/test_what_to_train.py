"""The public rule of what to train at a budget."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fedrec.cli.app import app
from fedrec.errors import ConfigError
from fedrec.models.neural.sizes import FROZEN, FULL, LOW_RANK, TOWER, sizes
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import SampledGaussian
from fedrec.privacy.what_to_train import Training, proposal

PARAMETERS = {"all": 250_000, "few": 2_500}


def test_the_ratio_by_hand() -> None:
    """Multiplier 2, 2,500 parameters, a tenth of 1,000 users: 2 * 50 / 100; twice the noise, twice the ratio."""
    assert Training(1000, 0.1, 10).noise_over_signal(2.0, 2500) == pytest.approx(1.0)
    assert Training(1000, 0.1, 10, excess=2.0).noise_over_signal(2.0, 2500) == pytest.approx(2.0)


def test_the_multiplier_spends_the_budget() -> None:
    found = Training(1000, 0.1, 50).multiplier(8.0, 1e-5)
    assert epsilon_of([SampledGaussian(0.1, found, 50)], 1e-5) == pytest.approx(8.0, rel=1e-6)


@pytest.mark.parametrize(("users", "expected"), [(100, None), (3_000, "few"), (1_000_000, "all")])
def test_more_users_carry_more_parameters(users: int, expected: str | None) -> None:
    found = proposal(Training(users, 0.1, 200), PARAMETERS, 8.0, 1e-6)
    assert found.train == expected
    assert found.ratios["all"] == pytest.approx(10 * found.ratios["few"])
    assert ("closed form" in found.why) == (expected is None)


def test_what_could_be_trained_is_counted_on_the_network_itself() -> None:
    found = sizes("mf", 1000, 8, 32)
    assert found == {FULL: 1001 * 8, LOW_RANK: 1001 * 2, TOWER: 33 * 8, FROZEN: 8}


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one parameter"):
        proposal(Training(10, 0.1, 10), {}, 8.0, 1e-5)


def test_the_command_line_proposes() -> None:
    few = ["privacy", "plan", "--users", "600", "--epsilon", "3", "--items", "1000", "--dim", "16", "--json"]
    assert json.loads(CliRunner().invoke(app, few).output)["train"] == "nothing: take a closed form"
    many = [*few[:2], "--users", "900000", "--epsilon", "8", "--delta", "1e-7", *few[6:]]
    assert json.loads(CliRunner().invoke(app, many).output)["train"] == FULL
