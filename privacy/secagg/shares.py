"""Shamir's secret sharing of 32-byte secrets over one prime field.

The prime is above 2^256, so that a whole secret is one field element. Holders are numbered 1..num_holders;
any `threshold` of their shares give the secret, fewer say nothing about it (Shamir 1979). Shares carry no
proof of their own: whoever combines must compare the secret with a commitment to it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from functools import lru_cache

from fedrec.errors import ProtocolError

PRIME = 2**257 - 93
SHARE_BYTES = 33
SECRET_BYTES = 32


def split(secret: bytes, threshold: int, num_holders: int) -> list[bytes]:
    """Shares of the holders 1..num_holders, 33 bytes each, little-endian."""
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    return evaluate([int.from_bytes(secret, "little"), *coefficients], num_holders)


def evaluate(coefficients: list[int], num_holders: int) -> list[bytes]:
    """Shares under the polynomial with these coefficients, constant term (the secret) first."""
    shares = []
    for holder in range(1, num_holders + 1):
        value = 0
        for coefficient in reversed(coefficients):
            # Holders are small, so the integer grows by a few bits a step: reducing once is cheaper.
            value = value * holder + coefficient
        shares.append((value % PRIME).to_bytes(SHARE_BYTES, "little"))
    return shares


def combine(shares: Mapping[int, bytes], threshold: int, num_holders: int) -> bytes:
    """The secret of `threshold` shares or more, by holder. Raises ProtocolError if they are not of one secret.

    More shares than the threshold are all used: with fewer holders missing the weights are cheaper, and one
    wrong share shows in the secret.
    """
    if len(shares) < threshold or not all(1 <= holder <= num_holders for holder in shares):
        raise ProtocolError(
            f"Expected the shares of at least {threshold} of the holders 1..{num_holders}, got {sorted(shares)}."
        )
    holders = tuple(sorted(shares))
    weights, scale = _weights_at_zero(holders, num_holders)
    total = sum(
        weight * int.from_bytes(shares[holder], "little") for weight, holder in zip(weights, holders, strict=True)
    )
    secret = total * scale % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise ProtocolError("The shares are not of one 32-byte secret: at least one of them is wrong.")
    return secret.to_bytes(SECRET_BYTES, "little")


@lru_cache(maxsize=4096)
def _weights_at_zero(holders: tuple[int, ...], num_holders: int) -> tuple[tuple[int, ...], int]:
    """Lagrange's weights at zero, as small integers and one common factor.

    With all holders 1..n present the weight of i is (-1)^(i-1) C(n, i). Taking a holder m away multiplies it
    by (m - i) / m, and the product of the m is common to all i: one inversion per subset, and no large
    products.
    """
    missing = sorted(set(range(1, num_holders + 1)).difference(holders))
    weights = tuple((-1) ** (i - 1) * math.comb(num_holders, i) * math.prod([m - i for m in missing]) for i in holders)
    return weights, pow(math.prod(missing), -1, PRIME)
