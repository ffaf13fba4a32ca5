"""Runs a Python program with another time of day: `python skewed.py SECONDS -m MODULE ARGUMENTS` or `SECONDS FILE ...`.

Python reads the time of day by `time.time`, Flower by a function of its own. Clocks that only measure how long something
takes are left as they are, as they are on a machine whose time of day is wrong.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time


def skew(seconds: float) -> None:
    """Shift the time of day of this process. Flower has imported its function into many modules by then."""
    from flwr.supercore import date

    real, true = time.time, date.now

    def now() -> datetime.datetime:
        return true() + datetime.timedelta(seconds=seconds)

    time.time = lambda: real() + seconds
    date.now = now
    for module in list(sys.modules.values()):
        if module.__name__.startswith("flwr") and getattr(module, "now", None) is true:
            module.now = now


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: a program that is run otherwise does not have it there
    skew(float(sys.argv[1]))
    if sys.argv[2] == "-m":
        sys.argv = sys.argv[3:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[2:]
        runpy.run_path(sys.argv[0], run_name="__main__")
