"""Reading CSV and Parquet files as Arrow tables. Whatever is wrong with a file becomes one DataError."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fedrec.errors import DataError

_DELIMITERS = (",", "\t", ";", "|")
_HEADER_LIMIT_BYTES = 1 << 20
_WRONG_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_DAMAGE = (pa.ArrowException, OSError, EOFError, zlib.error, ValueError, KeyError, MemoryError, OverflowError)


def read_table(path: Path, delimiter: str | None = None) -> pa.Table:
    """The table in `path`: Parquet if it is called so, otherwise CSV with a header, perhaps gzipped (`.gz`).

    CSV values are all read as text, so that an id 007 stays 007. Without `delimiter`, it is the one of comma,
    tab, semicolon and bar that the header has most of.

    Raises:
        DataError: the file is missing, empty, damaged, not UTF-8, or a row has too few or too many fields.
    """
    if not path.is_file():
        raise DataError("there is no such file", cure="check the path", source=str(path))
    if path.suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    return _read_csv(path, delimiter)


def _read_parquet(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read(use_threads=False)
        table.validate(full=True)
    except _DAMAGE as error:
        raise _damaged(path, "Parquet", error) from None
    return table


def _read_csv(path: Path, delimiter: str | None) -> pa.Table:
    names, delimiter = _header(path, delimiter)
    try:
        with _binary(path) as stream:
            table = pacsv.read_csv(
                stream,
                pacsv.ReadOptions(use_threads=False, block_size=1 << 24),
                pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                pacsv.ConvertOptions(column_types={name: pa.large_string() for name in names}),
            )
        table.validate(full=True)
    except _DAMAGE as error:
        _refuse_other_encoding(path)
        width = _WRONG_WIDTH.search(str(error))
        raise (_wrong_width(path, width) if width else _damaged(path, "CSV", error)) from None
    return table


def _header(path: Path, delimiter: str | None) -> tuple[list[str], str]:
    """The column names and the delimiter of a CSV file."""
    try:
        with _binary(path) as stream:
            raw = stream.readline(_HEADER_LIMIT_BYTES)
        line = raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _not_utf8(path, 0) from None
    except _DAMAGE as error:
        raise _damaged(path, "CSV", error) from None
    if not line.strip():
        raise DataError("the file has no header", cure="name the columns in the first line", source=str(path))
    chosen = delimiter or max(_DELIMITERS, key=line.count)
    try:
        return next(csv.reader([line], delimiter=chosen)), chosen
    except (csv.Error, TypeError) as error:
        raise _damaged(path, "CSV", error) from None


@contextmanager
def _binary(path: Path) -> Iterator[io.BufferedIOBase]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        yield stream


def _wrong_width(path: Path, found: re.Match[str]) -> DataError:
    row, expected, actual = found.groups()
    return DataError(
        f"the row has {actual} fields, the header {expected}",
        cure="quote values that contain the delimiter, or give the right delimiter",
        source=str(path),
        row=int(row) - 1,  # the parser counts the header
    )


def _refuse_other_encoding(path: Path) -> None:
    try:
        with _binary(path) as stream:
            for number, line in enumerate(stream):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    raise _not_utf8(path, number) from None
    except (OSError, EOFError, zlib.error):
        return  # the caller reports the damage


def _not_utf8(path: Path, row: int) -> DataError:
    cure = "save the file as UTF-8, for example with `iconv -f latin1 -t utf-8`"
    return DataError("the text is not UTF-8", cure=cure, source=str(path), row=row or None)


def _damaged(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).split("\n", 1)[0].rstrip(". ") or type(error).__name__
    cure = "it may be truncated or of another format: export it again"
    return DataError(f"the file cannot be read as {kind} ({reason})", cure=cure, source=str(path))
