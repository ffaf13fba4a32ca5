"""Interactions, catalogues and datasets; how they are read, split among tenants and held out."""

from fedrec.data.catalogue import Catalogue
from fedrec.data.dataset import Dataset
from fedrec.data.description import Description, describe
from fedrec.data.histories import Histories
from fedrec.data.holdout import Fold, Split, global_time_split, leave_last_out, split_at, start_moments
from fedrec.data.interactions import Interactions
from fedrec.data.parts import Labels
from fedrec.data.reading import ReadOptions
from fedrec.data.sources import SOURCES, fetch
from fedrec.data.synthetic import Marketplace, marketplace
from fedrec.data.tenants import SPLITS, SmallTenant, Tenants

__all__ = [
    "SOURCES",
    "SPLITS",
    "Catalogue",
    "Dataset",
    "Description",
    "Fold",
    "Histories",
    "Interactions",
    "Labels",
    "Marketplace",
    "ReadOptions",
    "SmallTenant",
    "Split",
    "Tenants",
    "describe",
    "fetch",
    "global_time_split",
    "leave_last_out",
    "marketplace",
    "split_at",
    "start_moments",
]
