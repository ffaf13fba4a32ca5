"""`fedrec platform`: what the operator of a federation's server does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedrec.cli import watching
from fedrec.cli.exits import EPILOG, one_line_errors

app = typer.Typer(help="Run the server of a real federation.", no_args_is_help=True, epilog=EPILOG)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The platform's own folder.")]
LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option(help="Of what is said on stderr.", show_default="text in a terminal, else json"),
]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")]


def show(line: str) -> None:
    """A command of Flower's, or another line for the operator, on stderr."""
    typer.echo(f"$ {line}", err=True)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the platform.")],
    catalogue: Annotated[Path, typer.Option(help="A CSV or Parquet file of all items.")],
    address: Annotated[str, typer.Option(help="HOST:PORT where tenants will find it.")] = "localhost:9093",
    listen: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all networks.")] = "127.0.0.1",
    name: Annotated[str, typer.Option(help="The name of the federation.")] = "market",
) -> None:
    """Make a platform: its CA, its server certificate, its configuration. Nothing is started."""
    with one_line_errors():
        from fedrec.data.columns import Sheet
        from fedrec.data.files import read_table
        from fedrec.data.items import read_catalogue
        from fedrec.deploy.platform.folder import Settings, create_platform

        port = int(address.rpartition(":")[2]) if address.rpartition(":")[2].isdigit() else 0
        settings = Settings(name, address, listen, port)
        items = read_catalogue(Sheet(read_table(catalogue), str(catalogue)))
        create_platform(folder, settings, items)
        typer.echo(f"{folder}: a platform with {items.num_items:,} items, for tenants at {address}")
        typer.echo("keep ca/ca.key off this machine once tls/ is made: who has it can pass for the platform")


@app.command()
def up(folder: Folder, log_format: LogFormat = None) -> None:
    """Start the SuperLink and keep it running, until SIGINT or SIGTERM. What is logged is in logs/."""
    with one_line_errors():
        from fedrec.deploy.flower import as_typed
        from fedrec.deploy.platform.folder import Platform
        from fedrec.deploy.supervisor import become

        platform = Platform(folder, show)
        show(as_typed(platform.superlink_as_typed(), folder.resolve() / "flwr"))
        typer.echo(f"will listen on {platform.settings.host}:{platform.settings.port}", err=True)
        become(folder.resolve(), [platform.superlink()], log_format)


@app.command()
def down(folder: Folder) -> None:
    """Stop what `up` started, and nothing else."""
    with one_line_errors():
        from fedrec.deploy.supervisor import stop

        stop(folder.resolve())


@app.command()
def renew(folder: Folder) -> None:
    """Make a new server certificate for the hosts in platform.toml; needs ca/ca.key. Tenants notice nothing."""
    with one_line_errors():
        from fedrec.deploy.platform.folder import Platform, certify

        certify(folder, Platform(folder).settings)
        typer.echo("start `fedrec platform up` again to use it")


@app.command("add-tenant")
def add_tenant(
    folder: Folder, request: Annotated[Path, typer.Argument(help="The request.toml that the tenant sent.")]
) -> None:
    """Let a tenant in: its node at the SuperLink, which must be up, and its identity in the roster."""
    with one_line_errors():
        from fedrec.deploy.platform.folder import Platform
        from fedrec.deploy.request import Request

        asked = Request.read(request)
        node = Platform(folder, show).admit(asked)
        typer.echo(f"{asked.name}: node {node}, identity {asked.identity.hex()}")


@app.command("remove-tenant")
def remove_tenant(folder: Folder, name: Annotated[str, typer.Argument(help="The tenant's name.")]) -> None:
    """Shut a tenant out; the others need a new invitation, since the roster is another one."""
    with one_line_errors():
        from fedrec.deploy.platform.folder import Platform

        Platform(folder, show).dismiss(name)


@app.command()
def invite(
    folder: Folder, out: Annotated[Path, typer.Argument(help="The file to write; all tenants get the same.")]
) -> None:
    """Write the invitation of all tenants, and show its fingerprint, which each compares on another way."""
    with one_line_errors():
        from fedrec.deploy.platform.folder import Platform

        invitation = Platform(folder).invitation()
        invitation.write(out)
        typer.echo(f"{out}: {', '.join(member.name for member in invitation.roster.members)}")
        typer.echo(f"fingerprint {invitation.fingerprint}")


@app.command()
def run(
    folder: Folder,
    configuration: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.toml]", help="The run's configuration; it need not name data.")
    ] = None,
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Go on with a run that was interrupted.")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Wait for so many nodes.", show_default="federation.min_tenants")
    ] = None,
    patience: Patience = 86_400.0,
    detach: Annotated[bool, typer.Option("--detach", help="Submit the run and leave.")] = False,
    after: Annotated[
        str | None, typer.Option(metavar="NAME", help="Follow that run: keep its choices, begin at its weights.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="24h", help="Again and again, each run after the one before.")
    ] = None,
    times: Annotated[int | None, typer.Option(min=1, help="End --every after so many runs.")] = None,
) -> None:
    """Submit a run to the SuperLink, and follow it to its end."""
    with one_line_errors():
        from fedrec.cli import runs
        from fedrec.deploy.platform.folder import Platform
        from fedrec.deploy.platform.schedule import Schedule, seconds_of
        from fedrec.errors import ConfigError

        if (configuration is None) == (resume is None):
            raise ConfigError("Give either a configuration for a new run, or --resume NAME.")
        platform, manner = Platform(folder, show), runs.Manner(nodes, patience, detach)
        if every is None and times is None:
            runs.carry_out(platform, runs.chosen_run(platform, configuration, resume, after), manner)
            return
        if every is None or configuration is None or detach:
            raise ConfigError("--times is of --every, which needs a configuration and stays; leave --detach out.")
        runs.carry_out_again_and_again(platform, configuration, Schedule(seconds_of(every), times), manner, after)


@app.command()
def status(
    folder: Folder,
    run: Annotated[str | None, typer.Option(help="Which run.", show_default="the newest")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show nodes, rounds, who dropped out or refused and why, bytes, and what was spent of the privacy budget."""
    with one_line_errors():
        from rich.console import Console

        from fedrec.deploy.platform.folder import Platform
        from fedrec.deploy.platform.page import page
        from fedrec.deploy.platform.status import status_of
        from fedrec.deploy.platform.terminal import shown
        from fedrec.files import write_text

        platform, console = Platform(folder, show), Console()
        while True:
            found = status_of(platform, run)
            if html is not None:
                write_text(html, page(found, refresh=watch))
            if as_json:
                typer.echo(found.as_json())
            else:
                if watch:
                    console.clear()  # does nothing where the output is no terminal
                console.print(*shown(found), sep="\n", highlight=False)
            if not watch:
                return
            time.sleep(5)
            platform = Platform(folder)


@app.command()
def metrics(folder: Folder, port: watching.Port = 9464, once: watching.Once = False) -> None:
    """Tell Prometheus of nodes, rounds, refusals, bytes and epsilon, on this machine's loopback only."""
    with one_line_errors():
        from fedrec.deploy.platform.folder import Platform
        from fedrec.deploy.platform.metrics import look

        platform = Platform(folder)
        watching.tell(lambda: look(platform), port, once)
