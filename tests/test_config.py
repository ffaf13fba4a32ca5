"""Configurations: what is read back, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from fedrec.config import Config, load, parse, presets, to_toml
from fedrec.errors import ConfigError

MINIMAL = {"data": {"dataset": "ml-100k"}, "models": [{"name": "ease"}]}


@pytest.mark.parametrize("name", presets())
def test_a_preset_survives_a_round_trip_through_toml(name, tmp_path):
    config = load(name)
    (tmp_path / "copy.toml").write_text(to_toml(config))
    assert load(tmp_path / "copy.toml") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sead": 1}, "unknown key 'sead'; did you mean 'seed'?"),
        ({"federation": {"min_tenant": 3}}, "unknown key 'federation.min_tenant'; did you mean 'min_tenants'?"),
        ({"federation": {"zzz": 3}}, "known keys here: arms"),
        ({"models": []}, "models: Tuple should have at least 1 item"),
        ({"models": [{"name": "ease"}, {"name": "ease"}]}, "'ease' is there twice"),
        ({"data": {}}, "give either `dataset`"),
        ({"data": {"dataset": "ml-1m", "path": "x.csv"}}, "give either `dataset`"),
        ({"data": {"dataset": "ml-1m", "synthetic": {"num_users": 5}}}, "describes the generator"),
        ({"evaluation": {"ks": []}}, "at least one cut-off"),
        ({"evaluation": {"headline": "NDCG@7"}}, "headline: expected one of HR"),
        ({"evaluation": {"holdout": "random"}}, "evaluation.holdout"),
        ({"federation": {"arms": ["local"]}}, "expected 'federated' to be among them"),
        ({"federation": {"arms": ["federated", "personal"]}}, "'personal' chooses between 'federated' and 'local'"),
        ({"training": {"tuning_epochs": 0}}, "training.tuning_epochs"),
        ({"training": {"tuning_learning_rate": 0.0}}, "training.tuning_learning_rate"),
        ({"federation": {"secure_aggregation": False, "groups": 2}}, "nothing to group"),
        ({"federation": {"min_tenants": 0}}, "greater than or equal to 1"),
        ({"name": "../escape"}, "name"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change, message):
    with pytest.raises(ConfigError) as caught:
        parse(MINIMAL | change, "mine.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


def test_a_preset_that_is_misspelt_is_named():
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        load("demmo")


def test_text_that_is_no_toml_is_refused_with_its_place(tmp_path):
    (tmp_path / "bad.toml").write_text("name = \n")
    with pytest.raises(ConfigError, match="bad.toml is not valid TOML.*line 1"):
        load(tmp_path / "bad.toml")


def test_a_configuration_cannot_be_changed():
    config = parse(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 5


def test_secure_aggregation_and_a_quorum_of_three_are_the_defaults():
    federation = parse(MINIMAL).federation
    assert federation.secure_aggregation
    assert federation.min_tenants == 3


def test_where_all_rows_are_in_one_place_nothing_is_private_to_a_tenant():
    models = [{"name": "mf", "residual": "private"}, {"name": "gru", "residual": ["private", "none", "shared"]}]
    config = parse(MINIMAL | {"models": [*models, {"name": "ease", "l2": 3.0}]})
    assert [model.in_one_place().parameters for model in config.models] == [
        {"residual": ["shared"]},
        {"residual": ["shared", "none"]},
        {"l2": 3.0},
    ]


def test_quotes_and_unicode_survive_toml(tmp_path):
    config = parse(MINIMAL | {"tenants": {"split": "by_user_attribute", "attribute": 'größe "x" \\ y'}})
    (tmp_path / "c.toml").write_text(to_toml(config), encoding="utf-8")
    assert load(tmp_path / "c.toml").tenants.arguments == {"attribute": 'größe "x" \\ y'}
    assert isinstance(config, Config)
