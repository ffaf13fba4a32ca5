import io
from typing import Any

import pytest
from rich.console import Console

from fedrec.cli.progress import FEDERATED_RUN, Display, Lines
from fedrec.cli.work import Work
from fedrec.config import Config, parse

RUN: list[dict[str, Any]] = [
    {"event": "stage-start", "stage": "load"},
    {"event": "loaded", "dataset": "ml-1m", "users": 6040, "items": 3706, "events": 1_000_209, "tenants": 21},
    {"event": "stage-end", "stage": "load", "seconds": 2.5},
    {"event": "stage-start", "stage": "federation"},
    {
        "event": "round-start",
        "round": 1,
        "phase": "choose",
        "action": "sum item_counts, transitions, item_gram",
        "nodes": 21,
    },
    {"event": "reply", "done": 11},
]
END: list[dict[str, Any]] = [
    {"event": "round-end", "round": 1},
    {"event": "stage-end", "stage": "federation", "seconds": 61.0},
]


def config(*arms: str, masks: bool = False, **model: Any) -> Config:
    models = [{"name": "popularity"}, model] if model else [{"name": "popularity"}]
    federation = {"arms": arms, "secure_aggregation": masks}
    return parse({"data": {"dataset": "x"}, "models": models, "federation": federation})


def test_without_a_terminal_there_is_one_line_for_each_finished_stage():
    file = io.StringIO()
    lines = Lines(Console(file=file, width=80), FEDERATED_RUN)
    for event in RUN + END:
        lines(event)
    assert file.getvalue().splitlines() == [
        "load: 2.50 s (6,040 users, 3,706 items, 1,000,209 events, 21 tenants)",
        "federation: 1 min 01 s (1 round)",
    ]


def drawn(display: Display) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=80, color_system=None).print(display)
    return file.getvalue().splitlines()


def test_a_terminal_of_80_columns_shows_the_round_the_tenant_and_the_question():
    display = Display(Console(file=io.StringIO()), Work(config("federated")), FEDERATED_RUN)
    for event in RUN:
        display(event)
    load, federation, bar = drawn(display)
    assert load.startswith("✓ load")
    assert "1,000,209 events, 21 tenants" in load
    assert "round 1, tenant 12 of 21: sum item counts" in federation
    assert "%" in bar
    assert max(map(len, (load, federation, bar))) <= 80


def test_a_display_that_was_cut_short_marks_the_stage_and_has_no_bar():
    display = Display(Console(file=io.StringIO()), Work(config("federated")), FEDERATED_RUN)
    with display:
        for event in RUN:
            display(event)
    assert [line[0] for line in drawn(display)] == ["✓", "✗"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def begin(number: int, action: str, nodes: int = 2) -> dict[str, Any]:
    return {"event": "round-start", "round": number, "phase": "final", "action": action, "nodes": nodes}


def test_work_is_counted_in_rounds_and_the_rest_goes_at_the_pace_so_far():
    # Popularity alone, one arm: 1 sum and 2.5 for scoring to choose, the same for good. 7 units in all.
    clock = Clock()
    work = Work(config("federated"), clock)
    work({"event": "loaded", "tenants": 2})
    assert (work.share, work.remaining_s()) == (0.0, None)
    work(begin(1, "sum item_counts"))
    clock.now = 4.0
    work({"event": "reply", "done": 1})
    assert work.share == pytest.approx(0.5 / 7)
    assert work.remaining_s() == pytest.approx(4.0 / 0.5 * 6.5)
    work({"event": "round-end"})
    work(begin(2, "score federated"))
    work({"event": "round-end"})
    assert work.share == pytest.approx(3.5 / 7)
    assert work.remaining_s() == pytest.approx(4.0)


def test_fitting_in_several_rounds_is_foreseen():
    # ALS of 3 sweeps: the counts and 3 sweeps, twice; scoring twice.
    work = Work(config("federated", name="als", rank=2, sweeps=3), Clock())
    work(begin(1, "sum item_counts"))
    work({"event": "round-end"})
    assert work.share == pytest.approx(1 / (2 * 4 + 2 * 2.5))


def test_masks_make_a_federated_round_longer_than_a_pooled_one():
    # 5 tenants: 7 units pooled, and 1 + 0.4 * 5 = 3 times as many for the same rounds with masks.
    work = Work(config("federated", "pooled", masks=True), Clock())
    work({"event": "loaded", "tenants": 5})
    work({"event": "stage-start", "stage": "pooled"})
    work(begin(1, "sum item_counts"))
    work({"event": "round-end"})
    total = 7 + 3 * 7 + 3 * 2.5
    assert work.share == pytest.approx(1 / total)
    work({"event": "stage-start", "stage": "federation"})
    work(begin(1, "sum item_counts"))
    work({"event": "round-end"})
    assert work.share == pytest.approx((1 + 3) / total)


def test_a_long_round_is_timed_by_itself():
    # 100 tenants that fit alone: 1 + 0.3 * 100 * 7 = 211 units, of which half took 30 s; 7 units besides.
    clock = Clock()
    work = Work(config("local", "federated"), clock)
    work({"event": "loaded", "tenants": 100})
    clock.now = 1.0
    work(begin(1, "score local", nodes=100))
    clock.now = 31.0
    work({"event": "reply", "done": 50})
    assert work.remaining_s() == pytest.approx((105.5 + 7) * 30 / 105.5)


@pytest.mark.parametrize("masks", [False, True])
def test_the_share_reaches_one_at_the_end_of_a_foreseen_run(masks):
    work = Work(config("floor", "local", "federated", "tuned", "personal", "pooled", masks=masks), Clock())
    work({"event": "loaded", "tenants": 4})
    pooled = ["sum item_counts", "score federated"] * 2
    federation = ["sum item_counts", "score federated", "sum item_counts"]
    federation += ["score floor", "score local", "score federated", "score personal", "score pooled"]
    shares = []
    for stage, actions in (("pooled", pooled), ("federation", federation)):
        work({"event": "stage-start", "stage": stage})
        for action in actions:
            work(begin(1, action))
            work({"event": "round-end"})
            shares.append(work.share)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert shares[-2] < 1
