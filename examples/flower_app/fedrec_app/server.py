"""The ServerApp of the installed fedrec."""

from fedrec.server.app import app

__all__ = ["app"]
