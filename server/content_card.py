"""The content card of a run: one more small sum over users, where a model knows items by their content."""

from __future__ import annotations

from collections.abc import Iterable

from fedrec.content import ContentCard, content_card
from fedrec.models import ItemFeatures, Weights
from fedrec.models.protocols import EncoderId
from fedrec.server.exchange import Exchange
from fedrec.server.fitting import sum_over_federation


def card_of_run(exchange: Exchange, items: ItemFeatures, fitted: Iterable[Weights]) -> ContentCard | None:
    """Which fields of the content tell what users take next.

    None if no model has content, and in a run with [privacy]: there the sum would take a part of the budget from what
    users are served by.
    """
    if exchange.spending is not None or all(EncoderId.of(weights) is None for weights in fitted):
        return None
    return content_card(items, sum_over_federation(exchange, items, "final"))
