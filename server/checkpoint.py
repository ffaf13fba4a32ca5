"""Where a run stands after a round: one file, replaced in one step, so a crash leaves the old round or the new one.

The file holds arrays (safetensors) and, in its header, the name of the run and the round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedrec.errors import ConfigError, ModelError
from fedrec.files import write_bytes

CHECKPOINT = "checkpoint.safetensors"
SCHEMA = 1
_MODEL, _MEMORY = "model/", "memory/"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state after `round`. model: the shared weights, by sorted name: sums of floats depend on their order.
    memory: of the server's optimizer. history: of each round, kept or discarded.
    """

    run: str
    round: int
    model: Arrays
    memory: Arrays
    history: tuple[dict[str, Any], ...] = ()

    def write(self, folder: Path) -> None:
        """Replace the checkpoint in `folder`."""
        arrays = {_MODEL + name: value for name, value in self.model.items()}
        arrays |= {_MEMORY + name: value for name, value in self.memory.items()}
        header = _Header(schema_version=SCHEMA, run=self.run, round=self.round, history=self.history)
        whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        write_bytes(folder / CHECKPOINT, save(whole, metadata={"fedrec": header.model_dump_json()}))


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    run: str
    round: int
    history: tuple[dict[str, Any], ...]


def read_checkpoint(folder: Path, run: str) -> Checkpoint | None:
    """The checkpoint of `run` in `folder`, if there is one.

    Raises:
        ConfigError: it is of another run: the configuration was changed.
        ModelError: it is damaged or of another version.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    header, arrays = _content(path)
    if header.schema_version != SCHEMA:
        raise ModelError(f"{path} has schema {header.schema_version}; this fedrec reads {SCHEMA}: start again.")
    if header.run != run:
        raise ConfigError(f"{path} is of another run or configuration; resume with the one that it began with.")
    return Checkpoint(run, header.round, _under(_MODEL, arrays), _under(_MEMORY, arrays), header.history)


def _content(path: Path) -> tuple[_Header, dict[str, NDArray[Any]]]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = _Header.model_validate_json((file.metadata() or {}).get("fedrec", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}; start the run again without resuming.") from error
    return header, arrays


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): arrays[name] for name in sorted(arrays) if name.startswith(prefix)}
