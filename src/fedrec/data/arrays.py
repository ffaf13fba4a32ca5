"""Array types of the data package, and how they are made read-only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def frozen_ints(values: ArrayLike) -> IntArray:
    """`values` as a read-only int64 array; an int64 array is not copied, but becomes read-only itself."""
    array = np.ascontiguousarray(values, dtype=np.int64)
    array.flags.writeable = False
    return array


def frozen_floats(values: ArrayLike) -> FloatArray:
    """`values` as a read-only float64 array; a float64 array is not copied, but becomes read-only itself."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    array.flags.writeable = False
    return array
