"""The ServerApp: the same on every engine. It needs `config`, `catalogue` and `out` in the run's configuration."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrec.config import load
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.errors import ConfigError
from fedrec.server.run import run

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the configuration over whichever nodes the grid has."""
    config = load(_path(context, "config"))
    pooled = context.run_config.get("pooled")
    catalogue = read_catalogue_file(_path(context, "catalogue"))
    run(grid, config, catalogue, _path(context, "out"), Path(str(pooled)) if pooled else None)


def _path(context: Context, key: str) -> Path:
    value = context.run_config.get(key)
    if not value:
        raise ConfigError(f"The run configuration has no '{key}'; pass --run-config '{key}=\"/path\"'.")
    return Path(str(value))
