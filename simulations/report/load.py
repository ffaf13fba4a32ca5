"""Read and write `report.json`. A file that is damaged or of another version is refused, never guessed at."""

from __future__ import annotations

import json
import math
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from fedrec.errors import DataError
from fedrec.files import write_text
from fedrec.simulations.report.schema import SCHEMA, Report


def read(path: Path | str) -> Report:
    """The report in the file.

    Raises:
        DataError: the file is missing, is not JSON, is of another schema version or does not fit the schema.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror})",
            cure="give the path of a report.json",
            source=str(path),
        ) from error
    _check_version(content, path)
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        raise DataError(_first_problem(error), cure="run the simulation again", source=str(path)) from error


def write(report: Report, path: Path | str) -> None:
    """Write the report atomically: readers see the old file or the new one, never a part.

    Raises:
        DataError: a number in the report is NaN or infinite, which JSON cannot hold.
    """
    path = Path(path)
    tree = report.model_dump(mode="python")
    place = _first_non_finite(tree, "report")
    if place is not None:
        raise DataError(
            f"{place} is not a finite number", cure="leave out what could not be measured", source=str(path)
        )
    write_text(path, json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _check_version(content: bytes, path: Path) -> None:
    try:
        tree = from_json(content)
    except ValueError as error:
        raise DataError(
            f"this is not valid JSON ({error})",
            cure="the file is damaged, run the simulation again",
            source=str(path),
        ) from error
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA:
        given = "no schema version" if version is None else f"schema version {version!r}"
        raise DataError(
            f"expected schema version {SCHEMA!r}, got {given}",
            cure="read it with the fedrec that wrote it, or run the simulation again",
            source=str(path),
        )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"'{place}' does not fit the schema: {first['msg'].lower()}"


def _first_non_finite(node: object, place: str) -> str | None:
    if isinstance(node, float):
        return None if math.isfinite(node) else place
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = (_first_non_finite(child, f"{place}.{key}") for key, child in children)
    return next((problem for problem in found if problem is not None), None)
