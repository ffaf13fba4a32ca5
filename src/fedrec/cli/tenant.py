"""`fedrec tenant`: what a data owner does to take part in a federation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.exits import EPILOG, one_line_errors
from fedrec.cli.platform import show

if TYPE_CHECKING:
    from fedrec.client.guard import PrivacyPolicy

app = typer.Typer(help="Take part in a real federation with your own rows.", no_args_is_help=True, epilog=EPILOG)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The tenant's own folder.")]
DropUnknown = Annotated[
    bool, typer.Option("--drop-unknown", help="Leave out rows on items that the platform's catalogue does not have.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, named as the tenant.")],
    data: Annotated[Path, typer.Option(help="A CSV or Parquet file of events, or a dataset directory.")],
    epsilon: Annotated[float | None, typer.Option(help="What all releases together may cost one user.")] = None,
    delta: Annotated[float, typer.Option(help="The chance of failure; well below 1 / users.")] = 1e-5,
    no_noise: Annotated[bool, typer.Option("--no-noise", help="Let sums leave without noise.")] = False,
    min_cohort: Annotated[int, typer.Option(min=2, help="Fewest tenants in a sum, yourself included.")] = 3,
    images: Annotated[Path | None, typer.Option(help="A file with a vector of each item's image.")] = None,
    image_source: Annotated[str | None, typer.Option(help="What made the vectors, as all tenants agreed.")] = None,
) -> None:
    """Make a tenant: a store of your rows, your keys, your policies, and a request to a platform."""
    with one_line_errors():
        from fedrec.cli.opening import source_of
        from fedrec.content.vectors import keep_vectors, read_vectors
        from fedrec.deploy.tenant.folder import REQUEST, create_tenant
        from fedrec.privacy.secagg.policy import Policy
        from fedrec.simulations.tenancy import load_dataset

        privacy = _privacy(epsilon, delta, no_noise)
        rows = load_dataset(source_of(str(data)), seed=0)
        if images is not None:
            read_vectors(images, source=image_source)  # a wrong file is told before there is a folder
        create_tenant(folder, rows, privacy, Policy(min_cohort=min_cohort))
        if images is not None:
            keep_vectors(folder, images, image_source)
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
def up(folder: Folder) -> None:
    """Start the SuperNode and keep it running, until SIGINT or SIGTERM. Its logs are in logs/."""
    with one_line_errors():
        from fedrec.deploy.flower import as_typed
        from fedrec.deploy.supervisor import become
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.deploy.tenant.node import programs

        warm, supernode = programs(Tenant(folder))
        show(as_typed(supernode.arguments, folder.resolve() / "flwr"))
        become(folder.resolve(), [warm, supernode])


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
    data: Annotated[Path, typer.Argument(help="A CSV or Parquet file of more events.")],
    drop_unknown: DropUnknown = False,
) -> None:
    """Append rows, all or none of them. What was computed from the old rows goes; the ledger stays."""
    with one_line_errors():
        from fedrec.cli.opening import source_of
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant
        from fedrec.simulations.tenancy import load_dataset

        added = rows.ingest(Tenant(folder).store, load_dataset(source_of(str(data)), seed=0), drop_unknown)
        typer.echo(f"{added:,} new events")


@app.command()
def forget(folder: Folder, user: Annotated[str, typer.Option(help="The user's id, as in the rows.")]) -> None:
    """Remove a user's rows, and every result and private state that was computed from them."""
    with one_line_errors():
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant

        removed = rows.forget(Tenant(folder).store, user)
        typer.echo(f"{removed:,} events are gone, and what was computed here from them")
        typer.echo("the next sum is without this user, exactly as if the rows had never been there: closed-form models")
        typer.echo("lose the contribution then. What was released before stays released, as the ledger says; models")
        typer.echo("of gradients keep what they learnt until they are trained anew.")


@app.command("open")
def open_again(folder: Folder) -> None:
    """Let a new run choose on validation and read the test again. What the last one measured is removed."""
    with one_line_errors():
        from fedrec.deploy.tenant import rows
        from fedrec.deploy.tenant.folder import Tenant

        rows.open_again(Tenant(folder).store)


def _privacy(epsilon: float | None, delta: float, no_noise: bool) -> PrivacyPolicy | None:
    """The tenant's policy. Nobody is without one by mistake."""
    from fedrec.client.guard import PrivacyPolicy
    from fedrec.errors import ConfigError

    if no_noise == (epsilon is not None):
        raise ConfigError("Give --epsilon, the budget of each of your users, or --no-noise to have no such promise.")
    return None if epsilon is None else PrivacyPolicy(epsilon=epsilon, delta=delta)
