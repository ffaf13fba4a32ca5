"""Keys, shares, masks, graph, roster and policy, each by itself."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fedrec.contribution import Words
from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.privacy.secagg import masks
from fedrec.privacy.secagg.graph import Assumptions, choose, is_degree, ring, thresholds
from fedrec.privacy.secagg.keys import Agreement, Identity, fresh_secret, hkdf, seal, signed_by, unseal
from fedrec.privacy.secagg.masks import Mask, apply, pair_mask
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.roster import FIRST_LINE, Member, Roster
from fedrec.privacy.secagg.shares import PRIME, combine, evaluate, split

# Keys


def test_hkdf_matches_rfc_5869() -> None:
    # Test case 1, first 32 of its 42 bytes.
    output = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert output.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_identity_matches_rfc_8032() -> None:
    identity = Identity.from_secret(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert identity.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert identity.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_signature_holds_for_its_key_and_statement_alone() -> None:
    identity = Identity.generate()
    signature = identity.sign(b"statement")
    assert signed_by(identity.public, signature, b"statement")
    assert not signed_by(identity.public, signature, b"another")
    assert not signed_by(Identity.generate().public, signature, b"statement")
    assert not signed_by(b"short", signature, b"statement")
    assert not signed_by(identity.public, b"short", b"statement")


def test_point_of_small_order_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        Agreement.generate().shared(bytes(32))
    assert caught.value.reason is Reason.BAD_KEY


def test_sealed_share_opens_under_its_key_and_context_alone() -> None:
    key = fresh_secret()[:16]
    sealed = seal(key, b"share", b"context")
    assert unseal(key, sealed, b"context") == b"share"
    for arguments in ((bytes(16), sealed, b"context"), (key, sealed, b"other"), (key, sealed[:9], b"context")):
        with pytest.raises(Refusal) as caught:
            unseal(*arguments)
        assert caught.value.reason is Reason.SHARE_TAMPERED


def test_nonces_of_sealed_shares_differ() -> None:
    assert len({seal(bytes(16), b"", b"")[:12] for _ in range(100)}) == 100


# Shares


def test_line_through_two_shares_gives_its_secret() -> None:
    shares = evaluate([7, 10], 3)  # 17, 27, 37
    assert [int.from_bytes(share, "little") for share in shares] == [17, 27, 37]
    assert combine({1: shares[0], 3: shares[2]}, 2, 3) == (7).to_bytes(32, "little")


def test_every_threshold_of_holders_rebuilds_the_secret() -> None:
    for secret in (bytes(32), b"\xff" * 32, fresh_secret()):
        shares = split(secret, 3, 6)
        for holders in itertools.combinations(range(1, 7), 3):
            assert combine({holder: shares[holder - 1] for holder in holders}, 3, 6) == secret


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    # Shares 1 and 2 of threshold 3, with any other secret, lie on exactly one polynomial: they say nothing.
    first, second = (int.from_bytes(share, "little") for share in split(fresh_secret(), 3, 3)[:2])
    for claimed in (0, 1, 2**256 - 1):
        quadratic = (second - 2 * first + claimed) * pow(2, -1, PRIME) % PRIME
        linear = (first - claimed - quadratic) % PRIME
        shares = evaluate([claimed, linear, quadratic], 2)
        assert [int.from_bytes(share, "little") for share in shares] == [first, second]


def test_all_shares_give_the_secret_that_a_threshold_of_them_does() -> None:
    secret = fresh_secret()
    shares = split(secret, 3, 6)
    for count in (4, 5, 6):
        for holders in itertools.combinations(range(1, 7), count):
            assert combine({holder: shares[holder - 1] for holder in holders}, 3, 6) == secret


def test_too_few_shares_or_a_wrong_holder_are_refused() -> None:
    shares = split(bytes(32), 2, 3)
    for wrong in ({1: shares[0]}, {1: shares[0], 4: shares[1]}, {0: shares[0], 1: shares[1]}):
        with pytest.raises(ProtocolError, match="holders"):
            combine(wrong, 2, 3)


def test_shares_of_no_32_byte_secret_are_refused() -> None:
    shares = evaluate([2**256, 5], 2)
    with pytest.raises(ProtocolError, match="wrong"):
        combine(dict(enumerate(shares, start=1)), 2, 2)


# Masks


@pytest.mark.parametrize(("num_u32", "num_u64"), [(0, 0), (3, 0), (0, 3), (masks.BLOCK_BYTES // 4 + 1, 7), (5, 20_000)])
def test_masks_of_a_pair_cancel(num_u32, num_u64) -> None:
    first, second = Agreement.generate(), Agreement.generate()
    one = pair_mask(first.shared(second.public), bytes(32), 4, 9)
    other = pair_mask(second.shared(first.public), bytes(32), 9, 4)
    assert (one.seed, one.negative, other.negative) == (other.seed, False, True)
    words = Words.zeros(num_u32, num_u64)
    apply(words, [one])
    if num_u32 + num_u64:
        assert words.u32.any() or words.u64.any()
    apply(words, [other])
    assert not words.u32.any()
    assert not words.u64.any()


def test_more_masks_than_open_streams_are_all_applied() -> None:
    many = [Mask(bytes([index % 251, index // 251]) + bytes(30), negative=False) for index in range(300)]
    together, one_by_one = Words.zeros(2, 2), Words.zeros(2, 2)
    apply(together, many)
    for mask in many:
        apply(one_by_one, [mask])
    assert np.array_equal(together.u32, one_by_one.u32)
    assert np.array_equal(together.u64, one_by_one.u64)


def test_mask_differs_by_round_pair_and_direction_of_use() -> None:
    shared = bytes(32)
    seeds = {pair_mask(shared, digest, 1, other).seed for digest in (bytes(32), b"\x01" * 32) for other in (2, 3)}
    assert len(seeds) == 4


# Graph


@pytest.mark.parametrize(
    ("num_clients", "degree"), [(2, 1), (5, 4), (64, 63), (65, 4), (70, 12), (100, 98), (101, 100)]
)
def test_graph_is_regular_and_symmetric(num_clients, degree) -> None:
    neighbours = ring(range(1, num_clients + 1), degree, b"digest").all()
    for node, others in neighbours.items():
        assert len(others) == degree
        assert list(others) == sorted(set(others) - {node})
        assert all(node in neighbours[other] for other in others)


def test_graph_depends_on_the_digest() -> None:
    assert ring(range(70), 12, b"one").order != ring(range(70), 12, b"two").order


def test_degrees_of_the_protocol() -> None:
    assert is_degree(1, 2)
    assert is_degree(63, 64)
    assert not is_degree(62, 64)  # complete up to 64
    assert is_degree(62, 65)
    assert not is_degree(63, 70)  # odd
    assert not is_degree(70, 70)
    assert not is_degree(0, 1)


@pytest.mark.parametrize(
    ("num_clients", "active", "degree"),
    [(100, False, 22), (1000, False, 46), (100, True, 32), (1000, True, 96), (64, True, 63), (10, True, 9)],
)
def test_degree_for_a_tenth_corrupt_and_a_tenth_missing(num_clients, active, degree) -> None:
    assert choose(num_clients, Assumptions(active=active)).degree == degree


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("num_clients", [65, 100, 300])
def test_chosen_parameters_meet_both_bounds_and_two_neighbours_less_do_not(num_clients, active) -> None:
    def tail(marked: int, degree: int, least: int) -> float:
        ways = [
            math.comb(marked, i) * math.comb(num_clients - 1 - marked, degree - i) for i in range(least, marked + 1)
        ]
        return num_clients * sum(ways) / math.comb(num_clients - 1, degree)

    def meets(degree: int, threshold: int) -> bool:
        corrupt, missing = math.ceil(0.1 * num_clients), num_clients // 10
        too_many = 2 * threshold - degree if active else threshold
        private = too_many > 0 and tail(corrupt, degree, too_many) <= 2**-40
        return private and tail(missing, degree, degree - threshold + 1) <= 2**-20

    chosen = choose(num_clients, Assumptions(active=active))
    assert meets(chosen.degree, chosen.threshold)
    smaller = chosen.degree - 2
    assert not any(meets(smaller, threshold) for threshold in range(1, smaller + 1))


def test_honest_majority_of_holders_can_open_one_secret_of_a_client_and_not_both() -> None:
    for num_clients in (*range(3, 65), 100, 1000):
        chosen = choose(num_clients, Assumptions())
        low, _ = thresholds(num_clients, chosen.degree, Assumptions())
        assert chosen.threshold >= low
        assert 2 * chosen.threshold > chosen.degree + 1


def test_impossible_assumptions_are_refused() -> None:
    for fields in ({"corrupt": 1.0}, {"dropout": -0.1}, {"privacy_bits": 0}, {"failure_bits": 0}):
        with pytest.raises(ConfigError):
            Assumptions(**fields)
    with pytest.raises(ConfigError):
        choose(1, Assumptions())


# Roster


def test_roster_survives_its_text() -> None:
    roster = Roster((Member(3, bytes(32), "north"), Member(2**63 - 1, b"\x01" * 32, "süd")))
    read = Roster.from_text("\n".join(["fedrec-roster 1", "# a remark", "", *roster.to_text().splitlines()[1:]]))
    assert read == roster
    assert read.digest == roster.digest


def test_roster_digest_changes_with_every_field() -> None:
    rosters = [
        Roster((Member(*fields),))
        for fields in ((1, bytes(32), "a"), (2, bytes(32), "a"), (1, b"\x01" * 32, "a"), (1, bytes(32), "b"))
    ]
    assert len({roster.digest for roster in rosters}) == 4


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["another file"],
        [FIRST_LINE],
        [FIRST_LINE, "1 00 a"],
        [FIRST_LINE, "1 " + "zz" * 32 + " a"],
        [FIRST_LINE, "0 " + "00" * 32 + " a"],
        [FIRST_LINE, "-1 " + "00" * 32 + " a"],
        [FIRST_LINE, "1 " + "00" * 32],
        [FIRST_LINE, "1 " + "00" * 32 + " a b"],
        [FIRST_LINE, "2 " + "00" * 32 + " a", "1 " + "01" * 32 + " b"],
        [FIRST_LINE, "1 " + "00" * 32 + " a", "2 " + "00" * 32 + " b"],
        [FIRST_LINE, "1 " + "00" * 32 + " a", "2 " + "01" * 32 + " a"],
    ],
)
def test_wrong_roster_is_refused(lines) -> None:
    with pytest.raises(ConfigError, match="Roster"):
        Roster.from_text("\n".join(lines))


# Policy


@pytest.mark.parametrize(
    "limits",
    [
        {"min_cohort": 1},
        {"min_cohort": 5, "max_cohort": 4},
        {"max_cohort": 1 << 17},
        {"min_degree": 1},
        {"min_threshold": 0.5},
        {"min_threshold": 1.1},
        {"max_bound": 0.0},
        {"max_bound": math.nan},
        {"max_vector_length": 0},
        {"key_lifetime": 0},
    ],
)
def test_policy_that_protects_nothing_is_refused(limits) -> None:
    with pytest.raises(ConfigError):
        Policy(**limits)


def test_default_policy_accepts_the_default_parameters() -> None:
    for num_clients in (*range(3, 65), 100, 200, 1000):
        chosen = choose(num_clients, Assumptions())
        Policy().check_cohort(num_clients, chosen.degree, chosen.threshold)


def test_default_policy_refuses_the_parameters_against_a_watching_server_only() -> None:
    chosen = choose(100, Assumptions(active=False))
    with pytest.raises(Refusal) as caught:
        Policy().check_cohort(100, chosen.degree, chosen.threshold)
    assert caught.value.reason is Reason.THRESHOLD_TOO_LOW
