"""What training did and cost: from events to rounds, curves, tables and pictures. The numbers are worked out by hand."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from fedrec.simulations.report import training_charts, training_tables
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Curve, Round
from fedrec.simulations.report.terminal import summary
from fedrec.simulations.report.training import curves_of, rounds_of

START = {"event": "run-start", "t": 0.0}
END = {"event": "run-end", "t": 9.0}


def begin(number, t):
    return {"event": "round-start", "t": t, "round": number}


def end(number, t, **more):
    cost = {"clients": 3, "failed": {}, "bytes_up": 100, "bytes_down": 40, "seconds": 2.0, "client_seconds": 1.5}
    where = {"phase": "choose", "action": "sum item_counts", "sent": []}
    return {"event": "round-end", "t": t, "round": number, **where, **cost, **more}


def trained(number, t, step, loss, training="final-sasrec"):
    phase = training.split("-")[0]
    named = {"model": "sasrec", "training": training, "step": step, "steps": 3, "phase": phase, "loss": loss}
    return end(number, t, action=f"train sasrec {step}/3", **named)


def test_the_servers_work_is_what_clients_left_of_a_round_and_all_until_the_next_one():
    solved = [START, begin(1, 0.5), end(1, 2.5), {"event": "checkpoint", "t": 2.6}, begin(2, 4.0), end(2, 6.0), END]
    first, second = rounds_of(solved)
    assert first.server_seconds == pytest.approx(2.0 - 1.5 + 4.0 - 2.5)
    assert second.server_seconds == pytest.approx(2.0 - 1.5 + 9.0 - 6.0)
    assert first.client_seconds == 1.5


def test_an_attempt_that_was_cut_short_ends_with_its_last_event_and_its_own_clock():
    """`failed` counts from the beginning of its stage, so it says nothing about the server's work."""
    cut = [START, begin(1, 0.5), end(1, 2.5), {"event": "chosen", "t": 3.0}, {"event": "failed", "t": 77.0}]
    again = [START, begin(1, 0.5), end(1, 2.5), END]
    first, second = rounds_of(cut + again)
    assert first.server_seconds == pytest.approx(0.5 + 0.5)
    assert second.server_seconds == pytest.approx(0.5 + 6.5)
    assert [first.number, second.number] == [1, 1]


def test_without_the_clients_seconds_the_servers_are_not_known_either():
    (found,) = rounds_of([START, begin(1, 0.5), {k: v for k, v in end(1, 2.5).items() if k != "client_seconds"}, END])
    assert (found.server_seconds, found.client_seconds, found.seconds) == (None, None, 2.0)


def test_a_refusal_in_a_round_that_never_ended_is_not_that_of_the_next_one():
    refused = {"event": "refused", "t": 1.0, "node": 101, "reason": "plain-request"}
    dropped = {"event": "secure-sum", "t": 2.0, "dropped": [2]}
    cut = [START, begin(1, 0.5), refused]
    again = [START, begin(1, 0.5), dropped, end(1, 2.5, failed={"103": "DataError"}), END]
    (found,) = rounds_of(cut + again)
    assert found.failed == {"member 2": "dropped out", "103": "DataError"}


def test_a_curve_has_each_of_its_rounds_once_also_if_one_was_made_again():
    first = [START, trained(1, 1.0, 1, 3.5, "choose-sasrec-1"), {"event": "validation", "t": 1.5, "metric": "NDCG@5"}]
    first[-1]["scores"] = {"sasrec:0": 0.25, "sasrec:1": 0.75}
    first += [trained(2, 2.0, 1, 3.0), trained(3, 3.0, 2, 2.5)]
    again = [START, trained(3, 1.0, 2, 2.5), trained(4, 2.0, 3, 2.25)]
    chosen, final = curves_of(first + again, "federated")
    assert (chosen.rounds, chosen.losses, chosen.validation) == ([1], [3.5], 0.75)
    assert (final.rounds, final.losses, final.validation) == ([1, 2, 3], [3.0, 2.5, 2.25], None)
    assert (final.arm, final.model, final.phase) == ("federated", "sasrec", "final")


def round_of(number, action, up, model=None, server=0.5, client=1.0):
    return Round(
        number=number, phase="final", action=action, clients=3, failed={}, bytes_up=up, bytes_down=10 * up,
        seconds=1.5, model=model, server_seconds=server, client_seconds=client,
    )  # fmt: skip


