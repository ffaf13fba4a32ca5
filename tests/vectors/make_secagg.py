"""Writes secagg.json: known answers by which another implementation of the protocol can check itself.

All byte strings are hexadecimal, all integers little-endian where they become bytes. Run it only after a
deliberate change of the protocol, with its version:

    python tests/vectors/make_secagg.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fedrec.contribution import Block, Layout, Words
from fedrec.privacy.fixed_point import plan
from fedrec.privacy.secagg import keys
from fedrec.privacy.secagg.graph import Assumptions, choose, ring
from fedrec.privacy.secagg.keys import Agreement, Identity, hkdf
from fedrec.privacy.secagg.masks import Mask, apply, pair_mask, self_seed
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.privacy.secagg.round_messages import Survivors, Task
from fedrec.privacy.secagg.setup_messages import ADVERT, Advert, Cohort, commitment
from fedrec.privacy.secagg.shares import PRIME, combine, evaluate
from fedrec.privacy.secagg.stages import channel, channel_key

TARGET = Path(__file__).with_name("secagg.json")
RUN = bytes(range(16))


def secret(name: str) -> bytes:
    """A reproducible 32-byte secret."""
    return hashlib.sha256(name.encode()).digest()


def hkdf_vectors() -> list[dict[str, Any]]:
    """output = HKDF-SHA256(secret, salt=label, info=context), `length` bytes."""
    labels = [value for name, value in sorted(vars(keys).items()) if name.startswith("LABEL_")]
    cases = [(label, secret("hkdf"), bytes(range(index)), 32 - index) for index, label in enumerate(labels)]
    return [
        {
            "label": label.decode(),
            "secret": key.hex(),
            "context": context.hex(),
            "length": length,
            "output": hkdf(key, label, context, length).hex(),
        }
        for label, key, context, length in cases
    ]


def mask_vectors() -> dict[str, Any]:
    """Seeds of a self mask and of a pair's mask, and the words of a mask (num_u32 of 32 bits, then num_u64 of 64)."""
    digest, low, high = secret("digest"), Agreement.from_secret(secret("low")), Agreement.from_secret(secret("high"))
    shared = low.shared(high.public)
    mask = pair_mask(shared, digest, owner=7, other=1000)
    words = Words.zeros(5, 3)
    apply(words, [mask])
    return {
        "round_digest": digest.hex(),
        "self_mask": {
            "secret": secret("self").hex(),
            "node": 7,
            "seed": self_seed(secret("self"), digest, 7).hex(),
        },
        "pair_mask": {
            "owner": 7,
            "owner_private": secret("low").hex(),
            "owner_public": low.public.hex(),
            "other": 1000,
            "other_private": secret("high").hex(),
            "other_public": high.public.hex(),
            "shared": shared.hex(),
            "seed": mask.seed.hex(),
            "owner_adds": not mask.negative,
        },
        "stream": {"seed": mask.seed.hex(), "u32": words.u32.tolist(), "u64": [str(word) for word in words.u64]},
        "long_stream_sha256": long_stream(),
    }


def long_stream() -> dict[str, Any]:
    """SHA-256 of the bytes of a mask over more than one block."""
    words = Words.zeros(50_001, 30_000)
    apply(words, [Mask(secret("long"), negative=False)])
    octets = words.u32.astype("<u4").tobytes() + words.u64.astype("<u8").tobytes()
    return {
        "seed": secret("long").hex(),
        "num_u32": 50_001,
        "num_u64": 30_000,
        "sha256": hashlib.sha256(octets).hexdigest(),
    }


def share_vectors() -> dict[str, Any]:
    """Holder i's share is the polynomial at i modulo the prime; coefficient 0 is the secret, little-endian."""
    coefficients = [
        int.from_bytes(secret("secret"), "little"),
        *(int.from_bytes(secret(f"coefficient {index}") * 2, "little") % PRIME for index in (1, 2)),
    ]
    shares = evaluate(coefficients, 5)
    chosen = {holder: shares[holder - 1] for holder in (1, 3, 5)}
    return {
        "prime": str(PRIME),
        "threshold": 3,
        "coefficients": [str(value) for value in coefficients],
        "shares": [share.hex() for share in shares],
        "holders_combined": sorted(chosen),
        "secret": combine(chosen, 3, 5).hex(),
        "commitment": {"round": 9, "node": 7, "output": commitment(secret("secret"), 9, 7).hex()},
    }


