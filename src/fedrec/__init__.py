"""Federated, privacy-preserving recommendation: one recommender for many data owners, whose rows never leave them.

    import fedrec
    dataset = fedrec.fetch("ml-100k")
    recommender = fedrec.EASE().fit(dataset)
    recommender.recommend("196")
    report = fedrec.simulate("demo")

Each name is imported when it is first used, so `import fedrec` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedrec.config import Config
    from fedrec.data import (
        SPLITS,
        Catalogue,
        Dataset,
        Histories,
        Interactions,
        Marketplace,
        fetch,
        marketplace,
    )
    from fedrec.errors import FedrecError
    from fedrec.models import (
        ALS,
        EASE,
        PCA,
        ContentKNN,
        ContentMap,
        Explanation,
        ItemKNN,
        Markov,
        Popularity,
        Recommendation,
        Recommender,
        UserKNN,
        load,
    )
    from fedrec.simulations.experiment import simulate
    from fedrec.simulations.one_table import evaluate
    from fedrec.simulations.report.schema import Report

    __version__: str

_MODULES = {
    "fedrec.config": ("Config",),
    "fedrec.data": (
        "SPLITS",
        "Catalogue",
        "Dataset",
        "Histories",
        "Interactions",
        "Marketplace",
        "fetch",
        "marketplace",
    ),
    "fedrec.errors": ("FedrecError",),
    "fedrec.models": (
        "ALS",
        "EASE",
        "PCA",
        "ContentKNN",
        "ContentMap",
        "ContentPCA",
        "Explanation",
        "ItemKNN",
        "Markov",
        "Popularity",
        "Recommendation",
        "Recommender",
        "UserKNN",
        "load",
    ),
    "fedrec.simulations.experiment": ("simulate",),
    "fedrec.simulations.one_table": ("evaluate",),
    "fedrec.simulations.report.schema": ("Report",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ALS",
    "EASE",
    "PCA",
    "SPLITS",
    "Catalogue",
    "Config",
    "ContentKNN",
    "ContentMap",
    "ContentPCA",
    "Dataset",
    "Explanation",
    "FedrecError",
    "Histories",
    "Interactions",
    "ItemKNN",
    "Marketplace",
    "Markov",
    "Popularity",
    "Recommendation",
    "Recommender",
    "Report",
    "UserKNN",
    "__version__",
    "evaluate",
    "fetch",
    "load",
    "marketplace",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fedrec")
    if name not in _HOME:
        raise AttributeError(f"module 'fedrec' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
