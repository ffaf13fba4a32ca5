"""A line of a log says what happened, and never repeats a text that somebody else has written, or that quotes a row."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedrec.deploy.logs import FILE, FORMAT, LOG, JsonLines, Text, Told, environment

USER = "ann@example"
SOURCE = Path(__file__).resolve().parents[2]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def record(msg: str, *args: object, logger: str = "fedrec.deploy", level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord(logger, level, "/x/fedrec/deploy/warm.py", 39, msg, args, None)
    made.created = 1_795_000_000.25
    return made


def written(*arguments: object, **options: object) -> dict[str, object]:
    found = json.loads(JsonLines().format(record(*arguments, **options)))
    return {key: value for key, value in found.items() if key not in ("time", "level", "logger")}


def test_a_line_is_one_object_with_time_level_logger_event_and_fields():
    line = JsonLines().format(record("ended program=%s code=%d seconds=%.1f", "warm", 3, 1.25, level=logging.WARNING))
    assert json.loads(line) == {
        "time": "2026-11-18T11:06:40.250+00:00",
        "level": "warning",
        "logger": "fedrec.deploy",
        "event": "ended",
        "program": "warm",
        "code": 3,
        "seconds": 1.25,
    }
    assert "\n" not in line


def test_text_for_people_says_the_same():
    assert Text().format(record("warm pid=%d", 7)) == "2026-11-18T11:06:40.250+00:00 info warm pid=7"


def test_an_event_of_the_server_keeps_its_numbers():
    template = "event=%s t=%s round=%s action=%s clients=%s dropped=%s mechanisms=%s"
    given = ("round-end", 1.5, 3, "sum item_counts", 2, [4], [{"l2": 1.0}])
    found = written(template, *given, logger="fedrec.server")
    assert found == {"event": "round-end", "t": 1.5, "round": 3, "action": given[3], "clients": 2, "dropped": [4]}


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("refused reason=%s detail=%s", (USER, f"no such user {USER}")),
        ("answered round=%s", (USER,)),
        ("refused user=%s", (USER,)),
        ("ended %s", (USER,)),
        ("ended dropped=%s", ([USER],)),
        ("failed error=%s", (USER,)),
    ],
)
def test_a_text_that_is_not_of_fedrecs_own_is_left_out(msg, args):
    for formatter in (JsonLines(), Text()):
        for logger in ("fedrec.deploy", "fedrec.client", "fedrec.server", "fedrec.data.sources"):
            assert USER not in formatter.format(record(msg, *args, logger=logger))


def test_a_reason_of_fedrecs_own_is_told_with_its_detail_at_the_tenant_only():
    msg, args = "refused reason=%s detail=%s", ("budget-spent", "epsilon=8")
    assert written(msg, *args, logger="fedrec.client") == {"event": "refused", "reason": args[0], "detail": args[1]}
    assert written(msg, *args, logger="fedrec.server") == {"event": "refused", "reason": args[0]}
    assert written(msg, USER, "x", logger="fedrec.client") == {"event": "refused", "reason": "other"}


def test_a_line_that_is_no_event_is_named_by_its_place():
    assert written("%s", USER) == {"event": "warm.py:39"}
    assert written(f"{USER} was here") == {"event": "warm.py:39"}


def test_of_an_exception_type_and_place_are_told():
    try:
        raise KeyError(USER)
    except KeyError as error:
        told = Told.of(error)
    assert told.startswith("KeyError at test_logs.py:")
    assert told.endswith(" in test_of_an_exception_type_and_place_are_told")
    assert Told.of(KeyError(USER)) == "KeyError"
    assert written("failed error=%s", told, logger="fedrec.client") == {"event": "failed", "error": told}
    assert written("failed error=%s", KeyError(USER), logger="fedrec.server") == {
        "event": "failed",
        "error": "KeyError",
    }


def test_the_gate_says_which_api_was_called_and_no_more_of_the_path(caplog):
    from tests.deploy.test_gate import THERE, status_of

    with caplog.at_level(logging.WARNING, "fedrec.deploy"):
        assert status_of("/v1/control/start-run", THERE) == status_of(f"/{USER}", THERE) == 403
        assert status_of("/v1/fleet/pull-messages", THERE) == 200
    said = [json.loads(JsonLines().format(one)) for one in caplog.records]
    assert [(one["event"], one["api"]) for one in said] == [("kept out", "control"), ("kept out", "other")]


def test_a_line_for_people_is_one_line():
    text = Text().format(record("refused reason=%s detail=%s", "budget-spent", "a\nb\x1b", logger="fedrec.client"))
    assert text.endswith("refused reason=budget-spent detail=a b\x1b")


def calls_of_logs() -> list[tuple[str, ast.expr]]:
    """File and first argument of every call of a module's logger."""
    found = []
    for folder in ("client", "server", "strategies", "privacy", "src/fedrec"):
        for path in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Attribute) and ast.unparse(called.value) in ("log", "_log", "logger"):
                    found += [(str(path.relative_to(SOURCE)), node.args[0])] if called.attr in LEVELS else []
    return found


