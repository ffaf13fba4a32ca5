"""The command `fedrec`."""

from fedrec.cli.app import main

__all__ = ["main"]
