"""Why a run ended before its time: a file in its folder, since Flower throws away what a ServerApp prints."""

from __future__ import annotations

import logging
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrec.deploy.logs import Told
from fedrec.errors import FedrecError
from fedrec.files import write_text

FAILURE = "failure.txt"
log = logging.getLogger("fedrec.deploy")


class Explained(ServerApp):
    """An app that leaves a word in the run's folder, `out`, when it fails. A later attempt begins without it."""

    def __init__(self, app: ServerApp) -> None:
        super().__init__()
        self.app = app

    def __call__(self, grid: Grid, context: Context) -> None:
        """Run the app; raises what it raises."""
        path = Path(str(context.run_config["out"])) / FAILURE
        path.unlink(missing_ok=True)
        try:
            self.app(grid, context)
        except Exception as error:
            log.error("failed error=%s", error)
            write_text(path, because(error) + "\n")
            raise


def because(error: Exception) -> str:
    """In one line: the text of what fedrec raises, which is for people; of any other error its type and place."""
    return " ".join(str(error).split()) if isinstance(error, FedrecError) else Told.of(error)


def why_of(folder: Path) -> str | None:
    """Why the last attempt at the run in a folder failed; None if it left no word."""
    path = folder / FAILURE
    return path.read_text(encoding="utf-8").strip() or None if path.exists() else None
