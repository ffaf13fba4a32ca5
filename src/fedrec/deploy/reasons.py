"""The words by which a party declines. A peer may send any other word, which is then counted as `OTHER`.

So neither a log nor a metric repeats what somebody else has written.
"""

from __future__ import annotations

from fedrec import errors
from fedrec.privacy.secagg.reasons import Reason

OTHER = "other"
_ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type)}
REASONS = frozenset(
    {
        "another-run",
        "arm-already-scored",
        "bound-understated",
        "budget-spent",
        "candidates-mismatch",
        "capacity-exceeded",
        "capacity-too-small",
        "client-error",
        "contribution-error",
        "drawn-too-often",
        "encoder-mismatch",
        "forged-sum",
        "internal-error",
        "layout-mismatch",
        "ledger-damaged",
        "ledger-missing",
        "malformed-instruction",
        "malformed-reply",
        "masks-required",
        "metrics-not-private",
        "never-trained",
        "no-answer",
        "no-identity",
        "no-privacy-policy",
        "noise-required",
        "not-a-device",
        "nothing-kept",
        "nothing-to-mask",
        "plain-request",
        "private-weights",
        "round-answered",
        "rows-changed",
        "sampling-not-trusted",
        "storage-failed",
        "test-already-read",
        "too-few-honest",
        "too-little-noise",
        "unknown",
        "unknown-app",
        "wrong-placement",
    }
    | set(map(str, Reason))
    | _ERRORS
)


def known(reason: object) -> str:
    """The reason, if it is one of fedrec's own."""
    return reason if isinstance(reason, str) and reason in REASONS else OTHER
