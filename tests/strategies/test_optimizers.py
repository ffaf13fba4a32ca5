"""Flower's strategies by name, and their memory."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.errors import ConfigError
from fedrec.strategies.optimizers import OPTIMIZERS, create_optimizer, memory_of, parameters_of_optimizer, put_memory


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_strategy_is_flowers_own(name):
    assert type(create_optimizer(name, {})) is OPTIMIZERS[name]
    assert memory_of(create_optimizer(name, {})) == {}


def test_what_may_be_set_is_what_changes_the_step():
    assert parameters_of_optimizer("fedavg") == []
    assert parameters_of_optimizer("fedavgm") == ["server_learning_rate", "server_momentum"]
    assert parameters_of_optimizer("fedprox") == ["proximal_mu"]
    assert set(parameters_of_optimizer("fedadam")) == {"eta", "eta_l", "beta_1", "beta_2", "tau"}


def test_memory_is_put_back():
    first, second = create_optimizer("fedadam", {"eta": 0.5}), create_optimizer("fedadam", {"eta": 0.5})
    first.m_t, first.v_t = {"a/b": np.array([1.0])}, {"a/b": np.array([2.0])}
    put_memory(second, memory_of(first))
    assert (second.m_t, second.v_t) == (first.m_t, first.v_t)
    momentum, other = create_optimizer("fedavgm", {}), create_optimizer("fedavgm", {})
    momentum.momentum_vector = [np.array([float(index)]) for index in range(12)]
    put_memory(other, memory_of(momentum))
    assert [float(value[0]) for value in other.momentum_vector] == [float(index) for index in range(12)]


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="there are fedavg, fedavgm, fedprox, fedadam, fedyogi, fedadagrad"):
        create_optimizer("adam", {})
    with pytest.raises(ConfigError, match="fedavg has no parameter 'fraction_train'; it has none"):
        create_optimizer("fedavg", {"fraction_train": 0.5})
