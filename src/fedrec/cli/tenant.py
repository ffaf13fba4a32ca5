"""`fedrec tenant`: what a data owner does to take part in a federation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli import databases, opening, watching
from fedrec.cli.exits import EPILOG, one_line_errors
from fedrec.cli.platform import LogFormat, show

if TYPE_CHECKING:
    from fedrec.client.guard import PrivacyPolicy
    from fedrec.deploy.tenant.rows import Change
    from fedrec.deploy.tenant.source import Source

app = typer.Typer(help="Take part in a real federation with your own rows.", no_args_is_help=True, epilog=EPILOG)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The tenant's own folder.")]
DropUnknown = Annotated[
    bool, typer.Option("--drop-unknown", help="Leave out rows on items that the platform's catalogue does not have.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, named as the tenant.")],
    data: Annotated[
        str,
        typer.Option(
            help="A CSV or Parquet file of events, a dataset directory, or a database: postgresql://user@host/db, "
            "duckdb:///path, sqlite:///path, which `ingest` then asks for new rows. A password is best in PGPASSWORD "
            "or ~/.pgpass; it is never stored."
        ),
    ],
    query: databases.Query = None,
    table: databases.Table = None,
    column: opening.Columns = None,
    duplicates: opening.Duplicates = opening.Repeated.ERROR,
    epsilon: Annotated[float | None, typer.Option(help="What all releases together may cost one user.")] = None,
    delta: Annotated[float, typer.Option(help="The chance of failure; well below 1 / users.")] = 1e-5,
    no_noise: Annotated[bool, typer.Option("--no-noise", help="Let sums leave without noise.")] = False,
    min_cohort: Annotated[int, typer.Option(min=2, help="Fewest tenants in a sum, yourself included.")] = 3,
    images: Annotated[Path | None, typer.Option(help="A file with a vector of each item's image.")] = None,
    image_source: Annotated[str | None, typer.Option(help="What made the vectors, as all tenants agreed.")] = None,
) -> None:
    """Make a tenant: a store of your rows, your keys, your policies, and a request to a platform."""
    with one_line_errors():
        from fedrec.content.vectors import keep_vectors, read_vectors
        from fedrec.deploy.tenant.folder import REQUEST, create_tenant
        from fedrec.privacy.secagg.policy import Policy

        privacy = _privacy(epsilon, delta, no_noise)
        source = databases.database_of(data, query, table, column, duplicates)
        rows = databases.rows_of(data, source, column, duplicates)
        if images is not None:
            read_vectors(images, source=image_source)  # a wrong file is told before there is a folder
        create_tenant(folder, rows, privacy, Policy(min_cohort=min_cohort))
        if images is not None:
            keep_vectors(folder, images, image_source)
        if source is not None:
            source.write(folder)
        typer.echo(f"{folder}: {rows.num_users:,} users, {rows.num_events:,} events")
        typer.echo(f"send {folder / REQUEST} to the platform's operator; nothing in it is secret")


@app.command()
def join(
    folder: Folder,
    invitation: Annotated[Path, typer.Argument(help="The file that the platform sent.")],
    fingerprint: Annotated[
        str, typer.Option(prompt="Its fingerprint, as you have it from other tenants", help="Of the invitation.")
    ],
    drop_unknown: DropUnknown = False,
) -> None:
    """Trust a platform: its certificate, its roster, its catalogue. Again whenever the roster changes."""
    with one_line_errors():
        from fedrec.deploy.tenant.folder import Tenant

        taken = Tenant(folder).join(invitation, fingerprint, drop_unknown)
        names = ", ".join(member.name for member in taken.roster.members)
        typer.echo(f"joined {taken.platform} at {taken.address}, with {names}")


@app.command()
def up(folder: Folder, log_format: LogFormat = None) -> None:
    """Start the SuperNode and keep it running, until SIGINT or SIGTERM. Its logs are in logs/."""
    with one_line_errors():
        from fedrec.client.incoming import note_runs
        from fedrec.deploy.flower import as_typed
        from fedrec.deploy.supervisor import become
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.node import programs

        tenant = Tenant(folder)
        note_runs(tenant.store)
        warm, supernode = programs(tenant)
        show(as_typed(supernode.arguments, folder.resolve() / "flwr"))
        become(folder.resolve(), [warm, supernode], log_format)


@app.command()
def down(folder: Folder) -> None:
    """Stop what `up` started, and nothing else."""
    with one_line_errors():
        from fedrec.deploy.supervisor import stop

        stop(folder.resolve())


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Show whether the tenant is up, what it has released, and what it knows of itself."""
    with one_line_errors():
        from fedrec.cli.privacy import show_rows
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.report import status_of

        show_rows(status_of(Tenant(folder)), as_json)


@app.command()
def metrics(folder: Folder, port: watching.Port = 9465, once: watching.Once = False) -> None:
    """Tell your own Prometheus of users, rows, budget and refusals, on this machine's loopback only."""
    with one_line_errors():
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.metrics import Looking

        watching.tell(Looking.at(Tenant(folder)), port, once)


@app.command()
def policy(folder: Folder, as_json: AsJson = False) -> None:
    """Check and show what the tenant insists on; change it with an editor."""
    with one_line_errors():
        from fedrec.cli.privacy import show_rows
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.report import policies_of

        show_rows(policies_of(Tenant(folder)), as_json)


