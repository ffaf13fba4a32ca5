"""How numbers and names are written for a reader: the same on the page and in the terminal."""

from __future__ import annotations

import math

MISSING = "–"
_SIZES = ("B", "kB", "MB", "GB", "TB")


def metric(value: float | None) -> str:
    """A score with as many decimals as its size deserves: 0.0312, 3.142, 12.35."""
    if value is None or not math.isfinite(value):
        return MISSING
    decimals = 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2
    return f"{value:.{decimals}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share of one, unsigned: 0.97 is "97 %"."""
    if share is None or not math.isfinite(share):
        return MISSING
    decimals = 1 if 0.99 < share < 1.01 and round(share * 100, 1) != 100 else 0
    return f"{share * 100:.{decimals}f} %"


def change(relative: float | None) -> str:
    """A relative change with its sign: 0.043 is "+4.3 %"."""
    if relative is None or not math.isfinite(relative):
        return MISSING
    decimals = 1 if abs(relative) < 0.995 else 0
    text = f"{relative * 100:+,.{decimals}f} %".replace("-", "−")
    return "0.0 %" if text in ("+0.0 %", "−0.0 %") else text


def count(number: float) -> str:
    """A whole number in groups of three digits."""
    return f"{number:,.0f}" if math.isfinite(number) else MISSING


def size(number_of_bytes: float) -> str:
    """Bytes in powers of 1000: "4.2 MB"."""
    value, unit = float(number_of_bytes), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_SIZES[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {_SIZES[unit]}"


def duration(seconds: float) -> str:
    """A time in the units that a person would use: "0.04 s", "12.3 s", "4 min 05 s", "2 h 07 min"."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clean(name: str) -> str:
    """The name without characters that would move a terminal's cursor or break a page."""
    return "".join(character if character.isprintable() else "�" for character in name)


def short(name: str, width: int) -> str:
    """The cleaned name in at most `width` characters; a cut is shown by an ellipsis."""
    name = clean(name)
    return name if len(name) <= width else name[: width - 1].rstrip() + "…"


def plural(number: int, noun: str) -> str:
    """The number with its noun: "1 tenant", "21 tenants"."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"
