"""The end of a run on a terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from fedrec.simulations.report.terminal import summary

FILES = [Path("runs/marketplace/report.html"), Path("runs/marketplace/report.json")]


def shown(report, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(summary(report, FILES))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off_or_too_wide(report, width):
    lines = shown(report, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert not any("…" in line and "more in" in line and "report.html" not in line for line in lines)


def test_verdict_best_scores_gains_warning_and_files_are_there_without_colour(report):
    text = shown(report, no_color=True)
    assert "Joining helps" in text
    assert "*0.2071" in text
    assert "EASE (chosen)" in text
    assert "… and 13 more in report.html" in text
    assert "No noise was added and no masks were on" in text
    assert "runs/marketplace/report.html" in text
    assert "\x1b[" not in text


def test_the_largest_gains_and_losses_are_shown_in_order(report):
    text = shown(report)
    assert text.index("+340 %") < text.index("… and 13 more") < text.index("−6.2 %", text.index("Does joining"))


def test_names_cannot_colour_or_move_the_terminal(make_report, report):
    hostile = report.tenants[0].model_copy(update={"name": "\x1b[31mred\x07", "gain": 9.0})
    text = shown(make_report(tenants=[hostile, *report.tenants[1:]]), force_terminal=True, color_system=None)
    assert "\x1b[31m" not in text
    assert "\x07" not in text


def test_square_brackets_in_a_name_are_shown_as_they_are(make_report, report):
    tenants = [tenant for tenant in report.tenants if tenant.name == "[red]markup[/red]"]
    assert "[red]markup[/red]" in shown(make_report(tenants=tenants))


def test_few_tenants_are_all_shown(make_report, report):
    text = shown(make_report(tenants=[report.tenants[0], report.tenants[-1]]))
    assert "no test users" in text
    assert "more in report.html" not in text


def test_an_empty_report_still_ends_with_the_files(make_report):
    text = shown(make_report(models=[], results=[], tenants=[], rounds=[], arms=[]))
    assert "Nothing was measured" in text
    assert "report.json" in text
