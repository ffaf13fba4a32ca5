"""The best weights so far of a training that is watched on validation."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class Best:
    """The best weights so far, where a patience says that they are to be kept."""

    patience: int | None
    values: list[float] = field(default_factory=list)
    _state: dict[str, Tensor] = field(default_factory=dict)

    def add(self, value: float, network: nn.Module) -> None:
        """Note the value of an epoch; the earlier one of equals is the best."""
        if self.patience is not None and all(value > earlier for earlier in self.values):
            self._state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.values.append(value)

    @property
    def is_over(self) -> bool:
        """Whether `patience` epochs in a row were no better."""
        if self.patience is None or not self.values:
            return False
        return len(self.values) - 1 - self.values.index(max(self.values)) >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Put the best weights back."""
        if self._state:
            network.load_state_dict(self._state)
