"""A dataset on disk: three Parquet files and a description, which appear together or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fedrec.data.catalogue import Catalogue
from fedrec.data.columns import Sheet
from fedrec.data.files import read_table
from fedrec.data.interactions import Interactions
from fedrec.data.items import read_catalogue
from fedrec.data.parts import Labels, Parts
from fedrec.errors import DataError

FORMAT = 1
_DESCRIPTION = "dataset.json"


def write(parts: Parts, directory: Path, overwrite: bool) -> Path:
    """See `Dataset.write`."""
    if directory.exists() and not (overwrite and (directory / _DESCRIPTION).is_file()):
        cure = "choose another directory, or pass overwrite=True to replace a dataset"
        raise DataError("the directory exists", cure=cure, source=str(directory))
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(directory) as temporary:
            _write_files(parts, temporary)
            _replace(temporary, directory)
    except OSError as error:
        cure = "check the path, the permissions and the space on the disk"
        raise DataError(f"it cannot be written ({error})", cure=cure, source=str(directory)) from None
    return directory


@contextmanager
def _temporary(directory: Path) -> Iterator[Path]:
    """A new directory beside `directory`, which is removed if it is still there at the end."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, directory: Path) -> None:
    if directory.exists():
        os.replace(directory, temporary / "replaced")
        try:
            os.replace(temporary, directory)
        except OSError:
            os.replace(temporary / "replaced", directory)
            raise
        shutil.rmtree(directory / "replaced")
    else:
        os.replace(temporary, directory)


def _write_files(parts: Parts, directory: Path) -> None:
    for name, table in (
        ("interactions", _interactions_table(parts)),
        ("users", pa.table({"user_id": parts.interactions.user_ids, **parts.user_attributes})),
        ("items", items_table(parts.catalogue)),
    ):
        pq.write_table(table, directory / f"{name}.parquet", compression="zstd", write_page_checksum=True)
    description = {
        "format": FORMAT,
        "name": parts.name,
        "user_attributes": list(parts.user_attributes),
        "event_attributes": {name: list(labels.names) for name, labels in parts.event_attributes.items()},
    }
    (directory / _DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")


def _interactions_table(parts: Parts) -> pa.Table:
    events = parts.interactions
    columns = {"user": events.users, "item": events.items, "time": events.times, "weight": events.weights}
    labels = {f"label {name}": labels.codes for name, labels in parts.event_attributes.items()}
    return pa.table({**columns, **labels})


def items_table(catalogue: Catalogue) -> pa.Table:
    """The catalogue as a table that `fedrec.data.items` reads back."""
    return pa.table(
        {
            "item_id": pa.array(catalogue.item_ids, pa.string()),
            "text": pa.array(catalogue.text, pa.string()),
            "categories": pa.array(catalogue.categories, pa.list_(pa.string())),
            "price": catalogue.prices,
        }
    )


def read(directory: Path) -> Parts:
    """See `Dataset.read`."""
    description = _description(directory)
    events = read_table(directory / "interactions.parquet")
    users = read_table(directory / "users.parquet")
    items = directory / "items.parquet"
    try:
        catalogue = read_catalogue(Sheet(read_table(items), str(items)))
        interactions = Interactions(
            tuple(Sheet(users, "users").need("user_id").strings().to_pylist()),
            catalogue.item_ids,
            *(events[name].to_numpy() for name in ("user", "item", "time", "weight")),
        )
        attributes = {name: tuple(users[name].to_pylist()) for name in description["user_attributes"]}
        labels = {
            name: Labels(tuple(names), events[f"label {name}"].to_numpy())
            for name, names in description["event_attributes"].items()
        }
        return Parts(str(description["name"]), interactions, catalogue, attributes, labels)
    except (pa.ArrowException, LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(directory, f"{error}") from None


def _description(directory: Path) -> dict[str, Any]:
    try:
        description = json.loads((directory / _DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        cure = "give a directory that Dataset.write made"
        raise DataError(f"the directory has no {_DESCRIPTION}", cure=cure, source=str(directory)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(directory, str(error)) from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise _damaged(directory, f"expected format {FORMAT}")
    return description


def _damaged(directory: Path, reason: str) -> DataError:
    cure = "write or fetch it again"
    return DataError(f"the dataset is damaged ({reason})", cure=cure, source=str(directory))
