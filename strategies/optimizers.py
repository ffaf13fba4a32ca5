"""Flower's own strategies by name: what the server does with the mean of a round.

Only the mean reaches them, so it makes no difference whether it was summed under masks. Their memory of earlier rounds
can be taken out as arrays and put back, so that a run can be resumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from numpy.typing import NDArray

from fedrec.errors import ConfigError

OPTIMIZERS: dict[str, type[FedAvg]] = {
    "fedavg": FedAvg,
    "fedavgm": FedAvgM,
    "fedprox": FedProx,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
}
"""Name -> Flower's class."""
PROXIMAL = "proximal-mu"
"""Key under which FedProx tells clients its mu."""

RATES = ("eta", "server_learning_rate")
"""Under which of these names a strategy keeps its learning rate, if it has one."""

Arrays = dict[str, NDArray[Any]]
_MOMENTS = ("m_t", "v_t")
_OURS = ("fraction_train", "fraction_evaluate", "min_train_nodes", "min_evaluate_nodes", "min_available_nodes")


def create_optimizer(name: str, parameters: Mapping[str, Any]) -> FedAvg:
    """The strategy `name` over whichever nodes it is given. Raises ConfigError for an unknown name or parameter."""
    if name not in OPTIMIZERS:
        raise ConfigError(f"There is no server optimizer '{name}'; there are {', '.join(OPTIMIZERS)}.")
    kind = OPTIMIZERS[name]
    known = parameters_of_optimizer(name)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ConfigError(f"{name} has no parameter '{unknown[0]}'; it has {', '.join(known) or 'none'}.")
    return kind(min_train_nodes=1, min_available_nodes=1, **parameters)


def parameters_of_optimizer(name: str) -> list[str]:
    """What may be set of a strategy; sampling, keys and averages are the run's."""
    names = inspect.signature(OPTIMIZERS[name].__init__).parameters
    return [key for key in names if key not in (*_OURS, "self") and not key.endswith(("_key", "_fn"))]


def rate_of(strategy: FedAvg) -> float | None:
    """The learning rate of the server; None for strategies that take the mean as it is."""
    return next((float(getattr(strategy, name)) for name in RATES if hasattr(strategy, name)), None)


def put_rate(strategy: FedAvg, rate: float) -> None:
    """Another learning rate for the rounds to come."""
    setattr(strategy, next(name for name in RATES if hasattr(strategy, name)), rate)
    if isinstance(strategy, FedAvgM):
        strategy.server_opt = True  # it decides when it is made, by the rate that it is given then


def memory_of(strategy: FedAvg) -> Arrays:
    """What a strategy remembers between rounds, besides the model itself."""
    arrays: Arrays = {}
    for moment in _MOMENTS:
        for name, value in (getattr(strategy, moment, None) or {}).items():
            arrays[f"{moment}/{name}"] = value
    for index, value in enumerate(getattr(strategy, "momentum_vector", None) or ()):
        arrays[f"momentum/{index:06d}"] = value
    return arrays


def put_memory(strategy: FedAvg, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Undo of `memory_of`, on a new strategy of the same kind."""
    for moment in _MOMENTS:
        values = {n.removeprefix(f"{moment}/"): np.array(v) for n, v in arrays.items() if n.startswith(f"{moment}/")}
        if values:
            setattr(strategy, moment, values)
    momentum = [np.array(arrays[name]) for name in sorted(arrays) if name.startswith("momentum/")]
    if momentum:
        strategy.momentum_vector = momentum  # type: ignore[attr-defined]  # only FedAvgM has one
