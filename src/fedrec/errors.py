"""Everything that fedrec raises for a user's, an operator's or a peer's mistake.

    FedrecError
    ├── DataError            a file, frame or query cannot be read as interactions or a catalogue
    ├── FetchError           a public dataset could not be had, or is not the file it should be
    ├── ConfigError          a configuration file or argument is wrong
    ├── ModelError           a recommender cannot do what was asked of it
    │   ├── NotFitted
    │   ├── CatalogueTooLarge
    │   ├── UnknownUser
    │   └── UnknownItem
    ├── ContributionError    a value breaks the bound or layout under which it would be released
    ├── ProtocolError        a message is malformed, late, replayed or out of order
    │   └── Refusal          a party declines to go on; carries a typed reason
    └── RoundFailed          too few usable replies: the round is discarded, never half-counted

Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations


class FedrecError(Exception):
    """The one root to catch."""


class DataError(FedrecError, ValueError):
    """Input data is wrong. `source` is a file or frame, `row` counts data rows from 1."""

    def __init__(
        self,
        problem: str,
        *,
        cure: str,
        source: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.problem, self.cure = problem, cure
        self.source, self.row, self.column = source, row, column
        place = [source] if source else []
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column '{column}'")
        super().__init__(f"{', '.join(place)}: {problem}; {cure}." if place else f"{problem}; {cure}.")


class FetchError(FedrecError):
    """A public dataset could not be fetched or does not match its known hash."""


class ConfigError(FedrecError, ValueError):
    """A configuration value is unknown, out of range or contradicts another."""


class ModelError(FedrecError):
    """A recommender cannot do what was asked of it."""


class NotFitted(ModelError):
    """The recommender has no weights yet."""


class CatalogueTooLarge(ModelError):
    """The statistic would not fit; the message names the alternative."""


class UnknownUser(ModelError, KeyError):
    """The user has no history here."""

    __str__ = Exception.__str__


class UnknownItem(ModelError, KeyError):
    """The item is not in the catalogue."""

    __str__ = Exception.__str__


class ContributionError(FedrecError, ValueError):
    """A value breaks the bound or layout under which it would be released."""


class ProtocolError(FedrecError):
    """A message is malformed, late, replayed or out of order."""


class Refusal(ProtocolError):
    """A party declines to go on. `reason` is a stable, machine-readable word."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class RoundFailed(FedrecError):
    """Too few usable replies arrived: the round is discarded."""
