"""What a deployment logs of fedrec: one place says how it is written, and what may be written at all.

`up` has every process append to `logs/fedrec.jsonl` of its folder, one JSON object a line: time, level, logger, event,
and the fields of the event. It writes its own lines to stderr, too, as text or as the same JSON.

A call reads `log.info("ended program=%s code=%d", ...)`: the event and the names of its fields are code, the values are
what happened. Only fields of the lists below are written, numbers if they are numbers, and reasons if they are fedrec's
own words; a text that someone else has written never is. Of an exception its type and place are told, since its text
may quote a row; in processes that read rows that holds for what Flower and others log, too, in files of theirs.

It imports nothing that is slow to import: the supervisor stays small.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from fedrec.deploy.reasons import known

Format = Literal["json", "text"]
FORMAT, FILE = "FEDREC_LOG_FORMAT", "FEDREC_LOG_FILE"
"""Variables by which the programs of one `up` know how to log."""
LOG, SERVER = "logs/fedrec.jsonl", "fedrec.server"
NUMBERS = frozenset((
    "pid", "code", "seconds", "failures", "t", "round", "nodes", "node", "cohort", "degree", "threshold", "alive",
    "dropped", "clients", "bytes_up", "bytes_down", "step", "steps", "sharers", "multiplier", "seed",
))  # fmt: skip
TEXTS: Mapping[str, frozenset[str]] = {
    "fedrec.deploy": frozenset(("program", "log", "api", "kind")),
    "fedrec.client": frozenset(("detail",)),  # of its own refusals; the server is told the same
    SERVER: frozenset(("name", "phase", "action", "models", "model", "placement", "stage")),
}
"""Logger -> fields whose text is of this code, or of whoever configured it."""
_CONVERSION = re.compile(r"(?:(\w+)=)?%(?:%|[-+ #0]*\d*(?:\.\d+)?[a-zA-Z])")
_EVENT = re.compile(r"[a-z][a-z -]{0,39}")
_FRAMES = 3

log = logging.getLogger("fedrec.deploy")


class Told(str):
    """An exception without its text: "KeyError at client/store.py:81 in dataset"."""

    @classmethod
    def of(cls, error: BaseException) -> Told:
        """Type and place, the innermost frame first."""
        frames = traceback.extract_tb(error.__traceback__)[::-1][:_FRAMES]
        places = " < ".join(f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames)
        return cls(type(error).__name__ + (f" at {places}" if places else ""))


def environment(folder: Path, log_format: Format | None) -> dict[str, str]:
    """What tells the programs of `folder` how to log. log_format: of stderr; None: text in a terminal, else JSON."""
    chosen = log_format or ("text" if sys.stderr.isatty() else "json")
    return {FORMAT: chosen, FILE: str(folder.resolve() / LOG)}


def configure(aloud: bool = False, reads_rows: bool = False) -> None:
    """Log as the environment says; to stderr where it names no file. aloud: to stderr in any case.

    reads_rows: leave the text of exceptions out of every line of this process, whoever logs it, and of its end.
    """
    path = os.environ.get(FILE)
    logger = logging.getLogger("fedrec")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        logger.addHandler(_handler(logging.FileHandler(path, "a", encoding="utf-8", delay=True), "json"))
    if path is None or aloud:
        logger.addHandler(_handler(logging.StreamHandler(), os.environ.get(FORMAT, "text")))
    logger.setLevel(logging.INFO)
    logger.propagate = False  # Flower's handlers would write it again
    if reads_rows:
        logging.setLogRecordFactory(_discreet)
        sys.excepthook = _unexpected
        threading.excepthook = lambda end: _unexpected(end.exc_type, end.exc_value, end.exc_traceback)


def is_inherited() -> bool:
    """Whether this is a process that an `up` has started."""
    return FILE in os.environ


def entry(record: logging.LogRecord) -> dict[str, Any]:
    """What is written of a record: time, level, logger, event, and the fields that may be told."""
    given = _given(record)
    named = given.pop("event", None) if record.name == SERVER else None  # its events are named by their code, too
    event = named if isinstance(named, str) else _CONVERSION.split(str(record.msg), maxsplit=1)[0].strip()
    told = {name: value for name, one in given.items() if (value := _safe(record.name, name, one, given)) is not None}
    error = getattr(record, "told", None) or _told(record.exc_info)
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": event if _EVENT.fullmatch(event) else f"{Path(record.pathname).name}:{record.lineno}",
        **told,
        **({} if error is None else {"error": str(error)}),
    }


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        return json.dumps(entry(record))


class Text(logging.Formatter):
    """The same for people: time, level, event, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        found = entry(record)
        head = f"{found.pop('time')} {found.pop('level')} {found.pop('event')}"
        del found["logger"]
        return " ".join((head, *(f"{key}={' '.join(str(value).split())}" for key, value in found.items())))


def _handler(handler: logging.Handler, log_format: str) -> logging.Handler:
    handler.setFormatter(JsonLines() if log_format == "json" else Text())
    return handler


def _given(record: logging.LogRecord) -> dict[str, object]:
    """Field -> value, by the names in the code of the call."""
    values = record.args if isinstance(record.args, tuple) else ()
    names = [match[1] for match in _CONVERSION.finditer(str(record.msg)) if not match[0].endswith("%%")]
    return {name: value for name, value in zip(names, values, strict=False) if name}


def _safe(logger: str, name: str, value: object, given: Mapping[str, object]) -> object:
    """The value if it may be told, else None."""
    if isinstance(value, BaseException):
        return str(Told.of(value))
    if isinstance(value, Told):
        return str(value)
    if name == "reason":
        return known(value)
    if name == "detail" and known(given.get("reason")) != given.get("reason"):
        return None
    if name in NUMBERS:
        return value if _is_number(value) else None
    if name not in TEXTS.get(logger, ()):
        return None
    return [str(one) for one in value] if isinstance(value, list | tuple) else str(value)


def _is_number(value: object) -> bool:
    several = value if isinstance(value, list | tuple) else (value,)
    return all(isinstance(one, int | float) for one in several)


def _discreet(
    name: str,
    level: int,
    path: str,
    line: int,
    msg: object,
    args: Any,
    exc_info: Any,
    func: str | None = None,
    sinfo: str | None = None,
    **extra: Any,
) -> logging.LogRecord:
    """A record of any logger of this process, without the text of exceptions."""
    if isinstance(args, tuple):
        args = tuple(Told.of(one) if isinstance(one, BaseException) else one for one in args)
    record = logging.LogRecord(name, level, path, line, msg, args, None, func, sinfo, **extra)
    record.__dict__["told"] = told = _told(exc_info)
    if told is not None and not name.startswith("fedrec") and isinstance(record.args, tuple):
        text = str(msg) if record.args else str(msg).replace("%", "%%")
        record.msg, record.args = f"{text} (%s)", (*record.args, told)
    return record


def _told(exc_info: Any) -> Told | None:
    """What may be said of what a call to log was given as `exc_info`, by any of the ways to give it."""
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return Told.of(error) if isinstance(error, BaseException) else None


def _unexpected(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What ends this process or a thread of it, without its text."""
    log.critical("ended unexpectedly", exc_info=error)


def _short(path: str) -> str:
    """A file of a package by its path in it; any other by its name."""
    for root in ("/site-packages/", "/fedrec/"):
        if root in path:
            return path.rpartition(root)[2]
    return Path(path).name
