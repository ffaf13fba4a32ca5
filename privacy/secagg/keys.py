"""Keys of the protocol: Ed25519 identities, X25519 agreements, HKDF with fixed labels, sealed shares.

What they protect: an identity key, pinned in the roster, makes every other key its owner's; a transport key
lets two clients exchange shares that the server relays and cannot read; a mask key lets them derive a mask
that cancels. What they do not: whoever holds a client's identity key is that client. Python cannot wipe
memory, so a secret is gone only when its process is.

Fresh keys come from the operating system's generator. The labels are the domain separation of the protocol
and part of its version.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason

KEY_BYTES = 32
SIGNATURE_BYTES = 64
SEAL_KEY_BYTES = 16
NONCE_BYTES = 12
SEAL_OVERHEAD = NONCE_BYTES + 16

LABEL_ADVERT = b"fedrec secagg v1 advert"
LABEL_CONSENT = b"fedrec secagg v1 consent"
LABEL_ROUND = b"fedrec secagg v1 round"
LABEL_GRAPH = b"fedrec secagg v1 graph"
LABEL_TRANSPORT = b"fedrec secagg v1 transport"
LABEL_PAIR_MASK = b"fedrec secagg v1 pair mask"
LABEL_SELF_MASK = b"fedrec secagg v1 self mask"
LABEL_COMMITMENT = b"fedrec secagg v1 commitment"
LABEL_ROSTER = b"fedrec secagg v1 roster"


def hkdf(secret: bytes, label: bytes, context: bytes, length: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869) with `label` as salt and `context` as info; `length` <= 32 bytes.

    Written with one-block `hmac.digest` because a round derives thousands of keys of one block each.
    """
    extracted = hmac.digest(label, secret, "sha256")
    return hmac.digest(extracted, context + b"\x01", "sha256")[:length]


def fresh_secret() -> bytes:
    """32 bytes from the operating system's generator."""
    return os.urandom(KEY_BYTES)


@dataclass(frozen=True)
class Identity:
    """A party's long-term Ed25519 signing key. The public half is pinned in the roster."""

    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Identity:
        """A new identity; write `secret()` to a file that only the party can read."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_secret(cls, secret: bytes) -> Identity:
        """The identity of a 32-byte seed. Raises ValueError for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(secret))

    def secret(self) -> bytes:
        """The 32-byte seed. SECRET."""
        return self._private.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32 bytes that the roster pins."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, statement: bytes) -> bytes:
        """A 64-byte signature."""
        return self._private.sign(statement)


def signed_by(public: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether the identity key `public` signed `statement`. A malformed key signs nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Agreement:
    """An X25519 key pair, for the transport of shares or for the masks of one round."""

    _private: X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Agreement:
        """A new key pair."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_secret(cls, secret: bytes) -> Agreement:
        """The key pair of a 32-byte scalar. Raises ValueError for another length."""
        return cls(X25519PrivateKey.from_private_bytes(secret))

    def secret(self) -> bytes:
        """The 32-byte scalar. SECRET."""
        return self._private.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32 bytes that are advertised."""
        return self._private.public_key().public_bytes_raw()

    def shared(self, public: bytes) -> bytes:
        """The secret shared with the owner of `public`. Raises Refusal (bad-key) for a weak point."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise Refusal(Reason.BAD_KEY, f"not a usable X25519 public key ({error})") from error


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """AES-128-GCM under a fresh random nonce, which comes first; `context` is authenticated with it.

    The key serves one message of one round and direction. The nonce is random all the same, so that a client
    restored from an old state does not repeat it.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What `seal` sealed. Raises Refusal (share-tampered) if key, bytes or context differ."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise Refusal(Reason.SHARE_TAMPERED, "a sealed share does not open under the agreed cohort") from error
