"""Noised sums that a server has, kept in its folder for a run that is resumed.

    <out>/released/<round>-<question>.safetensors

To ask for one again would be another release, with other noise, which costs the users of every tenant anew. A sum
without noise is asked for again instead: it comes out the same, and takes no room on the disk meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedrec.contribution import Layout, Total
from fedrec.errors import ModelError
from fedrec.files import write_bytes
from fedrec.messages import Body

RELEASED = "released"


@dataclass(frozen=True)
class Released:
    """The noised sums of one run, or those that several runs share: whatever they ask for without arrays."""

    folder: Path
    shared: bool = False

    def keep(self, body: Body, total: Total) -> None:
        """Write the answer to `body`, which names its round."""
        told = {"clients": total.num_clients, "noise": dict(total.noise)}
        values = {name: np.ascontiguousarray(value) for name, value in total.values.items()}
        write_bytes(self._path(body), save(values, metadata={"fedrec": json.dumps(told)}))

    def kept(self, body: Body, layout: Layout) -> Total | None:
        """The answer to `body`, if it was given before. Raises ModelError if it is damaged."""
        path = self._path(body)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                told = json.loads((file.metadata() or {})["fedrec"])
                values = {block.name: np.array(file.get_tensor(block.name)) for block in layout.blocks}
            return Total(
                layout, values, int(told["clients"]), {name: float(std) for name, std in told["noise"].items()}
            )
        except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} is damaged: {error}; start a new run.") from error

    def forget(self) -> None:
        """The run is over: nothing will be asked for again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, body: Body) -> Path:
        question = hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:16]
        return self.folder / f"{body.round:06d}-{question}.safetensors"
