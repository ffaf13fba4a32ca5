"""Recommenders on disk: weights as safetensors, everything else as JSON, no code.

`model.json` names the other files with their SHA-256. It is written last and in one step, so a directory
holds the old model or the new one. Private arrays lie in a folder of their own that only its owner can open.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from fedrec.errors import ModelError
from fedrec.files import write_bytes
from fedrec.models.protocols import AnyArray, EncoderId, Params, Weights

SCHEMA = 1
MANIFEST = "model.json"
PRIVATE = "private"
STARTS, EVENTS = "history.starts", "history.items"
"""Names of the histories among the private arrays."""

_FILE_NAME = r"^(private/)?(weights|items|users)-[0-9a-f]{16}\.(safetensors|json)$"


@dataclass(frozen=True, eq=False)
class Saved:
    """What is written and read. private: private weights and histories, or None."""

    algorithm: str
    parameters: Params
    shared: Weights
    item_ids: tuple[str, ...]
    private: Weights | None
    user_ids: tuple[str, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_FILE_NAME)
    sha256: str


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: int
    algorithm: str
    parameters: Params
    encoder: str | None = None
    weights: _File
    items: _File
    private: _File | None
    users: _File | None

    def files(self) -> set[str]:
        present = (self.weights, self.items, self.private, self.users)
        return {file.name for file in present if file is not None}


def write(directory: Path, model: Saved) -> None:
    """Replace the model in `directory`, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = _Manifest(
        schema_version=SCHEMA,
        algorithm=model.algorithm,
        parameters=model.parameters,
        encoder=_encoder(model.shared),
        weights=_write_file(directory, "weights", _tensors(model.shared)),
        items=_write_file(directory, "items", _names(model.item_ids)),
        private=_write_private(directory, "weights", None if model.private is None else _tensors(model.private)),
        users=_write_private(directory, "users", None if model.private is None else _names(model.user_ids)),
    )
    write_bytes(directory / MANIFEST, manifest.model_dump_json(indent=2).encode())
    _remove_others(directory, manifest.files())


def read(directory: Path) -> Saved:
    """The model in `directory`. Raises ModelError if there is none, it is damaged or of another version."""
    manifest = _read_manifest(directory)
    private = None if manifest.private is None else _read_tensors(directory, manifest.private)
    shared = _read_tensors(directory, manifest.weights)
    if manifest.encoder != _encoder(shared):
        raise _damaged(directory / MANIFEST, f"it names the encoder {manifest.encoder}, the weights {_encoder(shared)}")
    return Saved(
        manifest.algorithm,
        manifest.parameters,
        shared,
        _read_names(directory, manifest.items),
        private,
        () if manifest.users is None else _read_names(directory, manifest.users),
    )


def _encoder(shared: Weights) -> str | None:
    """Which encoder the model's content came from, in words; None without content."""
    encoder = EncoderId.of(shared)
    return None if encoder is None else str(encoder)


def _tensors(arrays: Mapping[str, AnyArray]) -> bytes:
    content: bytes = tensor_bytes(
        {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    )
    return content


def _names(ids: Sequence[str]) -> bytes:
    return json.dumps(list(ids), ensure_ascii=False).encode()


def _write_file(directory: Path, kind: str, content: bytes, prefix: str = "") -> _File:
    digest = hashlib.sha256(content).hexdigest()
    suffix = "safetensors" if kind == "weights" else "json"
    file = _File(name=f"{prefix}{kind}-{digest[:16]}.{suffix}", sha256=digest)
    write_bytes(directory / file.name, content)
    return file


def _write_private(directory: Path, kind: str, content: bytes | None) -> _File | None:
    if content is None:
        return None
    (directory / PRIVATE).mkdir(mode=0o700, exist_ok=True)
    return _write_file(directory, kind, content, prefix=f"{PRIVATE}/")


def _remove_others(directory: Path, kept: set[str]) -> None:
    for path in [*directory.iterdir(), *directory.glob(f"{PRIVATE}/*")]:
        name = path.relative_to(directory).as_posix()
        if re.match(_FILE_NAME, name) and name not in kept:
            path.unlink(missing_ok=True)


def _read_manifest(directory: Path) -> _Manifest:
    path = directory / MANIFEST
    try:
        raw: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"There is no model in {directory} ({MANIFEST} is missing); give a directory made by save()."
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA:
        raise ModelError(
            f"{path} has schema version {version!r}; this fedrec reads version {SCHEMA}: fit and save the model again."
        )
    try:
        return _Manifest.model_validate(raw)
    except ValidationError as error:
        raise _damaged(path, f"{error.error_count()} fields are wrong") from error


def _content(directory: Path, file: _File) -> bytes:
    path = directory / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or "it cannot be read") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _damaged(path, "its SHA-256 is not the one in the manifest")
    return content


def _read_tensors(directory: Path, file: _File) -> Weights:
    try:
        arrays: dict[str, AnyArray] = read_tensors(_content(directory, file))
    except SafetensorError as error:
        raise _damaged(directory / file.name, str(error)) from error
    return arrays


def _read_names(directory: Path, file: _File) -> tuple[str, ...]:
    try:
        names = json.loads(_content(directory, file))
    except ValueError as error:
        raise _damaged(directory / file.name, str(error)) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(directory / file.name, "it is not a list of ids")
    return tuple(names)


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is damaged: {why}; copy the directory again, or fit and save the model again.")