def agreement_vectors() -> dict[str, Any]:
    """A roster of three, their signed adverts, the round digest, the graph order, a consent, a channel key."""
    identities = {node: Identity.from_secret(secret(f"identity {node}")) for node in (3, 5, 1000)}
    roster = Roster(tuple(Member(node, key.public, f"tenant-{node}") for node, key in identities.items()))
    adverts = []
    for node, identity in identities.items():
        transport, mask = (Agreement.from_secret(secret(f"{what} {node}")).public for what in ("transport", "mask"))
        unsigned = Advert(node, 9, 2, transport, mask, bytes(64))
        statement = unsigned.statement(RUN, roster.digest)
        adverts.append(Advert(node, 9, 2, transport, mask, identity.sign(statement)))
    packed = b"".join(advert.pack() for advert in adverts)
    cohort = Cohort(RUN, 9, roster.digest, 2, 2, np.frombuffer(packed, ADVERT))
    digest = cohort.digest()
    survivors = Survivors(RUN, 9, np.array([True, False, True]), np.array([False, True, False]))
    statement = survivors.statement(digest, Task(5, 3, 0.5), secret("context"))
    return {
        "run": RUN.hex(),
        "roster_text": roster.to_text(),
        "roster_digest": roster.digest.hex(),
        "identity_private": {str(node): identity.secret().hex() for node, identity in identities.items()},
        "adverts": [advert.pack().hex() for advert in adverts],
        "advert_statement": adverts[0].statement(RUN, roster.digest).hex(),
        "cohort": cohort.pack().hex(),
        "round_digest": digest.hex(),
        "ring_of_1_to_70": list(ring(range(1, 71), 12, digest).order),
        "neighbours_of_1": list(ring(range(1, 71), 12, digest).of(1)),
        "context": secret("context").hex(),
        "task": {"num_u32": 5, "num_u64": 3, "bound": 0.5},
        "consent_statement": statement.hex(),
        "consent_of_3": identities[3].sign(statement).hex(),
        "channel": {
            "common": secret("common").hex(),
            "from": 3,
            "to": 5,
            "associated_data": channel(digest, 3, 5).hex(),
            "key": channel_key(secret("common"), digest, 3, 5).hex(),
        },
    }


def parameter_vectors() -> list[dict[str, Any]]:
    """Degree and threshold for 10 % corrupt and 10 % missing clients, 2^-40 and 2^-20."""
    return [
        {
            "num_clients": size,
            "active": active,
            "degree": choose(size, Assumptions(active=active)).degree,
            "threshold": choose(size, Assumptions(active=active)).threshold,
        }
        for active in (False, True)
        for size in (2, 3, 10, 64, 65, 100, 200, 500, 1000)
    ]


def fixed_point_vectors() -> list[dict[str, Any]]:
    """Values on the grid of a block, as words: round to nearest, ties to even, two's complement."""
    cases = [
        (Block("counts", (4,), user_l2=2.0), 3, 10, [0.0, 20.0, -20.0, 1.0]),
        (Block("halves", (4,), user_l2=1.0, resolution=0.5), 3, 10, [0.25, 0.75, -0.25, -9.5]),
        (Block("wide", (3,), user_l2=1024.0, resolution=2.0**-20), 4, 8, [1.0, -(2.0**-20), -8192.0]),
    ]
    vectors = []
    for block, clients, users, values in cases:
        encoding = plan(Layout((block,)), clients, users)
        words = encoding.encode_values({block.name: np.array(values)})
        vectors.append(
            {
                "user_max": block.user_max,
                "resolution": block.resolution,
                "max_clients": clients,
                "max_users_per_client": users,
                "client_limit": str(encoding.grid[0].client_limit),
                "word_bits": encoding.grid[0].word_bits,
                "values": values,
                "words": [str(word) for word in (*words.u32.tolist(), *words.u64.tolist())],
            }
        )
    return vectors


def vectors() -> dict[str, Any]:
    """All sections."""
    return {
        "protocol": "fedrec secagg, version 1; docs/secagg.md defines every field",
        "hkdf": hkdf_vectors(),
        "masks": mask_vectors(),
        "shares": share_vectors(),
        "agreement": agreement_vectors(),
        "parameters": parameter_vectors(),
        "fixed_point": fixed_point_vectors(),
    }


def text() -> str:
    """The file."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
