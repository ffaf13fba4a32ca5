"""The rows that a closed form is fitted on, where events fade."""

from __future__ import annotations

from fedrec.data import Histories
from fedrec.data.decay import Decay
from fedrec.errors import ProtocolError
from fedrec.messages import Holdout


def weighed(rows: Histories, holdout: Holdout) -> Histories:
    """`rows`, each event with its weight at the moment of the run, if the run has events fade.

    The moment is public and comes from the run. The tenant's own clock, or its newest event, would be another one at
    each tenant, and tell something of its rows.
    """
    if holdout.half_life_s is None:
        return rows
    if holdout.as_of is None:
        raise ProtocolError("Events are to fade and nobody says up to which moment; give as_of with half_life_s.")
    return Decay(holdout.half_life_s, holdout.as_of).weighed(rows)
