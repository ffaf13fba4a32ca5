"""`fedrec privacy`: plan a budget, read a ledger, explain a claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedrec.cli.exits import one_line_errors

if TYPE_CHECKING:
    from fedrec.client.store import TenantStore
    from fedrec.privacy.claim import Claim
    from fedrec.privacy.expectation import Expectation

app = typer.Typer(help="Plan a privacy budget, read what was spent, explain what is claimed.", no_args_is_help=True)

Where = Annotated[Path, typer.Argument(metavar="RUN|TENANT", help="The folder of a run, or of one tenant's store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def plan(
    users: Annotated[int, typer.Option(min=1, help="Users of all tenants together.")],
    epsilon: Annotated[float, typer.Option(help="What the run may cost one user.")],
    delta: Annotated[float, typer.Option(help="The chance of failure; well below 1 / users.")] = 1e-5,
    tenants: Annotated[int, typer.Option(min=1, help="Tenants that take part.")] = 10,
    sharers: Annotated[
        int | None, typer.Option(min=1, help="Honest tenants counted on in every sum.", show_default="all but one")
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(min=1, help="Items of the catalogue: also say what to train by gradients, if anything."),
    ] = None,
    model: Annotated[str, typer.Option(help="The recommender that would be trained.")] = "sasrec",
    dim: Annotated[int, typer.Option(min=1, help="Width of its vectors.")] = 64,
    content_dim: Annotated[int, typer.Option(min=1, help="Width of the items' content.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Its steps in the whole run.")] = 200,
    rate: Annotated[float, typer.Option(help="The chance that a user is in a step.")] = 0.1,
    candidates: Annotated[
        int | None,
        typer.Option(min=2, help="Hyper-parameters to choose among: values in a list, multiplied for several lists."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How much noise a budget means, and what to expect of the recommendations. Reads no data and spends nothing."""
    with one_line_errors():
        from fedrec.errors import ConfigError
        from fedrec.privacy.expectation import expected

        if delta >= 1 / users:
            raise ConfigError(
                f"Expected delta={delta:g} below 1 / users = {1 / users:.3g}; else one user may be exposed."
            )
        honest = sharers or max(1, tenants - 1)
        if honest > tenants:
            raise ConfigError(f"Expected sharers={honest} <= tenants={tenants}.")
        found = expected(users, epsilon, delta, chooses=candidates is not None)
        rows = {
            "noise multiplier of one release of all": f"{found.multiplier:.4g}",
            "noise on each item's count": f"{found.counts:.3g} (a user counts 1 altogether)",
            "noise on each pair of items": f"{found.gram:.3g}",
            "times that with distributed noise": f"{(tenants / honest) ** 0.5:.3g} ({honest} of {tenants} counted on)",
            "times that with local noise": f"{tenants**0.5:.3g}",
            "users per noise": f"{found.users_per_noise:.4g}",
            "expect": found.quality,
        }
        if candidates is not None:
            rows |= _choice(found, candidates)
        if items is not None:
            from fedrec.models.neural.sizes import sizes
            from fedrec.privacy.what_to_train import Training, proposal

            parameters = sizes(model, items, dim, content_dim)
            training = Training(users, rate, rounds, (tenants / honest) ** 0.5)
            rows |= proposal(training, parameters, epsilon, delta).rows(parameters)
        show_rows(rows, as_json)


@app.command()
def ledger(where: Where, as_json: AsJson = False) -> None:
    """Every release of a tenant, or of each tenant of a run, with what all of them cost so far."""
    with one_line_errors():
        from fedrec.client.guard import FOLDER
        from fedrec.client.ledger import Ledger
        from fedrec.privacy.accountant import epsilon_of
        from fedrec.privacy.mechanisms import Mechanism, as_record

        lines = []
        for store in _stores(where):
            claim = _claim(store)
            spent: list[Mechanism] = []
            for number, entry in enumerate(Ledger(store.folder / FOLDER).entries(), 1):
                spent += entry.mechanisms
                so_far = epsilon_of(spent, claim.delta)
                records = [as_record(one) for one in entry.mechanisms]
                line = {"tenant": store.name, "number": number, "at": entry.at, "what": entry.what}
                lines.append(line | {"epsilon": so_far, "budget": claim.budget, "mechanisms": records})
        if as_json:
            typer.echo(json.dumps(lines, ensure_ascii=False))
        else:
            Console().print(_table(lines))


@app.command()
def explain(where: Where, as_json: AsJson = False) -> None:
    """What is claimed, in plain words for a privacy officer; of a run, for the tenant that spent most."""
    with one_line_errors():
        from fedrec.privacy.claim import plain_words

        claim = max((_claim(store) for store in _stores(where)), key=lambda one: one.running)
        if as_json:
            typer.echo(json.dumps(dict(claim.rows()), ensure_ascii=False))
            return
        console = Console()
        for sentence in plain_words(claim):
            console.print(f"- {sentence}", highlight=False)
        console.print()
        show_rows(dict(claim.rows()), as_json)


def show_rows(rows: dict[str, str], as_json: bool) -> None:
    """Names and texts as a table, or as JSON."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # half a digest compares with nothing
    for name, text in rows.items():
        table.add_row(name, text)
    Console().print(table, highlight=False)


def _choice(found: Expectation, candidates: int) -> dict[str, str]:
    """What noise leaves of a comparison on validation."""
    from fedrec.strategies.validation import margin_of

    margin = margin_of(candidates, found.validation or 0.0, found.users)
    told = f"{candidates} candidates whose means differ by more than {margin:.2g}, if all users have validation items"
    return {"validation tells apart": told}


def _table(lines: list[dict[str, object]]) -> Table:
    table = Table("tenant", "#", "at", "release", "epsilon so far", "of", box=None, pad_edge=False)
    for line in lines:
        cells = [
            line["tenant"],
            line["number"],
            line["at"],
            line["what"],
            f"{line['epsilon']:.4g}",
            f"{line['budget']:g}",
        ]
        table.add_row(*map(str, cells))
    return table


def _stores(where: Path) -> list[TenantStore]:
    """The tenant in the folder, or all tenants of the run in it. Raises ConfigError if none has a privacy ledger."""
    from fedrec.client.guard import FOLDER
    from fedrec.client.store import TenantStore
    from fedrec.errors import ConfigError

    folders = [where] if (where / FOLDER).is_dir() else sorted((where / "tenants").glob(f"*/{FOLDER}"))
    stores = [TenantStore(folder if folder.name != FOLDER else folder.parent) for folder in folders]
    if not stores:
        raise ConfigError(f"{where} holds no privacy ledger: give a run with [privacy], or a tenant's own folder.")
    return stores


def _claim(store: TenantStore) -> Claim:
    from fedrec.client.guard import claim_of

    return claim_of(store)
