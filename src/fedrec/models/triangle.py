"""Symmetric matrices as the vector of their upper triangle, row by row, diagonal included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


def size(order: int) -> int:
    """Coordinates of the triangle of an (order, order) matrix."""
    return order * (order + 1) // 2


def row_starts(order: int) -> NDArray[np.int64]:
    """(order,) where each row begins, with its diagonal element."""
    rows = np.arange(order, dtype=np.int64)
    return rows * order - rows * (rows - 1) // 2


def unpack(triangle: Float64Array, order: int) -> Float64Array:
    """(order, order) symmetric matrix, C order, of a triangle (order * (order + 1) / 2,)."""
    full = np.zeros((order, order))
    for row, start in enumerate(row_starts(order)):
        full[row, row:] = triangle[start : start + order - row]
    mirror(full)
    return full


def mirror(upper: Float64Array) -> None:
    """Copy the strictly upper triangle of a matrix (order, order) below its diagonal, in place and in
    blocks."""
    order, block = len(upper), 256
    for start in range(0, order, block):
        stop = min(start + block, order)
        corner = upper[start:stop, start:stop]
        below = np.tril_indices(stop - start, -1)
        corner[below] = corner.T[below]
        upper[stop:, start:stop] = upper[start:stop, stop:].T


def pack_each(matrices: Float64Array) -> Float64Array:
    """(n, order * (order + 1) / 2) triangles of n small matrices (n, order, order)."""
    order = matrices.shape[-1]
    triangles = np.empty((len(matrices), size(order)))
    for row, start in enumerate(row_starts(order)):
        triangles[:, start : start + order - row] = matrices[:, row, row:]
    return triangles


def unpack_each(triangles: Float64Array, order: int) -> Float64Array:
    """(n, order, order) symmetric matrices of n triangles."""
    full = np.empty((len(triangles), order, order))
    for row, start in enumerate(row_starts(order)):
        part = triangles[:, start : start + order - row]
        full[:, row, row:] = part
        full[:, row:, row] = part
    return full
