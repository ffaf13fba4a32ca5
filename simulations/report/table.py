"""A table as plain data, so that one template draws them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a quieter second line, and whether it is the best of its column."""

    text: str
    note: str = ""
    best: bool = False
    tone: str = ""  # "gain" or "loss"


@dataclass(frozen=True)
class Column:
    """A column's heading. Numbers stand right, words left; `note` explains the heading."""

    title: str
    note: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns; the first cell of a row names it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()
    left_out: str = ""  # says which rows are not shown
