"""Rounds of training while they happen: which one, its loss, its seconds, how long the rest may take."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from fedrec.cli.progress import FEDERATED_RUN, MOST_LINES, Display, Lines
from fedrec.cli.work import EPOCH, Work
from fedrec.config import Config, parse

STAGE = {"event": "stage-start", "stage": "federation"}


def config(rounds: int = 10, **training: Any) -> Config:
    models = [{"name": "popularity"}, {"name": "mf", "dim": 4}]
    federation = {"arms": ["federated"], "secure_aggregation": False}
    training = {"rounds": rounds, **training}
    return parse({"data": {"dataset": "x"}, "models": models, "federation": federation, "training": training})


def of(kind: str, step: int, steps: int = 10, phase: str = "choose", **more: Any) -> dict[str, Any]:
    """An event of the training of mf."""
    named = {"model": "mf", "training": f"{phase}-mf", "step": step, "steps": steps}
    event = {"event": kind, "round": step + 1, "phase": phase, "action": f"train mf {step}/{steps}", "nodes": 3}
    return event | named | more


def trained(step: int, steps: int = 10, seconds: float = 12.0, **more: Any) -> list[dict[str, Any]]:
    end = of("round-end", step, steps, loss=4.0 - step / 8, seconds=seconds, **more)
    return [of("round-start", step, steps, **more), end]


def drawn(width: int, *events: dict[str, Any]) -> str:
    display = Display(Console(file=io.StringIO()), Work(config()), FEDERATED_RUN)
    for event in events:
        display(event)
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(display)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines[0]


def test_before_the_first_round_is_over_there_is_nothing_to_tell_but_the_round():
    assert "mf 1/10, tenant 2 of 3" in drawn(80, STAGE, of("round-start", 1), {"event": "reply", "done": 1})


def test_80_columns_show_the_round_its_loss_its_seconds_and_the_rest():
    """Two rounds of 12 s are over, 8 of 10 are left: 96 s."""
    events = [STAGE, *trained(1), *trained(2), of("round-start", 3), {"event": "reply", "done": 1}]
    assert "mf 3/10: loss 3.75, 12.0 s a round, 2 minutes left" in drawn(80, *events)
    assert "2 minutes left, tenant 2 of 3" in drawn(120, *events)


def test_another_training_begins_without_the_figures_of_the_one_before():
    events = [STAGE, *trained(1), of("round-start", 1, phase="final")]
    assert "mf 1/10, tenant 1 of 3" in drawn(80, *events)


def told(*events: dict[str, Any]) -> list[str]:
    file = io.StringIO()
    lines = Lines(Console(file=file, width=80), FEDERATED_RUN)
    for event in events:
        lines(event)
    return file.getvalue().splitlines()


def test_without_a_terminal_each_round_is_a_line():
    assert told(STAGE, *trained(1), *trained(10)) == [
        "  choose-mf 1/10: loss 3.875, 12.0 s a round, 2 minutes left",
        "  choose-mf 10/10: loss 2.75, 12.0 s a round",
    ]


def test_of_many_rounds_only_some_are_lines_the_last_among_them():
    events = [event for step in range(1, 1002) for event in trained(step, 1001, seconds=1.0)]
    lines = told(STAGE, *events)
    assert MOST_LINES / 2 < len(lines) <= MOST_LINES
    assert lines[-1].startswith("  choose-mf 1001/1001")


def test_a_discarded_and_a_resumed_round_are_told():
    lines = told(STAGE, of("resumed", 4), of("round-discarded", 5, reason="The round was discarded: 1 usable reply."))
    assert lines == [
        "  choose-mf 4/10: there from before the interruption",
        "  choose-mf 5/10: discarded, The round was discarded: 1 usable reply.",
    ]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def units(rounds: int, epochs: float = 1.0) -> float:
    """All work of `config`: a sum and a score to choose, the same for good; and the trainings of both."""
    return 2 * (1 + 2.5) + 2 * rounds * EPOCH * epochs


def test_rounds_of_training_have_a_pace_of_their_own():
    """One sum of 2 s is done and two of 20 rounds of 5 s: 18 rounds and 6 units are left."""
    clock = Clock()
    work = Work(config(), clock)
    work({"event": "loaded", "tenants": 3})
    work({"event": "round-start", "round": 1, "phase": "choose", "action": "sum item_counts", "nodes": 3})
    clock.now = 2.0
    work({"event": "round-end"})
    assert work.remaining_s() is None
    for step in (1, 2):
        work(of("round-start", step))
        clock.now += 5.0
        work(of("round-end", step, loss=1.0, seconds=5.0))
    assert work.share == pytest.approx((1 + 2 * EPOCH) / units(10))
    assert work.remaining_s() == pytest.approx(6 * 2.0 + 18 * 5.0)


def test_a_round_of_several_epochs_is_so_much_more_work():
    work = Work(config(local={"epochs": 3}), Clock())
    for event in trained(1):
        work(event)
    assert work.share == pytest.approx(3 * EPOCH / units(10, epochs=3))


def test_what_is_there_from_before_an_interruption_is_done_and_tells_nothing_of_the_pace():
    """The choice is made; 4 of the last 10 rounds are there, one more takes 5 s, so the other 5 take 25 s."""
    clock = Clock()
    work = Work(config(), clock)
    work({"event": "loaded", "tenants": 3})
    work({"event": "chosen", "kept": []})
    assert work.share == pytest.approx(0.5)
    assert work.remaining_s() is None
    work(of("resumed", 4, phase="final"))
    work(of("round-start", 5, phase="final"))
    clock.now = 5.0
    work(of("round-end", 5, phase="final", loss=1.0, seconds=5.0))
    sums_and_score = (1 + 2.5) * 5.0 / EPOCH  # nothing but training was measured
    assert work.remaining_s() == pytest.approx(25.0 + sums_and_score)


def test_an_arm_that_was_scored_before_an_interruption_is_done():
    work = Work(config(), Clock())
    work({"event": "chosen", "kept": ["federated"]})
    assert work.share == pytest.approx((units(10) / 2 + 2.5) / units(10))
