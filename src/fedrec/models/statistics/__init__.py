"""The sums that recommenders are fitted from."""

from __future__ import annotations

from fedrec.models.statistics.als_sweep import AlsSweep
from fedrec.models.statistics.gram_product import GramProduct
from fedrec.models.statistics.item_counts import ItemCounts
from fedrec.models.statistics.item_gram import ItemGram
from fedrec.models.statistics.transitions import Transitions

AnyStatistic = AlsSweep | GramProduct | ItemCounts | ItemGram | Transitions

STATISTICS: dict[str, type[AnyStatistic]] = {
    kind.name: kind for kind in (ItemCounts, ItemGram, Transitions, GramProduct, AlsSweep)
}
"""Name on the wire -> class."""

__all__ = ["STATISTICS", "AlsSweep", "AnyStatistic", "GramProduct", "ItemCounts", "ItemGram", "Transitions"]
