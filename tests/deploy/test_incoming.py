"""Rows change between runs, never within one, whoever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedrec.client import snapshots
from fedrec.client.incoming import rows_of_run, take_in
from fedrec.client.store import TenantStore, create_store, open_store
from fedrec.deploy.supervisor import _held
from fedrec.deploy.tenant.rows import forget, ingest
from fedrec.errors import ConfigError, Refusal
from tests.deploy.market import new_tenant
from tests.deploy.test_rows import histories
from tests.federation import rows_of

OLD = {"ann": "abcd", "bob": "bcde"}
MORE = {"cat": "ace"}


@pytest.fixture
def store(tmp_path: Path) -> TenantStore:
    """A tenant that has answered the run `first`, and has something computed from its rows."""
    store = create_store(tmp_path / "north", rows_of(OLD, "north"))
    (store.folder / "incoming").mkdir()
    answer(store, "first")
    store.add_results("federated", {"popularity": {}})
    store.read_test()
    return store


def answer(store: TenantStore, run: str, number: int = 1) -> dict[str, str]:
    """The rows from which the tenant answers an instruction of a run, in Flower's run `number`."""
    with rows_of_run(store, context_of(run, number)):
        return histories(store)


def context_of(run: str, number: int = 1) -> Context:
    return Context(number, 7, {}, RecordDict(), {"out": f"/market/runs/{run}"})


def ingest_while_up(store: TenantStore, rows: dict[str, str] = MORE) -> None:
    with _held(store.folder):
        assert ingest(store, rows_of(rows)).waits


def test_a_run_keeps_the_rows_that_it_began_with_also_when_it_is_resumed(store):
    ingest_while_up(store)
    assert answer(store, "first") == OLD
    assert answer(store, "first", number=2) == OLD
    assert (store.folder / "test-read").exists()


def test_the_next_run_has_the_new_rows_and_nothing_that_was_computed_from_the_old(store):
    ingest_while_up(store)
    assert answer(store, "second") == {**OLD, **MORE}
    assert not (store.folder / "test-read").exists()
    assert not (store.folder / "results.json").exists()
    assert sorted(path.name for path in (store.folder / "incoming").iterdir()) == ["runs.json"]


def test_a_run_that_saw_older_rows_is_over(store):
    """Half of its sums would be over other rows than the rest."""
    ingest_while_up(store)
    answer(store, "second")
    with pytest.raises(Refusal, match="rows-changed"):
        answer(store, "first")
    assert answer(store, "second") == {**OLD, **MORE}


def test_a_run_is_over_too_when_rows_come_while_the_tenant_is_down(store):
    ingest(store, rows_of(MORE))
    with pytest.raises(Refusal, match="rows-changed"):
        answer(store, "first")


def test_a_new_run_without_new_rows_leaves_the_old_one_open(store):
    assert answer(store, "second") == OLD
    assert answer(store, "first") == OLD
    assert (store.folder / "test-read").exists()


def test_changes_that_wait_add_up(store):
    ingest_while_up(store)
    with _held(store.folder):
        forget(store, "ann")
        assert ingest(store, rows_of({"cat": "acef"})).events == 1
    assert answer(store, "second") == {"bob": "bcde", "cat": "acef"}


def test_a_user_who_is_forgotten_while_the_tenant_is_up_is_in_no_later_run(store):
    with _held(store.folder):
        assert forget(store, "ann").waits
    assert answer(store, "second") == {"bob": "bcde"}
    content = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    assert b"ann" not in content


def test_an_app_that_names_no_run_is_known_by_flowers_number(store):
    def rows(number: int) -> dict[str, str]:
        context = Context(number, 7, {"store": str(store.folder)}, RecordDict(), {"out": ""})
        with rows_of_run(store, context):
            return histories(store)

    rows(1)
    ingest_while_up(store)
    assert rows(1) == OLD
    assert rows(2) == {**OLD, **MORE}


def test_a_tenant_notes_its_runs_from_the_first_on(tmp_path):
    folder = new_tenant(tmp_path, 0)
    answer(TenantStore(folder), "first")
    assert (folder / "incoming" / "runs.json").exists()


def test_a_simulated_tenant_keeps_no_list_of_runs(tmp_path):
    store = create_store(tmp_path / "north", rows_of(OLD))
    answer(store, "first")
    assert [path.name for path in store.folder.iterdir()] == ["rows"]


def test_whoever_reads_rows_keeps_others_from_exchanging_them(store):
    """A process that would exchange them waits until the reader is done. It is given 0.3 s to do wrong."""
    ingest_while_up(store)
    hears, tells = os.pipe()
    other = in_another_process(lambda: os.read(hears, 1) and take_in(store))  # a child would share a lock held by now
    with rows_of_run(store, context_of("first")):
        os.write(tells, b"!")
        time.sleep(0.3)
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
        assert histories(store) == OLD
    assert exit_code(other) == 0
    assert histories(store) == {**OLD, **MORE}


