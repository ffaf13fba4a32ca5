"""`metrics` of a platform and of a tenant: numbers for Prometheus, once or at an endpoint."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedrec.deploy.metrics import Look

Port = Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")]
Once = Annotated[bool, typer.Option("--once", help="Print the numbers and leave.")]


def tell(look: Look, port: int, once: bool) -> None:
    """Print what `look` finds, or answer scrapes until SIGINT or SIGTERM."""
    from fedrec.deploy import logs
    from fedrec.deploy.metrics import exposition, serve

    logs.configure(reads_rows=True)
    if once:
        typer.echo(exposition(look), nl=False)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bound, end = serve(look, port)
    typer.echo(f"http://127.0.0.1:{bound}/metrics", err=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        end()