@app.command()
def export(folder: Folder, out: Annotated[Path, typer.Argument(help="A new folder for the files.")]) -> None:
    """Write what the tenant has, rows, ledger, results, policies, as files that need no fedrec to be read."""
    with one_line_errors():
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.report import export as export_to

        for path in export_to(Tenant(folder), out):
            typer.echo(str(path))


@app.command()
def leave(folder: Folder) -> None:
    """Forget the platform. Keys, rows and the ledger stay; ask the operator to remove the node, too."""
    with one_line_errors():
        from fedrec.deploy.supervisor import is_up
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.errors import ConfigError

        if is_up(folder.resolve()):
            raise ConfigError(f"{folder} is up; stop it with `fedrec tenant down` first.")
        Tenant(folder).leave()


@app.command()
def ingest(
    folder: Folder,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A CSV or Parquet file of more events, or a database; without it, the database of `init`.",
        ),
    ] = None,
    query: databases.Query = None,
    table: databases.Table = None,
    column: opening.Columns = None,
    duplicates: opening.Duplicates = opening.Repeated.ERROR,
    drop_unknown: DropUnknown = False,
    readmit: Annotated[
        list[str] | None, typer.Option("--readmit", metavar="USER", help="Take in a user who was forgotten.")
    ] = None,
) -> None:
    """Append rows that are new, all or none of them: now, or when the next run begins if the tenant is up.

    What was computed from the old rows goes then; the ledger stays. Users who were forgotten stay out.
    """
    with one_line_errors():
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant

        store = Tenant(folder).store
        if data is None:
            _only_with_data(query, table, column, duplicates)
            more = _own_source(folder).read()
        else:
            more = databases.rows_of(
                data, databases.database_of(data, query, table, column, duplicates), column, duplicates
            )
        change = rows.ingest(store, more, drop_unknown, readmit or [])
        typer.echo(f"{change.events:,} new events{_when(change)}")
        if change.left_out:
            typer.echo(f"{change.left_out:,} events of forgotten users were left out; --readmit USER takes one back")


@app.command()
def forget(
    folder: Folder,
    user: Annotated[str, typer.Option(help="The user's id, as in the rows.")],
    in_database: Annotated[
        bool,
        typer.Option("--in-database", help="Also delete the user's rows in the table that the tenant's rows are from."),
    ] = False,
) -> None:
    """Remove a user's rows, and every result and private state that was computed from them.

    While the tenant is up, runs that have begun keep the rows; none that begins later has them. They do not come back
    with `ingest`. In the tenant's own database they stay, unless --in-database deletes them there, too.
    """
    with one_line_errors():
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.source import source_of

        store = Tenant(folder).store
        if in_database:
            with _own_source(folder).deleting(user) as deleted:
                change = rows.forget(store, user, again=True)
            typer.echo(f"{deleted:,} rows are gone from the table")
        else:
            change = rows.forget(store, user)
        typer.echo(f"{change.events:,} events are gone, and what was computed here from them{_when(change)}")
        typer.echo("the next sum is without this user, exactly as if the rows had never been there: closed-form models")
        typer.echo("lose the contribution then. What was released before stays released, as the ledger says; models")
        typer.echo("of gradients keep what they learnt until they are trained anew.")
        source = None if in_database else source_of(folder)
        if source is not None:
            typer.echo(f"The user's rows in {source.place.name} are yours to delete; `ingest` leaves them out.")


@app.command("open")
def open_again(folder: Folder) -> None:
    """Let the next run choose and read the test again; rows that wait come in. What was measured here is removed.

    While the tenant is up, this waits for the next run to begin; runs that have begun are not disturbed.
    """
    with one_line_errors():
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant

        typer.echo(f"open for another run{_when(rows.open_again(Tenant(folder).store))}")


def _when(change: Change) -> str:
    """The end of a sentence on rows that changed."""
    return ", once the next run begins: the tenant is up, and rows change between runs only" if change.waits else ""


def _only_with_data(query: str | None, table: str | None, column: list[str] | None, duplicates: str) -> None:
    from fedrec.errors import ConfigError

    if query or table or column or duplicates != opening.Repeated.ERROR:
        raise ConfigError("--query, --table, --column and --duplicates go with DATA; source.toml has those of `init`.")


def _own_source(folder: Path) -> Source:
    """The database that the tenant's rows come from."""
    from fedrec.deploy.tenant.source import source_of
    from fedrec.errors import ConfigError

    source = source_of(folder)
    if source is None:
        raise ConfigError(f"The rows of {folder} came from a file, not from a database; give a file of more events.")
    return source


def _privacy(epsilon: float | None, delta: float, no_noise: bool) -> PrivacyPolicy | None:
    """The tenant's policy. Nobody is without one by mistake."""
    from fedrec.client.guard import PrivacyPolicy
    from fedrec.errors import ConfigError

    if no_noise == (epsilon is not None):
        raise ConfigError("Give --epsilon, the budget of each of your users, or --no-noise to have no such promise.")
    return None if epsilon is None else PrivacyPolicy(epsilon=epsilon, delta=delta)
