"""The section `[tune]`: what may be searched, and that it survives being written."""

from __future__ import annotations

import pytest

from fedrec.config import load, parse, to_toml
from fedrec.errors import ConfigError
from fedrec.tune_config import Range

MINIMAL = {"data": {"dataset": "ml-100k"}, "models": [{"name": "mf"}]}
SPACE = {
    "training.rounds": {"low": 1, "high": 3},
    "training.parameters.eta": {"low": 0.5, "high": 2.0},
    "training.local.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "models.mf.dim": [4, 8],
    "models.mf.half_life": ["none", 3.0],
}


def test_a_space_survives_a_round_trip_through_toml(tmp_path):
    config = parse(MINIMAL | {"tune": {"space": SPACE, "evaluations": 7}})
    (tmp_path / "copy.toml").write_text(to_toml(config))
    again = load(tmp_path / "copy.toml")
    assert again == config
    assert again.tune.space["training.rounds"] == Range(low=1, high=3)
    assert again.tune.space["training.rounds"].whole
    assert not again.tune.space["training.parameters.eta"].whole
    assert again.tune.space["models.mf.half_life"] == ("none", 3.0)


def test_nothing_is_searched_or_counted_unless_it_is_said():
    tune = parse(MINIMAL).tune
    assert (tune.space, tune.evaluations) == ({}, 0)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"space": {"seed": [1, 2]}}, "expected 'seed' to be training.<key>, training.local.<key>"),
        ({"space": {"models.mf": [1, 2]}}, "expected 'models.mf' to be"),
        ({"space": {"data.path": ["a"]}}, "expected 'data.path' to be"),
        ({"space": {"models.mf.dim": []}}, "'models.mf.dim' has no value to choose from"),
        ({"space": {"models.mf.dim": {"low": 8, "high": 8}}}, "expected low=8 < high=8"),
        ({"space": {"models.mf.l2": {"low": 0.0, "high": 1.0, "log": True}}}, "expected low=0.0 > 0 under log=true"),
        ({"space": {"models.mf.l2": {"low": 1.0, "hihg": 2.0}}}, "high: Field required"),
        ({"evaluations": -1}, "greater than or equal to 0"),
        ({"spaces": {}}, "unknown key 'tune.spaces'; did you mean 'space'?"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(tune, message):
    with pytest.raises(ConfigError) as caught:
        parse(MINIMAL | {"tune": tune})
    assert message in str(caught.value)
