"""The largest entries of each row of a similarity matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.models.protocols import AnyArray, Float32Array


def nearest(similarities: AnyArray, count: int) -> tuple[NDArray[np.int32], Float32Array]:
    """Columns and values (num_rows, min(count, num_columns)) of the `count` largest entries of each row.

    Values that are not positive become 0: they are no neighbours.
    """
    count = min(count, similarities.shape[1])
    columns = np.empty((len(similarities), count), dtype=np.int32)
    values = np.empty((len(similarities), count), dtype=np.float32)
    for row, similarity in enumerate(similarities):
        chosen = np.argpartition(similarity, -count)[-count:]
        columns[row] = chosen
        values[row] = np.maximum(similarity[chosen], 0.0)
    return columns, values