ROUNDS = [
    round_of(1, "sum item_counts", 100),
    round_of(2, "train sasrec 1/2", 1000, "sasrec"),
    round_of(3, "train sasrec 2/2", 2000, "sasrec"),
    round_of(4, "score federated", 300),
    round_of(4, "score federated", 300, server=None, client=None),
]
CURVES = [
    Curve(arm=arm, training=f"{phase}-sasrec", model="sasrec", phase=phase, rounds=[1, 2], losses=[3.5, last],
          validation=0.25 if phase == "choose" else None)
    for arm, phase, last in (("federated", "choose", 3.0), ("federated", "final", 2.5), ("pooled", "final", 2.25))
]  # fmt: skip


@pytest.fixture
def trained_report(make_report):
    return make_report(rounds=ROUNDS, training=CURVES)


def test_costs_by_purpose_add_up_to_those_of_all_rounds(trained_report):
    sums, sasrec, scores = training_tables.costs(trained_report)
    assert (sasrec.rounds, sasrec.bytes_up, sasrec.up_a_round, sasrec.down_a_round) == (2, 3000, 1500, 15000)
    assert (sums.rounds, scores.rounds, scores.server_seconds, scores.client_seconds) == (1, 2, 0.5, 1.0)
    total = training_tables.all_together(trained_report)
    assert (total.rounds, total.bytes_up, total.client_seconds) == (5, 3700, 4.0)
    assert training_tables.made_again(trained_report) == 1


def test_a_report_without_rounds_has_no_costs(make_report):
    assert training_tables.cost(make_report(rounds=[])).rows == ()


def test_the_page_shows_curves_and_costs_and_says_that_a_round_was_made_again(trained_report):
    page = render(trained_report)
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "How training went" in text
    assert "Federated: loss 3.5 to 2.5 in 2 rounds. NDCG@10 on validation, by candidate: 0.2500." in text
    assert "1 round among them had to be made again" in text
    assert "Sums for closed forms shared by all that need them 1 0.50 s 1.00 s 100 B 100 B 1.0 kB 1.0 kB" in text
    spoken = "federated, while settings were chosen: loss 3.5 to 3 in 2 rounds, NDCG@10 0.2500 on validation; "
    assert spoken + "federated: loss 3.5 to 2.5 in 2 rounds; pooled: loss 3.5 to 2.25 in 2 rounds." in page
    assert page.count("training-0-wide") > 1
    assert render(trained_report) == page


def test_without_training_there_is_no_section_about_it(make_report):
    page = render(make_report())
    assert "How training went" not in page
    assert 'href="#training"' not in page


def test_a_single_round_and_equal_losses_are_drawn(make_report):
    flat = [CURVES[0].model_copy(update={"rounds": [1], "losses": [2.0]})]
    assert "loss 2 in 1 round" in render(make_report(training=flat))


def test_a_hostile_name_of_a_recommender_stays_text(make_report):
    hostile = [CURVES[1].model_copy(update={"model": "<script>\x1b[31m"})]
    page = render(make_report(training=hostile, rounds=[ROUNDS[1].model_copy(update={"model": "<script>\x1b[31m"})]))
    assert "<script>" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_training_in_a_line_and_costs_within_its_width(trained_report, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary(trained_report))
    text = console.file.getvalue()
    assert "sasrec: loss 3.5 to 2.5 in 2 rounds  █▁" in text
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if line.strip().startswith("sasrec  "))
    assert row.split() == ["sasrec", "2", "1.00", "s", "2.00", "s", "1.5", "kB", "15.0", "kB"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0], "▁"), ([2.0, 2.0], "▁▁"), ([8.0, 1.0], "█▁"), ([float(n) for n in range(8, 0, -1)], "█▇▆▅▄▃▂▁")],
)
def test_bars_go_from_the_least_to_the_largest_value(values, expected):
    assert training_charts.bars(values) == expected


def test_of_many_values_the_first_and_the_last_are_among_the_bars():
    drawn = training_charts.bars([9.0, *[5.0] * 998, 1.0])
    assert (len(drawn), drawn[0], drawn[-1]) == (training_charts.MOST_BARS, "█", "▁")