def test_the_text_of_every_call_is_code():
    """What names an event and its fields is told as it is, so nothing may be put into it."""
    calls = calls_of_logs()
    assert len(calls) > 15
    free = {path for path, text in calls if not (isinstance(text, ast.Constant) and isinstance(text.value, str))}
    assert free == {"server/events.py"}, "its fields are named by code as well, see EventLog.emit"


def test_stderr_is_json_unless_it_is_a_terminal_or_one_says_so(tmp_path):
    assert environment(tmp_path, None) == {FORMAT: "json", FILE: str(tmp_path / LOG)}
    assert environment(tmp_path, "text")[FORMAT] == "text"


FAILING = f"""
import logging, threading
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.logger import log
from fedrec.client.app import _reply
from fedrec.deploy import logs
from fedrec.deploy.tenant.clientapp import Discreet
from fedrec.errors import DataError, UnknownUser
from fedrec.messages import REFUSAL
from fedrec.simulations.grid import InProcessGrid
logs.configure(reads_rows=True)

def failing(store):
    raise ValueError("cannot read the row of {USER}")

def unknown(store):
    raise UnknownUser("{USER}")

app = ClientApp()

@app.train("own")
def own(message, context):
    return _reply(message, context, failing, noised=True)

@app.train("known")
def known(message, context):
    return _reply(message, context, unknown, noised=True)

@app.train("raw")
def raw(message, context):
    raise ValueError("cannot read the row of {USER}")

grid = InProcessGrid(app, {{7: {{}}}}, {{}})
context = Context(1, 7, {{"store": STORE}}, RecordDict(), {{}})
for kind in ("train.own", "train.known", "train.raw"):
    reply = Discreet(app)(grid.create_message(RecordDict(), kind, 7, "7"), context)
    assert "{USER}" not in str(reply.content[REFUSAL])
    print(kind, reply.content[REFUSAL]["reason"])
try:
    failing(None)
except ValueError as error:
    log(logging.ERROR, "%s raised an exception", "ClientApp", exc_info=error)
    log(logging.ERROR, "100%", exc_info=error)
    logging.getLogger("uvicorn").error("failed: %s", error)
thread = threading.Thread(target=failing, args=(None,))
thread.start()
thread.join()
failing(None)
"""


def test_a_client_that_raises_what_quotes_a_user_leaves_its_name_nowhere(tmp_path):
    """In a process of its own, since logs are of a process: through fedrec's own app, through an app that raises, by
    Flower's own logger, and by what ends the process."""
    (tmp_path / "store" / "rows").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", FAILING.replace("STORE", repr(str(tmp_path / "store")))],
        env=os.environ | environment(tmp_path, "text"),
        capture_output=True,
        text=True,
        check=False,
    )
    said = (tmp_path / LOG).read_text()
    assert done.stdout.split("\n")[:3] == [
        "train.own internal-error",
        "train.known UnknownUser",
        "train.raw internal-error",
    ], done.stderr
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines].count("answered") == 3
    assert [line["round"] for line in lines if line["event"] == "answered"] == [7] * 3
    assert [line["event"] for line in lines].count("ended unexpectedly") == 2, "a thread and the process"
    assert "UnknownUser at" in said
    assert "ValueError at" in done.stderr, "Flower's logger was not heard"
    assert USER not in said + done.stderr + done.stdout
