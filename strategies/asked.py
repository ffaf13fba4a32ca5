"""The release that an instruction asks for: client and server build it alike, each for itself."""

from __future__ import annotations

from fedrec.contribution import Layout
from fedrec.messages import Body
from fedrec.privacy.policy import placed
from fedrec.privacy.release import Release, noised_release_of, release_of
from fedrec.strategies.validation import NoisedBody


def asked_release(layout: Layout, body: Body) -> Release:
    """How `layout` is released under `body`. Raises ProtocolError if the noise that it states does not fit it."""
    capacity = body.capacity
    terms = body.noise if isinstance(body, NoisedBody) else None
    if terms is None:
        return release_of(layout, capacity.max_clients, capacity.max_users)
    placement = placed(terms.placement, terms.sharers)
    return noised_release_of(layout, capacity.max_clients, capacity.max_users, placement, terms.multipliers)
