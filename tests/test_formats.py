"""Numbers and names as a reader sees them."""

import pytest

from fedrec import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.03125, "0.0312"),
        (0.5, "0.5000"),
        (3.14159, "3.142"),
        (12.345, "12.35"),
        (-0.5, "−0.5000"),
        (None, "–"),
    ],
)
def test_scores_have_as_many_decimals_as_they_deserve(value, text):
    assert formats.metric(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0432, "+4.3 %"),
        (-0.2, "−20.0 %"),
        (0.0, "0.0 %"),
        (-0.0001, "0.0 %"),
        (3.4, "+340 %"),
        (12.5, "+1,250 %"),
    ],
)
def test_changes_have_a_sign_unless_they_are_nothing(value, text):
    assert formats.change(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.97, "97 %"), (1.0, "100 %"), (0.996, "99.6 %"), (float("nan"), "–")])
def test_a_share_just_short_of_everything_is_not_rounded_up_to_it(share, text):
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (4200, "4.2 kB"), (999_600, "1.0 MB"), (33_400_000, "33.4 MB")],
)
def test_sizes_are_in_powers_of_a_thousand(number, text):
    assert formats.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.04 s"), (12.34, "12.3 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (7630, "2 h 07 min")],
)
def test_times_are_in_the_units_that_people_use(seconds, text):
    assert formats.duration(seconds) == text


def test_a_long_name_is_cut_with_an_ellipsis_within_its_width():
    assert formats.short("a very long name", 8) == "a very…"
    assert formats.short("short", 8) == "short"


def test_control_characters_are_replaced():
    assert formats.clean("a\x1b[2Jb\n") == "a�[2Jb�"
