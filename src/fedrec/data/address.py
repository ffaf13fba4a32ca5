"""Where a database is, in one text: `postgresql://user@host/shop`, `duckdb:///srv/shop.db`, `sqlite:///srv/shop.db`.

A password may be in it. It is kept out of whatever is shown or stored: `shown` is made of the parts that are known to
be harmless, and a text that cannot be told apart into its parts is refused without being repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from fedrec.errors import ConfigError

POSTGRES, FILES = ("postgresql", "postgres"), ("duckdb", "sqlite")
_SCHEME = re.compile(rf"({'|'.join((*POSTGRES, *FILES))}):", re.IGNORECASE)
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._%-]*)(?::\d+)?"
_SERVER = re.compile(
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<database>/[^@/?#]*)?(?:\?(?P<options>[^@#]*))?"
)
_HARMLESS = frozenset(
    {
        *(
            "service",
            "host",
            "hostaddr",
            "port",
            "dbname",
            "user",
            "passfile",
            "connect_timeout",
            "options",
            "application_name",
        ),
        *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslrootcert", "sslcrl", "ssl_min_protocol_version"),
        *("channel_binding", "require_auth", "gssencmode", "krbsrvname", "target_session_attrs"),
    }
)
"""Parameters of a PostgreSQL address that are shown; any other could be a secret, as `password` is."""


@dataclass(frozen=True)
class Address:
    """An address, taken apart by `Address.of`.

    kind: "postgresql", "duckdb" or "sqlite". shown: without any password. url: all of it; may hold a password.
    path: of a database that is a file. secrets: texts that must not be shown.
    """

    kind: str
    shown: str
    url: str = field(repr=False)
    path: Path | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, text: str) -> Address:
        """The address in a text. Raises ConfigError, which does not repeat it, if it is none."""
        scheme, _, rest = text.partition(":")
        if not is_address(text):
            raise ConfigError(f"Expected an address that begins with one of {[*POSTGRES, *FILES]}.")
        if scheme.lower() in FILES:
            return _file(scheme.lower(), rest)
        return _server(rest)

    def check_file(self) -> None:
        """Raises ConfigError for a file that is not there: nobody means to make an empty database."""
        if self.path is not None and not self.path.is_file():
            raise ConfigError(
                f"There is no file {self.path}; write {self.kind}:///path from the root, or {self.kind}:path from here."
            )

    def without_secrets(self, text: str) -> str:
        """A text, such as an error of a library, without the password."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def is_address(text: str) -> bool:
    """Whether a text names a database, and no file."""
    return _SCHEME.match(text) is not None


def _file(kind: str, rest: str) -> Address:
    path = Path(rest.removeprefix("//")).absolute()
    shown = f"{kind}://{path}"
    return Address(kind, shown, shown, path)


def _server(rest: str) -> Address:
    found = _SERVER.fullmatch(rest.removeprefix("//")) if rest.startswith("//") else None
    pairs = [pair.partition("=") for pair in (found["options"] or "").split("&") if pair] if found else []
    if found is None or not all(equals for _, equals, _ in pairs):
        raise ConfigError(
            "Expected postgresql://user@host:port/database, with '@', ':', '/', '?' and '#' in a name or password "
            "percent-encoded. What was given is not shown, since it may hold a password."
        )
    options = [f"{name}={value}" for name, _, value in pairs if unquote(name) in _HARMLESS]
    user = f"{found['user']}@" if found["user"] is not None else ""
    end = f"?{'&'.join(options)}" if options else ""
    shown = f"postgresql://{user}{found['hosts']}{found['database'] or ''}{end}"
    hidden = [found["password"] or "", *(value for name, _, value in pairs if unquote(name) not in _HARMLESS)]
    secrets = tuple({form for one in hidden if one for form in (one, unquote(one))})
    return Address("postgresql", shown, f"postgresql:{rest}", None, secrets)
