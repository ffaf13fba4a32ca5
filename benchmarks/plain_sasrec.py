"""SASRec as one would write it in plain PyTorch, without this package: what the training loop is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedrec.data import Histories
from fedrec.models.neural import SASRec


class PlainSASRec(nn.Module):
    """The sizes of `model`, from PyTorch's own layers: tied item table, learned positions, pre-norm blocks."""

    def __init__(self, model: SASRec, num_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, model.dim)
        self.positions = nn.Embedding(model.max_length, model.dim)
        self.dropout = nn.Dropout(model.dropout)
        block = nn.TransformerEncoderLayer(
            model.dim, model.heads, model.expansion * model.dim, model.dropout, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, model.blocks, nn.LayerNorm(model.dim), enable_nested_tensor=False)
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: (batch, length) items. Returns (batch, length, num_items) logits."""
        length = inputs.shape[1]
        places = self.positions(torch.arange(length))
        causal = nn.Transformer.generate_square_subsequent_mask(length)
        states = self.dropout(self.items(inputs) * self.items.embedding_dim**0.5 + places)
        logits: Tensor = self.blocks(states, mask=causal, is_causal=True) @ self.items.weight.T
        return logits


def epoch(network: PlainSASRec, optimizer: torch.optim.Optimizer, batches: list[tuple[Tensor, Tensor]]) -> None:
    """The loop of a tutorial: logits of the whole batch, cross-entropy where there is a target, one step."""
    network.train()
    for inputs, targets in batches:
        optimizer.zero_grad()
        logits = network(inputs)
        cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()


def padded_batches(histories: Histories, max_length: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of users of like length, padded at the end; padding is item 0 and target -1."""
    order = np.argsort(histories.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = [histories.row(user)[-max_length - 1 :] for user in order[start : start + batch_size]]
        longest = max(len(row) for row in rows) - 1
        inputs, targets = torch.zeros(len(rows), longest, dtype=torch.int64), torch.full((len(rows), longest), -1)
        for index, row in enumerate(rows):
            inputs[index, : len(row) - 1] = torch.from_numpy(np.array(row[:-1]))
            targets[index, : len(row) - 1] = torch.from_numpy(np.array(row[1:]))
        yield inputs, targets
