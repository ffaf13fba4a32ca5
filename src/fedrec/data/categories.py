"""Categories as vectors: what the diversity of a list is measured in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.data.catalogue import Catalogue

MAX_CATEGORIES = 512


def category_vectors(catalogue: Catalogue) -> NDArray[np.float32] | None:
    """(num_items, num_categories) 1 where an item has a category; None if no item has one.

    Of more than MAX_CATEGORIES, only the most frequent count; ties by name.
    """
    names, counts = np.unique([name for row in catalogue.categories for name in row], return_counts=True)
    if not len(names):
        return None
    kept = sorted(range(len(names)), key=lambda i: (-counts[i], str(names[i])))[:MAX_CATEGORIES]
    column = {str(names[i]): number for number, i in enumerate(kept)}
    vectors = np.zeros((catalogue.num_items, len(column)), dtype=np.float32)
    for item, row in enumerate(catalogue.categories):
        vectors[item, [column[name] for name in row if name in column]] = 1.0
    return vectors
