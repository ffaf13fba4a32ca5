"""What is searched where, and how a choice is set in a configuration."""

from __future__ import annotations

import pytest

from fedrec.config import ModelConfig, parse
from fedrec.errors import ConfigError
from fedrec.models import ALGORITHMS
from fedrec.models.neural import NEURAL
from fedrec.server.choosing import candidates_of
from fedrec.simulations.search_space import (
    CLOSED,
    TRAINED,
    default_space,
    first_values,
    one_of_each,
    space_of,
    with_values,
)
from fedrec.tune_config import Range

MODELS = [{"name": "ease", "l2": [10.0, 100.0], "window": 20}, {"name": "mf", "dim": 8}]
BASE = {"data": {"dataset": "ml-100k"}, "models": MODELS}


def config_of(**changes):
    return parse(BASE | changes)


@pytest.mark.parametrize("name", [*CLOSED, *TRAINED])
def test_every_key_of_a_default_space_is_one_of_its_recommender(name):
    assert name in ALGORITHMS or name in NEURAL
    config = parse(BASE | {"models": [{"name": name}]})
    changed = with_values(config, one_of_each(default_space(name)))
    assert candidates_of(changed.models[0])[0].params != candidates_of(config.models[0])[0].params


def test_training_is_searched_with_recommenders_that_are_trained_and_with_no_others():
    assert any(key.startswith("training.") for key in default_space("sasrec"))
    assert not any(key.startswith("training.") for key in default_space("ease"))
    space = {"training.local.learning_rate": [0.1, 0.2], "models.ease.l2": [1.0, 2.0]}
    config = config_of(tune={"space": space}, models=[{"name": "ease"}, {"name": "mf"}])
    assert set(space_of(config, "ease")) == {"models.ease.l2"}
    assert set(space_of(config, "mf")) == {"training.local.learning_rate"}


def test_a_space_of_another_recommender_leaves_the_default():
    config = config_of(tune={"space": {"models.gru.dim": [4, 8]}})
    assert space_of(config, "mf") == default_space("mf")


def test_a_hyper_parameter_that_is_given_as_a_list_is_searched_among_its_values():
    space = space_of(config_of(tune={"space": {"models.ease.half_life": [1.0, 2.0]}}), "ease")
    assert space == {"models.ease.half_life": (1.0, 2.0), "models.ease.l2": (10.0, 100.0)}


def test_a_recommender_with_nothing_to_search_is_refused():
    with pytest.raises(ConfigError, match=r"nothing to tune of popularity; say in \[tune.space\]"):
        space_of(config_of(models=[{"name": "popularity"}]), "popularity")


def test_values_are_set_where_their_key_says_and_nowhere_else():
    values = {"models.ease.l2": 5.0, "training.rounds": 3, "training.local.learning_rate": 0.5}
    config = config_of()
    changed = with_values(config, values)
    assert changed.models[0].parameters == {"l2": 5.0, "window": 20}
    assert (changed.training.rounds, changed.training.local) == (3, {"learning_rate": 0.5})
    assert changed.models[1:] == config.models[1:]
    same = changed.model_copy(update={"models": config.models, "training": config.training})
    assert same == config


def test_a_value_that_cannot_be_is_refused_by_its_key():
    with pytest.raises(ConfigError, match=r"unknown key 'training.round'; did you mean 'rounds'"):
        with_values(config_of(), {"training.round": 3})


def test_a_range_is_checked_by_its_lower_end_and_a_choice_by_its_first():
    assert one_of_each({"a": Range(low=2, high=9), "b": ("x", "y")}) == {"a": 2, "b": "x"}


def test_of_every_list_the_first_value_is_taken():
    assert first_values(ModelConfig(**MODELS[0])) == ModelConfig(name="ease", l2=10.0, window=20)
