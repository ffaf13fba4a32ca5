"""Recommenders in closed form, and the sums they are fitted from."""

from __future__ import annotations

from fedrec.models.als import ALS
from fedrec.models.content_factors import ContentFactors
from fedrec.models.content_knn import ContentKNN
from fedrec.models.content_map import ContentMap
from fedrec.models.content_pca import ContentPCA
from fedrec.models.ease import EASE
from fedrec.models.fitting import fit, fit_all, localised, needed, pooled_sum
from fedrec.models.item_knn import ItemKNN
from fedrec.models.limits import MAX_COORDINATES, MAX_PAIR_ITEMS
from fedrec.models.loading import load
from fedrec.models.markov import Markov
from fedrec.models.pca import PCA
from fedrec.models.popularity import Popularity
from fedrec.models.protocols import (
    Attribution,
    ClosedForm,
    ItemFeatures,
    Localised,
    Params,
    Statistic,
    Weights,
    parameters_of,
)
from fedrec.models.recency import Recency
from fedrec.models.recommender import Explanation, Recommendation, Recommender, Share
from fedrec.models.registry import ALGORITHMS, create
from fedrec.models.statistics import STATISTICS
from fedrec.models.user_knn import UserKNN

__all__ = [
    "ALGORITHMS",
    "ALS",
    "EASE",
    "MAX_COORDINATES",
    "MAX_PAIR_ITEMS",
    "PCA",
    "STATISTICS",
    "Attribution",
    "ClosedForm",
    "ContentFactors",
    "ContentKNN",
    "ContentMap",
    "ContentPCA",
    "Explanation",
    "ItemFeatures",
    "ItemKNN",
    "Localised",
    "Markov",
    "Params",
    "Popularity",
    "Recency",
    "Recommendation",
    "Recommender",
    "Share",
    "Statistic",
    "UserKNN",
    "Weights",
    "create",
    "fit",
    "fit_all",
    "load",
    "localised",
    "needed",
    "parameters_of",
    "pooled_sum",
]
