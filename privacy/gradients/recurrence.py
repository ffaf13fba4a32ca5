"""Per-user gradients of a gated recurrent unit: gates are kept on the way back, then one product a user and weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.privacy.gradients.rows import GradSamples

Kept = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of one layer, by time: gradients of the input's part and of the state's part of the gates (length, batch,
3 hidden), the layer's input (length, batch, width) and the states before each event (length, batch, hidden)."""


class UserRecurrence(nn.Module):
    """Stands in for an `nn.GRU` (batch first, one direction) with the same parameters while training is private."""

    def __init__(self, unit: nn.GRU) -> None:
        super().__init__()
        if not unit.batch_first or unit.bidirectional or not unit.bias or unit.dropout or unit.proj_size:
            raise ModelError("Expected a GRU in one direction, batch first, with biases and without its own dropout.")
        self.num_layers = unit.num_layers
        for name, parameter in unit.named_parameters():
            self.register_parameter(name, parameter)
        self.kept: list[Kept] = []

    def forward(self, vectors: Tensor) -> tuple[Tensor, None]:
        """(batch, length, hidden) states of the last layer. vectors: (batch, length, width)."""
        states = vectors.transpose(0, 1)
        for layer in range(self.num_layers):
            states = _Layer.apply(states, *self.parameters_of(layer), self)  # type: ignore[no-untyped-call]
        return states.transpose(0, 1), None

    def parameters_of(self, layer: int) -> list[nn.Parameter]:
        """Weights of the input and of the state, biases of the input and of the state, by torch's names."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self.get_parameter(f"{kind}_l{layer}") for kind in kinds]


class _Layer(torch.autograd.Function):
    """One layer over time: r, z = sigmoid, n = tanh(in + r * state), h' = (1 - z) n + z h, as in `nn.GRU`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, w_in: Tensor, w_state: Tensor, b_in: Tensor, b_state: Tensor, owner: UserRecurrence
    ) -> Tensor:
        length, batch, hidden = *inputs.shape[:2], w_state.shape[1]
        from_input = torch.addmm(b_in, inputs.reshape(length * batch, -1), w_in.T).view(length, batch, -1)
        states = inputs.new_zeros(length + 1, batch, hidden)
        gates, new, pull = (inputs.new_empty(length, batch, n * hidden) for n in (2, 1, 1))
        for time in range(length):
            from_state = torch.addmm(b_state, states[time], w_state.T)
            gate = torch.sigmoid(from_input[time, :, : 2 * hidden] + from_state[:, : 2 * hidden])
            gates[time], pull[time] = gate, from_state[:, 2 * hidden :]
            drive = torch.addcmul(from_input[time, :, 2 * hidden :], gate[:, :hidden], pull[time])
            torch.tanh(drive, out=new[time])
            torch.lerp(new[time], states[time], gate[:, hidden:], out=states[time + 1])
        ctx.save_for_backward(inputs, w_in, w_state, states, gates, new, pull)
        ctx.owner = owner
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        inputs, w_in, w_state, states, gates, new, pull = ctx.saved_tensors
        length, batch, hidden = new.shape
        of_input, of_state = (new.new_empty(length, batch, 3 * hidden) for _ in range(2))
        carried = new.new_zeros(batch, hidden)
        for time in range(length - 1, -1, -1):
            gradient = carried + outer[0][time]
            reset, keep = gates[time, :, :hidden], gates[time, :, hidden:]
            drive = gradient * (1 - keep) * (1 - new[time] ** 2)
            of_input[time, :, :hidden] = drive * pull[time] * reset * (1 - reset)
            of_input[time, :, hidden : 2 * hidden] = gradient * (states[time] - new[time]) * keep * (1 - keep)
            of_input[time, :, 2 * hidden :] = drive
            of_state[time] = of_input[time]
            of_state[time, :, 2 * hidden :] *= reset
            carried = torch.addmm(gradient * keep, of_state[time], w_state)
        ctx.owner.kept.append((of_input, of_state, inputs, states[:-1]))
        back = of_input.view(length * batch, -1) @ w_in
        return back.view_as(inputs), None, None, None, None, None


def recurrence_gradients(unit: UserRecurrence, activations: list[Tensor], backprops: Tensor) -> GradSamples:
    """The sampler of `UserRecurrence` for Opacus, from what the way back kept. Raises ModelError if it kept nothing."""
    kept, unit.kept = unit.kept, []
    if len(kept) != unit.num_layers:
        raise ModelError("A recurrent unit had no gradient of its input; its vectors must come from trained weights.")
    found: GradSamples = {}
    for layer, (of_input, of_state, inputs, states) in zip(reversed(range(unit.num_layers)), kept, strict=True):
        w_in, w_state, b_in, b_state = unit.parameters_of(layer)
        found[w_in] = torch.bmm(of_input.permute(1, 2, 0), inputs.transpose(0, 1))
        found[w_state] = torch.bmm(of_state.permute(1, 2, 0), states.transpose(0, 1))
        found[b_in], found[b_state] = of_input.sum(0), of_state.sum(0)
    return found
