"""The published vectors: ours still, and right by implementations that share no code with ours."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="module")
def vectors() -> dict:
    return json.loads((FOLDER / "secagg.json").read_text())


def derived(secret: str, label: str, context: bytes, length: int = 32) -> str:
    return HKDF(SHA256(), length, label.encode(), context).derive(bytes.fromhex(secret)).hex()


def keystream(seed: str, num_bytes: int) -> bytes:
    """AES-128 in plain counter mode: key, then counter block, from the seed."""
    octets = bytes.fromhex(seed)
    counter = octets[16:28] + (2).to_bytes(4, "big")
    return Cipher(AES(octets[:16]), CTR(counter)).encryptor().update(bytes(num_bytes))


def test_script_still_makes_the_published_file() -> None:
    spec = importlib.util.spec_from_file_location("make_secagg", FOLDER / "make_secagg.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.text() == (FOLDER / "secagg.json").read_text()


def test_derived_keys(vectors) -> None:
    assert len({case["label"] for case in vectors["hkdf"]}) == len(vectors["hkdf"]) == 9
    for case in vectors["hkdf"]:
        assert case["output"] == derived(case["secret"], case["label"], bytes.fromhex(case["context"]), case["length"])


def test_mask_seeds(vectors) -> None:
    masks = vectors["masks"]
    digest = bytes.fromhex(masks["round_digest"])
    own, pair = masks["self_mask"], masks["pair_mask"]
    assert own["seed"] == derived(own["secret"], "fedrec secagg v1 self mask", digest + (7).to_bytes(8, "little"))
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(pair["other_private"]))
    shared = private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(pair["owner_public"])))
    assert pair["shared"] == shared.hex()
    nodes = (7).to_bytes(8, "little") + (1000).to_bytes(8, "little")
    assert pair["seed"] == derived(pair["shared"], "fedrec secagg v1 pair mask", digest + nodes)
    assert pair["owner_adds"]


def test_mask_streams(vectors) -> None:
    stream, long = vectors["masks"]["stream"], vectors["masks"]["long_stream_sha256"]
    octets = keystream(stream["seed"], 5 * 4 + 3 * 8)
    assert stream["u32"] == [int.from_bytes(octets[i : i + 4], "little") for i in range(0, 20, 4)]
    assert stream["u64"] == [str(int.from_bytes(octets[i : i + 8], "little")) for i in range(20, 44, 8)]
    octets = keystream(long["seed"], 4 * long["num_u32"] + 8 * long["num_u64"])
    assert long["sha256"] == hashlib.sha256(octets).hexdigest()


def test_shares(vectors) -> None:
    case = vectors["shares"]
    prime, coefficients = int(case["prime"]), [int(value) for value in case["coefficients"]]
    assert prime == 2**257 - 93
    for holder, share in enumerate(case["shares"], start=1):
        value = sum(c * holder**power for power, c in enumerate(coefficients)) % prime
        assert bytes.fromhex(share) == value.to_bytes(33, "little")
    # Lagrange at zero from 1, 3, 5: 15/8, -5/4, 3/8.
    inverse = pow(8, -1, prime)
    weighted = zip((15, -10, 3), case["holders_combined"], strict=True)
    secret = sum(w * inverse * int.from_bytes(bytes.fromhex(case["shares"][h - 1]), "little") for w, h in weighted)
    assert case["secret"] == (secret % prime).to_bytes(32, "little").hex()
    assert int.from_bytes(bytes.fromhex(case["secret"]), "little") == coefficients[0]


def test_agreement(vectors) -> None:
    case = vectors["agreement"]
    adverts = [bytes.fromhex(advert) for advert in case["adverts"]]
    statement = bytes.fromhex(case["advert_statement"])
    head = b"fedrec secagg v1 advert\x01" + bytes.fromhex(case["run"] + case["roster_digest"])
    assert statement == head + adverts[0][:-64]
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["identity_private"]["3"]))
    assert signer.sign(statement) == adverts[0][-64:]
    cohort = bytes.fromhex(case["cohort"])
    assert cohort.endswith(b"".join(adverts))
    assert case["round_digest"] == derived(case["cohort"], "fedrec secagg v1 round", b"")
    place = b"fedrec secagg v1 graph" + bytes.fromhex(case["round_digest"])
    order = sorted(range(1, 71), key=lambda node: hashlib.sha256(place + node.to_bytes(8, "little")).digest())
    assert case["ring_of_1_to_70"] == order
    at = order.index(1)
    assert case["neighbours_of_1"] == sorted(order[(at + step) % 70] for step in range(-6, 7) if step)
    signed = bytes.fromhex(case["consent_statement"])
    bits = (3).to_bytes(4, "little") + bytes([0b101, 0b010])
    task = (5).to_bytes(4, "little") + (3).to_bytes(4, "little") + np.array([0.5], "<f8").tobytes()
    middle = bytes.fromhex(case["round_digest"]) + task + bytes.fromhex(case["context"])
    assert signed == b"fedrec secagg v1 consent\x01" + middle + bits
    assert case["consent_of_3"] == signer.sign(signed).hex()
    channel = case["channel"]
    assert channel["key"] == derived(
        channel["common"], "fedrec secagg v1 transport", bytes.fromhex(channel["associated_data"]), 16
    )


def test_fixed_point(vectors) -> None:
    for case in vectors["fixed_point"]:
        expected = [round(value / case["resolution"]) % 2 ** case["word_bits"] for value in case["values"]]
        assert [int(word) for word in case["words"]] == expected
        assert case["max_clients"] * int(case["client_limit"]) < 2 ** (case["word_bits"] - 1)
