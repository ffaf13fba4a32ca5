"""The ClientApp of the installed fedrec."""

from fedrec.client.app import app

__all__ = ["app"]
