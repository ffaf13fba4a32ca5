"""The ServerApp: the same on every engine.

It needs `config`, `catalogue` and `out` in the run's configuration, and `roster` unless secure aggregation is off. With
`until = "choose"` it ends when the choice is made on validation; `tuned`, `trials`, `fits` and `shared` then say what
search it is one trial of, under [privacy].
"""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrec.config import Config, load
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.errors import ConfigError
from fedrec.privacy.secagg.roster import Roster
from fedrec.server.events import EVENTS, EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.private_run import Tuning
from fedrec.server.run import choose_only, run
from fedrec.strategies.secure_grid import SecureGrid

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the configuration over whichever nodes the grid has."""
    config = load(_path(context, "config"))
    pooled = context.run_config.get("pooled")
    catalogue = read_catalogue_file(_path(context, "catalogue"))
    out = _path(context, "out")
    events = EventLog(out / EVENTS)
    if config.federation.secure_aggregation:
        grid = _secure(grid, context, config, events)
    exchange = Exchange(grid, config, events)
    if context.run_config.get("until") == "choose":
        choose_only(exchange, catalogue, out, _tuning(context))
    else:
        run(exchange, catalogue, out, Path(str(pooled)) if pooled else None)


def _secure(grid: Grid, context: Context, config: Config, events: EventLog) -> SecureGrid:
    """The grid on which every round is a secure sum over the members of the roster."""
    path = _path(context, "roster")
    try:
        roster = Roster.from_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read the roster {path}: {error}.") from error
    groups = config.federation.groups
    return SecureGrid(grid, roster, groups=groups, listener=lambda event, fields: events.emit(event, **fields))


def _tuning(context: Context) -> Tuning | None:
    """The search that the run is one trial of, if it has to share a budget with others."""
    if not context.run_config.get("tuned"):
        return None
    trials, fits = (int(context.run_config[key]) for key in ("trials", "fits"))
    return Tuning(str(context.run_config["tuned"]), trials, fits, _path(context, "shared"))


def _path(context: Context, key: str) -> Path:
    value = context.run_config.get(key)
    if not value:
        raise ConfigError(f"The run configuration has no '{key}'; pass --run-config '{key}=\"/path\"'.")
    return Path(str(value))