@pytest.mark.parametrize("number", [1, 2])
def test_one_name_for_all_runs_keeps_nobody_in_for_longer_than_a_week(store, number):
    with _held(store.folder):
        assert forget(store, "ann").waits
    assert answer(store, "first", number) == OLD
    since = store.folder / "incoming" / "since"
    since.write_text(str(float(since.read_text()) - 8 * 86_400))
    ingest_while_up(store)  # what comes later does not begin the week anew
    with pytest.raises(Refusal, match="rows-changed"):
        answer(store, "first", number)
    assert answer(store, "second") == {"bob": "bcde", **MORE}
    assert not since.exists()


def test_a_moment_that_cannot_be_read_keeps_no_rows_waiting(store):
    ingest_while_up(store)
    (store.folder / "incoming" / "since").write_text("soon")
    with pytest.raises(Refusal, match="rows-changed"):
        answer(store, "first")
    assert answer(store, "second") == {**OLD, **MORE}


@pytest.mark.parametrize("moved", ["both", "old"])
def test_an_exchange_that_was_cut_short_keeps_no_answer_waiting(store, moved):
    """Between its renames a process was killed: one who shares the lock by then could never end the exchange. Within
    three seconds it is done, or this process is ended."""
    ingest_while_up(store)
    rows = store.folder / "rows"
    rows.rename(store.folder / ".rows.old")
    if moved == "both":
        (store.folder / "incoming" / "rows-000001").rename(rows)
    signal.alarm(3)
    try:
        with rows_of_run(store, context_of("first")):
            assert histories(store) == {**OLD, **MORE}
    finally:
        signal.alarm(0)


def in_another_process(work: Callable[[], object]) -> int:
    """The number of a process that does `work` and ends with 0."""
    number = os.fork()
    if number == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return number


def exit_code(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_before(moment: int, work: Callable[[], object]) -> Callable[[], object]:
    """`work` in a process that is killed before its change number `moment` to the disk."""
    left = iter(range(moment))

    def dies(function: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return counted

    def doomed() -> None:
        os.replace, shutil.rmtree, Path.unlink = dies(os.replace), dies(shutil.rmtree), dies(Path.unlink)
        work()

    return doomed


def test_a_kill_while_rows_are_taken_in_leaves_the_old_rows_or_the_new(store):
    """Killed before each change to the disk, one after the other, until a process comes through; then the next run."""
    ingest_while_up(store)
    kept = shutil.copytree(store.folder, store.folder.parent / "kept")
    for moment in range(20):
        shutil.rmtree(store.folder)
        shutil.copytree(kept, store.folder)
        code = exit_code(in_another_process(killed_before(moment, lambda: take_in(store))))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        seen = histories(open_store(Context(1, 7, {"store": str(store.folder)}, RecordDict(), {})))
        assert seen in (OLD, {**OLD, **MORE})
        if seen != OLD:
            assert not (store.folder / "results.json").exists()
        assert answer(store, "second") == {**OLD, **MORE}
        assert not (store.folder / ".rows.old").exists()
        with pytest.raises(Refusal, match="rows-changed"):
            answer(store, "first")
    assert moment >= 5
    assert code == 0


def test_a_kill_while_rows_are_staged_loses_those_and_no_others(store):
    """What a writer that was killed left has another name, and goes with the next change."""
    ingest_while_up(store)
    left = store.folder / "incoming" / ".rows-000002.killed"
    left.mkdir()
    (left / "interactions.parquet").write_bytes(b"half")
    with _held(store.folder):
        assert ingest(store, rows_of({"dan": "ab"})).events == 2
    assert not left.exists()
    assert answer(store, "second") == {**OLD, **MORE, "dan": "ab"}


def test_a_kill_while_rows_come_leaves_what_waited_before_or_all(store):
    ingest_while_up(store)
    kept = shutil.copytree(store.folder, store.folder.parent / "kept")
    for moment in range(20):
        shutil.rmtree(store.folder)
        shutil.copytree(kept, store.folder)
        with _held(store.folder):
            work = killed_before(moment, lambda: ingest(store, rows_of({"dan": "ab"})))
            code = exit_code(in_another_process(work))
        assert histories(store) == OLD
        assert answer(store, "second") in ({**OLD, **MORE}, {**OLD, **MORE, "dan": "ab"})
        if code == 0:
            break
    assert moment >= 2
    assert answer(store, "second") == {**OLD, **MORE, "dan": "ab"}


def test_an_older_stage_that_a_kill_left_never_comes_after_a_newer_one(store):
    ingest_while_up(store)
    first = store.folder / "incoming" / "rows-000001"
    kept = shutil.copytree(first, store.folder.parent / "kept")
    ingest_while_up(store, {"dan": "ab"})
    if not first.exists():
        shutil.copytree(kept, first)
    assert take_in(store)
    assert histories(store) == {**OLD, **MORE, "dan": "ab"}
    assert not take_in(store)


def test_a_list_of_runs_that_is_damaged_is_named(store):
    (store.folder / "incoming" / "runs.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        answer(store, "first")


def test_a_folder_without_rows_is_no_store(store):
    shutil.rmtree(store.folder / "rows")
    with pytest.raises(ConfigError, match="No tenant rows"):
        snapshots.recover(store.folder)


def test_what_is_kept_of_runs_says_nothing_about_them(store):
    kept = json.loads((store.folder / "incoming" / "runs.json").read_text())
    assert [len(kept["answered"]), len(kept["closed"])] == [1, 0]
    assert "first" not in kept["answered"][0]
