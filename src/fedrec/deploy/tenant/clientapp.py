"""`flwr-clientapp`, except that no code of the bundle is run: a tenant answers with the fedrec that it has installed.

Flower hands every node the bundle that the run was started with, and would unpack and import it. Whoever controls the
platform could so run anything beside the tenant's rows. Here the bundle is looked at and thrown away: if it is one of
fedrec's own, and of this version, the installed ClientApp answers; if not, a typed refusal does.

It replaces two functions of Flower's; where one is missing, as in a Flower that works otherwise, nothing starts.

Flower sends the platform the text of whatever the ClientApp raises, and that text may quote a row. Here nothing is
raised: an error that nobody expected is a refusal without a text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.supernode.cli.flwr_clientapp import flwr_clientapp
from flwr.supernode.runtime import run_clientapp as runtime

from fedrec.deploy import logs
from fedrec.deploy.bundle import client_app, version_of
from fedrec.errors import ConfigError
from fedrec.messages import refusal

REPLACED = ("install_from_fab", "get_load_client_app_fn")
log = logging.getLogger("fedrec.deploy")


class Discreet(ClientApp):
    """An app that raises nothing, and leaves a line for each of its answers."""

    def __init__(self, app: ClientApp) -> None:
        super().__init__()
        self.app = app

    def __call__(self, message: Message, context: Context) -> Message:
        """The app's answer, or a refusal without a text."""
        started = time.monotonic()
        try:
            reply = self.app(message, context)
        except Exception:  # whatever it is, its text stays here
            log.exception("failed unexpectedly")
            reply = Message(refusal("internal-error", "the tenant's own log says more"), reply_to=message)
        log.info("answered round=%s seconds=%s", _round(message), round(time.monotonic() - started, 3))
        return reply


def _round(message: Message) -> int | None:
    """The number that the server gave the round, if it is one."""
    given = str(message.metadata.group_id)
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


class Recognised:
    """In place of unpacking and importing a bundle."""

    def __init__(self) -> None:
        self.version: str | None = None

    def install(self, content: bytes, *arguments: object, **options: object) -> None:
        """Look at the bundle, and do nothing with it."""
        self.version = version_of(content)

    def loader(self, *arguments: object, **options: object) -> Callable[..., ClientApp]:
        """What Flower asks for the ClientApp."""
        return self.load

    def load(self, *arguments: object) -> Discreet:
        """The installed app, or one that refuses."""
        return Discreet(client_app(self.version))


def main() -> None:
    """Answer one message, as `flwr-clientapp` does. Raises ConfigError if Flower is not one that is known here."""
    logs.configure(reads_rows=True)
    missing = [name for name in REPLACED if not callable(getattr(runtime, name, None))]
    if missing:
        raise ConfigError(f"This version of Flower has no {missing[0]}; install flwr 1.41 or 1.42.")
    recognised = Recognised()
    for name, ours in zip(REPLACED, (recognised.install, recognised.loader), strict=True):
        setattr(runtime, name, ours)
    flwr_clientapp()


if __name__ == "__main__":
    main()
