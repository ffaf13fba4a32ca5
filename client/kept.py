"""What a tenant keeps of its arms during a run, so that it can choose among them. Private, and never sent.

<store>/kept/validation-<arm>.safetensors   the headline metric of each of its validation users, by recommender
<store>/kept/test-<arm>.safetensors         its metric sums on test, as `<recommender>/<block>`
<store>/kept/own.safetensors                what the tenant's own candidates reached, as `<recommender>/<question>`
<store>/kept/mixes.safetensors              what the mixes of arm `fused` reached
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedrec.client.store import TenantStore
from fedrec.errors import ModelError
from fedrec.files import write_bytes
from fedrec.messages import AnyArray, ModelSpec
from fedrec.metrics import MetricSums
from fedrec.models.protocols import Float64Array

KEPT = "kept"


def keep_validation(store: TenantStore, arm: str, values: Mapping[str, Float64Array]) -> None:
    """Keep what an arm reached. values: (num_validation_users,) by `recommender_of`."""
    write_arrays(_path(store, "validation", arm), values)


def kept_validation(store: TenantStore, arm: str) -> dict[str, AnyArray]:
    """What `keep_validation` kept; nothing if the arm was not measured."""
    return _arrays(_path(store, "validation", arm))


def keep_test(store: TenantStore, arm: str, sums: Mapping[str, MetricSums]) -> None:
    """Keep the metric sums on test, by label."""
    arrays = {f"{label}/{block}": value for label, one in sums.items() for block, value in one.values.items()}
    write_arrays(_path(store, "test", arm), arrays)


def kept_test(store: TenantStore, arm: str) -> dict[str, AnyArray]:
    """What `keep_test` kept; nothing if the arm was not scored."""
    return _arrays(_path(store, "test", arm))


def keep_own_choice(store: TenantStore, label: str, question: str, reached: Float64Array) -> None:
    """Keep what each candidate reached, in the place of what there was of this recommender. reached: (num_candidates,
    num_validation_users)."""
    others = {name: value for name, value in _arrays(_own(store)).items() if not name.startswith(f"{label}/")}
    write_arrays(_own(store), {**others, f"{label}/{question}": reached})


def kept_own_choice(store: TenantStore, label: str, question: str) -> AnyArray | None:
    """What `keep_own_choice` kept; None if that was another question."""
    return _arrays(_own(store)).get(f"{label}/{question}")


def keep_mixes(store: TenantStore, reached: Float64Array) -> None:
    """Keep the headline metric of each mix for each validation user: (num_mixes, num_validation_users)."""
    write_arrays(_mixes(store), {"reached": reached})


def kept_mixes(store: TenantStore) -> AnyArray | None:
    """What `keep_mixes` kept; None if no mix was measured."""
    return _arrays(_mixes(store)).get("reached")


def recommender_of(spec: ModelSpec, arm: str) -> str:
    """Names a recommender among what is kept of an arm: with its hyper-parameters, unless each tenant chooses them."""
    return spec.label if arm == "local" else f"{spec.name} {json.dumps(spec.candidates[0], sort_keys=True)}"


def write_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Replace a file that only its owner can read, in a folder that only its owner can open."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_bytes(path, save({name: np.ascontiguousarray(value) for name, value in arrays.items()}), mode=0o600)


def read_arrays(path: Path) -> dict[str, AnyArray]:
    """What `write_arrays` wrote. Raises ModelError if it is damaged."""
    try:
        arrays: dict[str, AnyArray] = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is damaged: {error}; restore it, or start a new run.") from error
    return arrays


def _arrays(path: Path) -> dict[str, AnyArray]:
    return read_arrays(path) if path.exists() else {}


def _path(store: TenantStore, what: str, arm: str) -> Path:
    return store.folder / KEPT / f"{what}-{arm}.safetensors"


def _own(store: TenantStore) -> Path:
    return store.folder / KEPT / "own.safetensors"


def _mixes(store: TenantStore) -> Path:
    return store.folder / KEPT / "mixes.safetensors"
