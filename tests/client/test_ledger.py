"""The ledger: what is spent stays spent, whatever happens to the process or the files."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from fedrec.client.ledger import HEAD, LEDGER, Entry, Ledger, create_ledger
from fedrec.errors import ConfigError, Refusal
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Gaussian, Skellam
from tests.full_disk import room_for

DELTA = 1e-5
RELEASE = Gaussian(1.0, 4.0)
ENTRY = Entry("round 1: item_counts", (RELEASE,), "2026-11-22T00:00:00+00:00")
TWICE = epsilon_of([RELEASE] * 2, DELTA)
"""A budget for two releases."""


def with_entries(folder: Path, count: int) -> Ledger:
    ledger = create_ledger(folder)
    for _ in range(count):
        ledger.record(ENTRY, 100.0, DELTA)
    return ledger


def reason_of(ledger: Ledger) -> str:
    with pytest.raises(Refusal) as caught:
        ledger.record(ENTRY, 100.0, DELTA)
    return caught.value.reason


def test_releases_are_kept_in_order_and_in_words(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path)
    other = Entry("round 2: item_gram", (Skellam(9.0, 3.0, 50.0), RELEASE))
    ledger.record(ENTRY, 100.0, DELTA)
    ledger.record(other, 100.0, DELTA)
    assert Ledger(tmp_path).entries() == [ENTRY, other]
    line = json.loads((tmp_path / LEDGER).read_text().splitlines()[2])
    assert line["what"] == "round 2: item_gram"
    assert line["mechanisms"][0] == {"kind": "skellam", "l1": 9.0, "l2": 3.0, "variance": 50.0}


def test_a_spent_budget_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path)
    ledger.record(ENTRY, TWICE, DELTA)
    assert not ledger.would_exceed([RELEASE], TWICE, DELTA)
    ledger.record(ENTRY, TWICE, DELTA)
    before = (tmp_path / LEDGER).read_bytes()
    assert ledger.would_exceed([RELEASE], TWICE, DELTA)
    for again in (ledger, Ledger(tmp_path)):  # also in another process, which has only the files
        with pytest.raises(Refusal) as caught:
            again.record(ENTRY, TWICE, DELTA)
        assert caught.value.reason == "budget-spent"
    assert (tmp_path / LEDGER).read_bytes() == before


def test_a_smaller_release_may_still_fit(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path)
    ledger.record(ENTRY, TWICE, DELTA)
    assert ledger.would_exceed([Gaussian(1.0, 2.0)], TWICE, DELTA)
    ledger.record(Entry("small", (Gaussian(1.0, 400.0),)), TWICE, DELTA)


def test_no_clock_decides_anything(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path)
    for at in ("2099-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"):
        ledger.record(Entry("x", (RELEASE,), at), TWICE, DELTA)
    assert ledger.would_exceed([RELEASE], TWICE, DELTA)


def test_a_ledger_is_never_begun_anew(tmp_path: Path) -> None:
    with_entries(tmp_path, 1)
    for missing in (None, LEDGER):
        if missing:
            (tmp_path / missing).unlink()
        with pytest.raises(ConfigError, match="would forget"):
            create_ledger(tmp_path)


@pytest.mark.parametrize("missing", [LEDGER, HEAD])
def test_a_missing_file_refuses(tmp_path: Path, missing: str) -> None:
    ledger = with_entries(tmp_path, 1)
    (tmp_path / missing).unlink()
    assert reason_of(ledger) == "ledger-missing"


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 2)
    whole = (tmp_path / LEDGER).read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        (tmp_path / LEDGER).write_bytes(damaged)
        with pytest.raises(Refusal):
            ledger.entries()
    (tmp_path / LEDGER).write_bytes(whole)
    assert len(ledger.entries()) == 2


def test_every_shorter_ledger_is_noticed(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 2)
    whole = (tmp_path / LEDGER).read_bytes()
    for length in range(len(whole)):
        (tmp_path / LEDGER).write_bytes(whole[:length])
        with pytest.raises(Refusal):
            ledger.entries()


def test_a_changed_head_refuses_or_changes_nothing(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 2)
    whole = (tmp_path / HEAD).read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        (tmp_path / HEAD).write_bytes(damaged)
        try:
            assert len(ledger.entries()) == 2
        except Refusal as error:
            assert error.reason == "ledger-damaged"


def test_an_older_head_and_ledger_of_another_tenant_refuse(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path / "one", 3)
    older = with_entries(tmp_path / "two", 1)
    (tmp_path / "one" / HEAD).write_bytes((older.folder / HEAD).read_bytes())
    assert reason_of(ledger) == "ledger-damaged"


@pytest.mark.parametrize("room", [1, 20])
def test_what_a_full_disk_cut_off_was_not_released_and_is_taken_away(tmp_path: Path, room: int) -> None:
    ledger = with_entries(tmp_path, 1)
    whole = (tmp_path / LEDGER).read_bytes()
    with room_for(len(whole) + room):
        assert reason_of(ledger) == "storage-failed"
    assert len((tmp_path / LEDGER).read_bytes()) == len(whole) + room
    ledger.record(ENTRY, 100.0, DELTA)
    assert ledger.entries() == [ENTRY, ENTRY]


def test_without_any_room_nothing_is_written(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 1)
    whole = (tmp_path / LEDGER).read_bytes()
    with room_for(len(whole)), pytest.raises(OSError, match="File too large"):
        ledger.record(ENTRY, 100.0, DELTA)
    assert (tmp_path / LEDGER).read_bytes() == whole


def test_a_line_that_a_crash_cut_off_is_taken_away(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 1)
    whole = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(whole + b'{"number": 2, "at": ""')
    assert len(ledger.entries()) == 1
    assert (tmp_path / LEDGER).read_bytes() == whole
    ledger.record(ENTRY, 100.0, DELTA)
    assert len(ledger.entries()) == 2


def test_a_release_that_the_head_does_not_know_yet_counts(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 1)
    head = (tmp_path / HEAD).read_bytes()
    ledger.record(ENTRY, 100.0, DELTA)
    (tmp_path / HEAD).write_bytes(head)  # the process died between the line and the head
    assert len(ledger.entries()) == 2
    assert json.loads((tmp_path / HEAD).read_bytes())["lines"] == 3


def test_two_releases_that_the_head_does_not_know_are_no_crash(tmp_path: Path) -> None:
    ledger = with_entries(tmp_path, 1)
    head = (tmp_path / HEAD).read_bytes()
    for _ in range(2):
        ledger.record(ENTRY, 100.0, DELTA)
    (tmp_path / HEAD).write_bytes(head)
    assert reason_of(ledger) == "ledger-damaged"


def test_a_mechanism_of_an_unknown_kind_refuses(tmp_path: Path) -> None:
    class Laplace(Gaussian):
        kind = "laplace"

    ledger = create_ledger(tmp_path)
    ledger.record(Entry("x", (Laplace(1.0, 4.0),)), 100.0, DELTA)
    assert reason_of(ledger) == "ledger-damaged"


def release_until_killed(folder: Path, budget: float) -> None:
    """Records releases, and notes each that left, as fast as the disk goes."""
    with (folder / "left").open("ab", buffering=0) as left:
        while True:
            Ledger(folder).record(ENTRY, budget, DELTA)
            left.write(b"x")


def killed_child(folder: Path, budget: float, after_s: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            release_until_killed(folder, budget)
        finally:
            os._exit(3)  # refused: the budget is spent
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_killed_process_leaves_no_release_unrecorded_and_no_budget_exceeded(tmp_path: Path) -> None:
    create_ledger(tmp_path)
    budget, rng = epsilon_of([RELEASE] * 60, DELTA), random.Random(4)
    for _ in range(25):
        killed_child(tmp_path, budget, rng.uniform(0.001, 0.02))
        entries = Ledger(tmp_path).entries()
        left = (tmp_path / "left").stat().st_size if (tmp_path / "left").exists() else 0
        assert left <= len(entries) <= 60
    assert len(entries) > 5


def test_two_processes_do_not_spend_the_same_budget(tmp_path: Path) -> None:
    create_ledger(tmp_path)
    budget = epsilon_of([RELEASE] * 20, DELTA)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                release_until_killed(tmp_path, budget)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert len(Ledger(tmp_path).entries()) == 20
    assert (tmp_path / "left").stat().st_size == 20
