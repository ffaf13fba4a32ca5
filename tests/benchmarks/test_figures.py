"""A bar is met or not by arithmetic, never by what somebody typed."""

from __future__ import annotations

import math

import pytest

from benchmarks.figures import Bar, Row, at_least, at_most, within
from fedrec.errors import ConfigError


@pytest.mark.parametrize(
    ("bar", "met", "missed"),
    [
        (at_least(0.5), [0.5, 0.51], [0.49999, -1.0, math.nan]),
        (at_most(60), [60.0, 0.0], [60.001, math.nan]),
        (within(0.037, 0.0005), [0.0365, 0.037, 0.0375], [0.03649, 0.03751, math.nan]),
    ],
)
def test_a_bar_is_met_on_its_own_side_only(bar: Bar, met: list[float], missed: list[float]) -> None:
    assert all(bar.met(value) for value in met)
    assert not any(bar.met(value) for value in missed)


@pytest.mark.parametrize("text", [">= 0.092", "<= 60", "0.037 +- 0.0005", ">= -1e-06"])
def test_a_bar_reads_back_as_it_was_written(text: str) -> None:
    assert str(Bar.parse(text)) == text


@pytest.mark.parametrize("text", ["", "0.5", "> 0.5", ">= much", ">=", "1 +- "])
def test_any_other_text_is_no_bar(text: str) -> None:
    with pytest.raises(ConfigError, match="Expected a bar"):
        Bar.parse(text)


def test_a_row_says_itself_whether_its_bar_was_met() -> None:
    assert Row("speed", 61.0, "s", at_most(60)).as_json() == {
        "figure": "speed",
        "value": 61.0,
        "unit": "s",
        "bar": "<= 60",
        "met": False,
        "seeds": [],
    }
    assert Row("speed", 59.0, "s", at_most(60)).met is True


def test_a_row_without_a_bar_is_neither_met_nor_missed() -> None:
    row = Row("memory", 1.25, "GB", seeds=(0, 1), note="as seen").as_json()
    assert (row["bar"], row["met"], row["seeds"], row["note"]) == (None, None, [0, 1], "as seen")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="'speed' to be a finite number"):
        Row("speed", value, "s")
