"""Noise under a key that everybody knows, so that two runs can be compared: `python seeded.py MODULE ARGUMENTS`.

Nothing of the product can be told to do this: the constructor of the only source of noise is replaced in the process.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def known_noise() -> Iterator[None]:
    """Every keystream of this process begins under the same key."""
    from fedrec.privacy.noise import Keystream

    true = Keystream.__init__

    def known(self: Keystream, key: bytes | None = None) -> None:
        true(self, bytes(32) if key is None else key)

    setattr(Keystream, "__init__", known)  # noqa: B010  # mypy refuses the plain assignment
    try:
        yield
    finally:
        setattr(Keystream, "__init__", true)  # noqa: B010


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: a program that is run otherwise does not have it there
    sys.argv = sys.argv[1:]
    with known_noise():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
