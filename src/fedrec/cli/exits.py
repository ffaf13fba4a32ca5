"""How a command ends: exit codes, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fedrec.errors import ConfigError, DataError, FedrecError, FetchError, ModelError, NotFitted

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

EPILOG = (
    "Exit codes: 0 done, 1 the run failed, 2 a mistake in the arguments, the configuration or the data, "
    "130 interrupted."
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn whatever fedrec raises, and what the disk or the network does, into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (FedrecError, OSError) as error:
        say(str(error))
        raise typer.Exit(_code(error)) from None


def say(problem: str) -> None:
    """`error: ...` in one line on stderr."""
    typer.echo(f"error: {' '.join(problem.split())}", err=True)


def _code(error: Exception) -> int:
    if isinstance(error, NotFitted):
        return FAILED
    return MISTAKE if isinstance(error, ConfigError | DataError | FetchError | ModelError) else FAILED
