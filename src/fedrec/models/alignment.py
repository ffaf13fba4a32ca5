"""What the factors of an item would be, from its content alone.

A closed form gives every item that somebody has had a vector, such as the components of PCA or the factors of ALS. The
map from content to these vectors is a ridge regression over those items (as in Gantner et al., ICDM 2010):

    T = argmin sum_i |f_i - x_i T|^2 + l2 |T|^2,  over the items i that somebody has had

Vectors, counts and content are all public once the sums behind them are released. So whoever holds the model fits the
map, the server for all: no client is asked anything, and no privacy is spent. An item counts once, however often it was
had: on ML-100K, weights that grow with the counts rank new items worse, since those resemble rare items more than
popular ones.
"""

from __future__ import annotations

import numpy as np

from fedrec.errors import ModelError
from fedrec.models.protocols import AnyArray, Float64Array


def alignment(content: AnyArray, factors: AnyArray, counts: AnyArray, l2: float) -> Float64Array:
    """T (content_dim, rank) of the module's docstring; zero if nobody has had anything.

    content: (num_items, content_dim). factors: (num_items, rank). counts: (num_items,), of which those that are not
    above 0 leave their item out. Raises ModelError if these are not of the same items.
    """
    if not len(content) == len(factors) == len(counts):
        raise ModelError(
            f"Expected content, factors and counts of the same items, got {len(content)}, {len(factors)} and "
            f"{len(counts)}; use one catalogue."
        )
    had = counts > 0
    known, wanted = content[had].astype(np.float64), factors[had].astype(np.float64)
    ridge = known.T @ known + l2 * np.eye(content.shape[1])
    return np.asarray(np.linalg.solve(ridge, known.T @ wanted), np.float64)


def completed(content: AnyArray, factors: AnyArray, counts: AnyArray, l2: float) -> AnyArray:
    """`factors`, where nobody has had an item those that its content tells."""
    told = content.astype(np.float64) @ alignment(content, factors, counts, l2)
    return np.where(counts[:, None] > 0, factors, told).astype(factors.dtype)
