"""What server and client say to each other about events that no model has seen."""

from __future__ import annotations

from fedrec.messages import ScoreBody

FRESH = "evaluate.fresh"


class FreshBody(ScoreBody):
    """Rank for users who did something new since the run before, and add up the metrics: the validation of `holdout`,
    by a split in time at the moment of that run, with the models that were fitted up to then.

    Nothing may be chosen by what comes of it: a tenant that answers has read its test.
    """
