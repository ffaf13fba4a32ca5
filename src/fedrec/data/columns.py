"""Single columns of a table as plain arrays; every refusal names source, row, column and cure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedrec.data.arrays import FloatArray, IntArray
from fedrec.errors import DataError

_INTEGRAL_FLOAT_LIMIT = 2.0**53


@dataclass(frozen=True)
class Sheet:
    """An Arrow table, the name of its source, and the columns that are not called by their role."""

    table: pa.Table
    source: str
    columns: Mapping[str, str] = field(default_factory=dict)

    def find(self, *roles: str) -> Column | None:
        """The column of the first of `roles` that is there; those in `columns` come first.

        Raises:
            DataError: a role is mapped to a column that does not exist, or the column occurs twice.
        """
        for role in sorted(roles, key=lambda role: role not in self.columns):
            name = self.columns.get(role, role)
            count = self.table.column_names.count(name)
            if count > 1:
                self._refuse(f"the column occurs {count} times", "give each column its own name", name)
            if count == 1:
                return Column(self._plain(name), name, self.source)
            if role in self.columns:
                self._missing(name, role)
        return None

    def need(self, *roles: str) -> Column:
        """As `find`.

        Raises:
            DataError: none of `roles` is there.
        """
        column = self.find(*roles)
        if column is None:
            self._missing(roles[0], roles[0], alternatives=roles[1:])
        return column

    def _missing(self, name: str, role: str, alternatives: tuple[str, ...] = ()) -> NoReturn:
        present = self.table.column_names
        close = difflib.get_close_matches(name.lower(), [c.lower() for c in present], n=1, cutoff=0.4)
        nearest = [c for c in present if close and c.lower() == close[0]]
        hint = f"the nearest is '{nearest[0]}'" if nearest else f"there is {present}"
        or_else = "".join(f" or '{other}'" for other in alternatives)
        example = nearest[0] if nearest else "..."
        raise DataError(
            f"column '{name}'{or_else} is missing, {hint}",
            cure=f'rename it or pass columns={{"{role}": "{example}"}}',
            source=self.source,
        )

    def _refuse(self, problem: str, cure: str, name: str) -> NoReturn:
        raise DataError(problem, cure=cure, source=self.source, column=name)

    def _plain(self, name: str) -> pa.Array:
        column = self.table.column(name)
        kind = column.type
        try:
            chunks = [_decoded(chunk) for chunk in column.chunks]
            return pa.concat_arrays(chunks) if chunks else pa.array([], kind)
        except (pa.ArrowException, ValueError) as error:
            self._refuse(f"{kind} values cannot be read ({_first_line(error)})", "export it as text", name)


@dataclass(frozen=True)
class Column:
    """One column without its dictionary or chunks; text is always `large_string`."""

    values: pa.Array
    name: str
    source: str

    def refuse(self, problem: str, cure: str, row: int | None = None) -> NoReturn:
        """Raise a DataError about this column. `row` counts from 0; the message counts from 1."""
        number = None if row is None else row + 1
        raise DataError(problem, cure=cure, source=self.source, row=number, column=self.name)

    def shown(self, row: int) -> str:
        """The value of `row` (from 0) for a message, shortened."""
        try:
            text = repr(self.values[row].as_py())
        except (ValueError, OverflowError):
            return "value"  # it has no Python form, such as a date after the year 9999
        return text if len(text) <= 40 else text[:37] + "..."

    def refuse_where(self, mask: pa.Array, problem: str, cure: str) -> None:
        """Refuse the first row where the boolean `mask` is true; `{}` in `problem` is its value."""
        row = pc.index(mask, pa.scalar(True)).as_py()
        if row >= 0:
            self.refuse(problem.format(self.shown(row)), cure, row)

    @property
    def is_text(self) -> bool:
        """Whether the values are text."""
        return bool(pa.types.is_large_string(self.values.type))

    def cast(self, target: pa.DataType, problem: str, cure: str, exact: bool = True) -> pa.Array:
        """The values as `target`; the first row that cannot be cast is refused with `problem` and `cure`."""
        try:
            return self.values.cast(target, safe=exact)
        except (pa.ArrowException, ValueError):
            row = self.first_failure(target)
            self.refuse(problem.format(self.shown(row)), cure, row)

    def first_failure(self, target: pa.DataType) -> int:
        """The first row (from 0) that cannot be cast to `target`, given that there is one."""
        low, high = 0, len(self.values)  # rows before `low` can be cast, one before `high` cannot
        while high - low > 1:
            middle = (low + high) // 2
            try:
                self.values.slice(low, middle - low).cast(target)
                low = middle
            except (pa.ArrowException, ValueError):
                high = middle
        return low

    def strings(self) -> pa.Array:
        """The values as external ids: non-empty text, whole numbers in decimal.

        Floats are accepted where all are whole, as a frame library makes them of integers beside missing
        values.

        Raises:
            DataError: an id is missing, is not whole, or is of a kind that is no id.
        """
        if self.values.null_count:
            self.refuse_where(self.values.is_null(), "the id is missing", "fill it in or drop the row")
        kind = self.values.type
        if pa.types.is_floating(kind):
            return self._whole_numbers()
        if not (self.is_text or pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)):
            self.refuse(f"{kind} values are not ids", "give ids as text or as integers")
        texts = self.values if self.is_text else self.values.cast(pa.large_string())
        self.refuse_where(pc.equal(texts, ""), "the id is missing", "fill it in or drop the row")
        self.refuse_where(
            pc.match_substring(texts, "\0"),
            "the id {} contains a NUL",
            "the file is damaged: export it again",
        )
        return texts

    def _whole_numbers(self) -> pa.Array:
        numbers = self.values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            bad = ~((numbers == np.floor(numbers)) & (np.abs(numbers) < _INTEGRAL_FLOAT_LIMIT))
        cure = "give ids as text or as integers, without missing values"
        self.refuse_where(pa.array(bad), "the id {} is not a whole number", cure)
        return pa.array(numbers.astype(np.int64)).cast(pa.large_string())

    def codes(self) -> tuple[IntArray, tuple[str, ...]]:
        """Ids as codes (num_rows,) and the distinct ids in order of first appearance."""
        return encoded(self.strings())

    def numbers(self, what: str, cure: str = "") -> FloatArray:
        """The values as float64, NaN where missing; messages say `what` they are and the `cure`.

        Raises:
            DataError: a value is not a number or is infinite.
        """
        cure = cure or f"give each {what} as a number"
        if pa.types.is_boolean(self.values.type) or pa.types.is_temporal(self.values.type):
            self.refuse(f"{self.values.type} values are no {what}", cure)
        if self.is_text:
            blanks_out = pc.if_else(pc.equal(self.values, ""), pa.scalar(None, pa.large_string()), self.values)
            values = Column(blanks_out, self.name, self.source).cast(pa.float64(), f"{what} {{}} is not a number", cure)
        else:
            values = self.cast(pa.float64(), f"{what} {{}} is not a number", cure, exact=False)
        array: FloatArray = values.to_numpy(zero_copy_only=False).astype(np.float64)
        self.refuse_where(pa.array(np.isinf(array)), f"{what} {{}} is infinite", "give a finite number")
        return array

    def texts(self) -> list[str | None]:
        """The values as text, None where missing or empty."""
        if pa.types.is_nested(self.values.type) or pa.types.is_binary(self.values.type):
            self.refuse(f"{self.values.type} values are not text", "give plain text or numbers")
        values = self.cast(pa.large_string(), "{} is not text", "give plain text or numbers")
        return [value or None for value in values.to_pylist()]


def encoded(strings: pa.Array) -> tuple[IntArray, tuple[str, ...]]:
    """Codes (num_rows,) int64 of `strings` and the distinct strings in order of first appearance."""
    dictionary = strings.dictionary_encode()
    codes = dictionary.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, tuple(dictionary.dictionary.to_pylist())


def _decoded(chunk: pa.Array) -> pa.Array:
    """The values of a dictionary array; text of any kind as large_string."""
    if pa.types.is_dictionary(chunk.type):
        return _decoded(chunk.dictionary).take(chunk.indices)
    return chunk.cast(pa.large_string()) if _is_text(chunk.type) else chunk


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")
