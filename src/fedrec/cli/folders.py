"""Where runs lie, without opening one: nothing here takes long to import."""

from __future__ import annotations

from pathlib import Path

from fedrec.formats import plural

RUNS = Path("runs")
CONFIG, EVENTS, REPORT, PAGE = "config.toml", "server/events.jsonl", "report.json", "report.html"


def new_folder(name: str) -> Path:
    """An empty folder `runs/<name>`, or `runs/<name>-2` and so on; no two processes get the same one."""
    number = 1
    while True:
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def left_behind(folder: Path) -> str:
    """What a run that was cut short has left, in words."""
    tenants = folder / "tenants"
    number = sum(1 for _ in tenants.iterdir()) if tenants.is_dir() else 0
    rows = f", the rows of {plural(number, 'tenant')}" if number else ""
    return f"{folder} has {CONFIG}, {EVENTS}{rows}, but no report; go on with `{go_on(folder)}`"


def go_on(folder: Path) -> str:
    """The command that takes up an interrupted run."""
    return f"fedrec simulate --resume --out {folder}"
