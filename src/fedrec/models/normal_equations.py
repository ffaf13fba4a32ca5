"""The least-squares problems of implicit ALS (Hu, Koren, Volinsky, ICDM 2008, eq. 4 and 5).

A user with confidences c_j on its items, and confidence 1 in not wanting any item, is the vector u that
minimises sum_j c_j (1 - u.y_j)^2 + sum_{other j} (u.y_j)^2 + l2 |u|^2: the solution of A u = b with A = Y^T Y
+ sum_j (c_j - 1) y_j y_j^T + l2 I and b = sum_j c_j y_j. Here c_j = 1 + alpha w_j for an event of weight w_j.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fedrec.data.histories import CsrMatrix
from fedrec.models.protocols import Float64Array

BATCH = 256  # systems solved at a time


def outer_sums(matrix: CsrMatrix, factors: Float64Array) -> Float64Array:
    """(num_rows, d, d): for each row of a sparse (num_rows, n) matrix, sum_j w_j f_j f_j^T over its entries
    w_j."""
    sums = np.zeros((matrix.shape[0], factors.shape[1], factors.shape[1]))
    bounds = matrix.indptr.tolist()
    for row, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            chosen = factors[matrix.indices[start:stop]]
            np.matmul((chosen * matrix.data[start:stop, None]).T, chosen, out=sums[row])
    return sums


def fold_in(profiles: CsrMatrix, item_factors: Float64Array, alpha: float, l2: float) -> Float64Array:
    """(num_users, d) user vectors of sparse event weights (num_users, num_items); zero for an empty
    profile."""
    return _folded(profiles, _targets(profiles, alpha), item_factors, alpha, l2)


def fold_in_parts(parts: CsrMatrix, item_factors: Float64Array, alpha: float, l2: float) -> Float64Array:
    """As `fold_in`, of parts of events: a part w <= 1 is w of an event of weight 1 and 1 - w of none, so b = sum_j
    w_j (1 + alpha) y_j. An event of which nothing is left so means nothing, where one of weight 0 is still one."""
    return _folded(parts, (1.0 + alpha) * parts, item_factors, alpha, l2)


def _folded(
    profiles: CsrMatrix, targets: CsrMatrix, item_factors: Float64Array, alpha: float, l2: float
) -> Float64Array:
    users = np.zeros((profiles.shape[0], item_factors.shape[1]))
    base = _base(item_factors, l2)
    for start in range(0, len(users), BATCH):
        matrices = base + alpha * outer_sums(profiles[start : start + BATCH], item_factors)
        users[start : start + BATCH] = solve_each(matrices, targets[start : start + BATCH] @ item_factors)
    return users


def system(profile: CsrMatrix, item_factors: Float64Array, alpha: float, l2: float) -> Float64Array:
    """(d, d) the matrix A of one user, given its profile (1, num_items)."""
    matrix: Float64Array = _base(item_factors, l2) + alpha * outer_sums(profile, item_factors)[0]
    return matrix


def solve_each(matrices: Float64Array, targets: Float64Array) -> Float64Array:
    """(n, d) solutions of n symmetric systems (n, d, d) x = (n, d).

    A system that is not positive definite, as noise can make it, is solved within its positive directions. Which one
    that is changes no other's solution: systems may be those of different users.
    """
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) > 1:
            return np.vstack([solve_each(matrices[n : n + 1], targets[n : n + 1]) for n in range(len(matrices))])
        return _solve_positive_part(matrices, targets)
    return np.linalg.solve(matrices, targets[:, :, None])[:, :, 0].astype(np.float64, copy=False)


def _solve_positive_part(matrices: Float64Array, targets: Float64Array) -> Float64Array:
    values, vectors = np.linalg.eigh(matrices)
    floor = 1e-6 * np.abs(values).max(axis=1, keepdims=True)
    inverse = np.where(values > floor, 1 / np.maximum(values, floor + np.finfo(float).tiny), 0.0)
    rotated = np.einsum("nij,ni->nj", vectors, targets)
    solutions: Float64Array = np.einsum("nij,nj->ni", vectors, inverse * rotated)
    return solutions


def _base(item_factors: Float64Array, l2: float) -> Float64Array:
    base: Float64Array = item_factors.T @ item_factors + l2 * np.eye(item_factors.shape[1])
    return base


def _targets(profiles: CsrMatrix, alpha: float) -> CsrMatrix:
    confidences = profiles.copy()
    confidences.data = 1.0 + alpha * confidences.data
    return confidences
