"""A log of events is whole after a crash, and knows its attempts."""

from __future__ import annotations

import json

from fedrec.server.events import EventLog, all_of, attempts, listening, read_events, seconds_spent


def test_a_line_that_was_cut_short_is_passed_over_and_the_next_event_begins_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).emit("run-start")
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole + whole[:length])
        assert len(read_events(path)) == (2 if length == len(whole) else 1)
        EventLog(path).emit("again")
        kinds = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        assert kinds == (["run-start", "run-start", "again"] if length == len(whole) else ["run-start", "again"])


def test_there_are_no_events_without_a_file(tmp_path):
    assert read_events(tmp_path / "events.jsonl") == []
    assert seconds_spent(tmp_path / "events.jsonl") == 0.0


def test_attempts_are_told_apart_and_their_seconds_added(tmp_path):
    """How an attempt ended is told with the seconds of its stage, which are not those of the log."""
    told = [("failed", 9.0), ("run-start", 0.0), ("round-end", 2.5), ("interrupted", 70.0), ("run-start", 0.0)]
    told += [("round-end", 1.25)]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"event": kind, "t": t}) + "\n" for kind, t in told))
    assert [[event["event"] for event in attempt] for attempt in attempts(read_events(path))] == [
        ["run-start", "round-end", "interrupted"],
        ["run-start", "round-end"],
    ]
    assert seconds_spent(path) == 3.75


def test_notes_of_the_surroundings_are_written_and_told(tmp_path):
    first, second = [], []
    log = EventLog(tmp_path / "events.jsonl")
    with listening(all_of(first.append, second.append), lambda event: {"client_seconds": event["round"] / 2}):
        log.emit("round-end", round=3)
    log.emit("round-end", round=4)
    written = read_events(tmp_path / "events.jsonl")
    assert [event.get("client_seconds") for event in written] == [1.5, None]
    assert first == second == written[:1]
