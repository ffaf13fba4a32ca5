"""Answers with noise: on the ledger first, then computed, and never withheld because of somebody's rows.

A refusal has no noise. So whatever can be wrong with an instruction is found before any row is read, and an error after
that, which may depend on rows, is an answer of zeros with the noise of any other. It is a last resort: one user who
could bring it about would change the whole sum. The bounds of `models.statistics` and `privacy.gradients` see to it
that none can.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from flwr.app import RecordDict

from fedrec.client.guard import Guard
from fedrec.contribution import Contribution, Layout, Words
from fedrec.messages import answer, expecting
from fedrec.privacy.release import Release
from fedrec.strategies.asked import asked_release
from fedrec.strategies.validation import NoisedBody

log = logging.getLogger("fedrec.client")
Compute = Callable[[], Contribution]


def noised_answer(body: NoisedBody, guard: Guard, what: str, layout: Layout, compute: Compute) -> RecordDict:
    """The sums that an instruction asks for, with noise. what: in the words of the ledger.

    Raises Refusal before any row is read, and before anything is on the ledger.
    """
    guard.check(body)
    release = asked_release(layout, body)
    guard.record(release, what)
    return expecting(answer(prepared(release, compute)), *release.words)


def prepared(release: Release, compute: Compute) -> Words:
    """The words of what `compute` finds, or of zeros if it fails. Raises OSError where rows cannot be read."""
    try:
        return release.prepare(compute())
    except OSError:
        raise
    except Exception as error:
        log.exception("failed, answered with noise alone error=%s", type(error).__name__)
        return release.prepare(nothing(release.encoding.layout))


def nothing(layout: Layout) -> Contribution:
    """What a client adds that has nothing to add."""
    return Contribution(layout, {block.name: np.zeros(block.shape) for block in layout.blocks}, 1)
