"""The sums that recommenders are fitted from."""

from __future__ import annotations

from fedrec.models.statistics.als_sweep import AlsSweep
from fedrec.models.statistics.content_moments import ContentMoments
from fedrec.models.statistics.content_profiles import ContentProfiles
from fedrec.models.statistics.field_relevance import FieldRelevance
from fedrec.models.statistics.gram_product import GramProduct
from fedrec.models.statistics.item_counts import ItemCounts
from fedrec.models.statistics.item_gram import ItemGram
from fedrec.models.statistics.period_shares import PeriodShares
from fedrec.models.statistics.transitions import Transitions

ContentStatistic = ContentMoments | ContentProfiles | FieldRelevance
AnyStatistic = AlsSweep | GramProduct | ItemCounts | ItemGram | PeriodShares | Transitions | ContentStatistic

CONTENT = "content"
OVER_CONTENT: dict[str, type[ContentStatistic]] = {
    kind.name: kind for kind in (ContentMoments, ContentProfiles, FieldRelevance)
}
"""Those whose array `CONTENT` does not travel: each client makes it from its own catalogue, by the same encoder."""

STATISTICS: dict[str, type[AnyStatistic]] = {
    kind.name: kind for kind in (ItemCounts, ItemGram, Transitions, GramProduct, AlsSweep, PeriodShares)
} | OVER_CONTENT
"""Name on the wire -> class."""

__all__ = [
    "CONTENT",
    "OVER_CONTENT",
    "STATISTICS",
    "AlsSweep",
    "AnyStatistic",
    "ContentMoments",
    "ContentProfiles",
    "FieldRelevance",
    "GramProduct",
    "ItemCounts",
    "ItemGram",
    "PeriodShares",
    "Transitions",
]
