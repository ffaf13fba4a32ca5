"""Why a party declines to go on: the stable, machine-readable words of `Refusal.reason`.

The words are part of the interface: operators alert on them and the tests name them. A word is never reused
with another meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason for which the secure aggregation core refuses a message or a step."""

    # The bytes of a message
    OVERSIZED = "oversized"  # longer than the receiver's stated maximum; nothing was parsed
    TRUNCATED = "truncated"  # ends before a field that it announces
    TRAILING_BYTES = "trailing-bytes"  # goes on after its last field
    MALFORMED = "malformed"  # a field has an impossible value
    WRONG_VERSION = "wrong-version"
    WRONG_KIND = "wrong-kind"  # a message of another step
    # Where the message belongs
    WRONG_RUN = "wrong-run"
    WRONG_ROUND = "wrong-round"  # a round that this party never entered
    WRONG_SENDER = "wrong-sender"
    ROUND_CLOSED = "round-closed"  # opened, given up or overtaken: it stays closed for ever
    OUT_OF_ORDER = "out-of-order"  # an earlier step of the round is still missing
    STEP_REPEATED = "step-repeated"  # this party has already answered this step of the round
    STATE_USED = "state-used"  # a state object was used twice
    DUPLICATE = "duplicate"  # a second message of one sender in one step
    # Keys, adverts and the cohort
    BAD_KEY = "bad-key"  # not a usable public key
    FORGED_ROSTER = "forged-roster"  # another roster than the pinned one
    UNKNOWN_NODE = "unknown-node"  # not in the pinned roster
    ADVERT_SIGNATURE = "advert-signature"  # the pinned identity key did not sign these keys for this round
    REPLAYED_ADVERT = "replayed-advert"  # an advert of another round
    OWN_ADVERT_CHANGED = "own-advert-changed"  # the cohort does not hold what this party advertised
    STALE_KEY = "stale-key"  # a transport key older than the policy's lifetime
    COHORT_TOO_SMALL = "cohort-too-small"
    COHORT_TOO_LARGE = "cohort-too-large"
    DEGREE_TOO_SMALL = "degree-too-small"  # fewer neighbours than policy or protocol allow
    THRESHOLD_TOO_LOW = "threshold-too-low"
    THRESHOLD_TOO_HIGH = "threshold-too-high"  # more shares than there are holders
    # Shares and the upload
    NOT_A_NEIGHBOUR = "not-a-neighbour"  # the server routes by a graph other than the agreed one
    TOO_FEW_SHARES = "too-few-shares"
    SHARE_TAMPERED = "share-tampered"  # sealed for another round, cohort or pair, or changed on the way
    VECTOR_TOO_LONG = "vector-too-long"
    BOUND_TOO_LARGE = "bound-too-large"
    # Survivors and the reveal
    ALIVE_AND_DEAD = "alive-and-dead"  # one node in both sets, so both its secrets would be asked for
    NOT_ALIVE_MYSELF = "not-alive-myself"  # asked to consent to a set without one's own upload
    SURVIVORS_TOO_FEW = "survivors-too-few"
    NEIGHBOURS_TOO_FEW = "neighbours-too-few"  # fewer surviving neighbours than the threshold
    SURVIVORS_INCONSISTENT = "survivors-inconsistent"  # contradicts the shares that were delivered
    CONSENTS_TOO_FEW = "consents-too-few"  # too few neighbours signed the survivors that this party was shown
    SHARES_UNEXPECTED = "shares-unexpected"  # a client reveals other shares than its view asks for
