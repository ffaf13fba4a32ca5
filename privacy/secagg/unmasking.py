"""How the server opens a sum: rebuild the secrets that were revealed, take their masks away.

A rebuilt secret is compared with what its owner committed to (self mask) or advertised (mask key), so a wrong
share cannot make a wrong sum. One wrong holder among a secret's is found and left out; more fail the round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations

from fedrec.contribution import Words
from fedrec.errors import ProtocolError, RoundFailed
from fedrec.privacy.secagg.keys import Agreement
from fedrec.privacy.secagg.masks import Mask, apply, pair_mask, self_seed
from fedrec.privacy.secagg.server_setup import Plan, Prepared
from fedrec.privacy.secagg.setup_messages import Advert, commitment
from fedrec.privacy.secagg.shares import combine


def open_sum(total: Words, prepared: Prepared, alive: frozenset[int], revealed: dict[int, dict[int, bytes]]) -> None:
    """Takes all masks from `total`, in place. revealed: by owner and holder, shares of its one opened secret.

    Raises RoundFailed if a secret cannot be rebuilt; `total` is then of no use.
    """
    apply(total, _all_masks(prepared, alive, revealed))


def _all_masks(prepared: Prepared, alive: frozenset[int], revealed: dict[int, dict[int, bytes]]) -> Iterator[Mask]:
    plan = prepared.plan
    adverts = {advert.node: advert for advert in map(Advert.of, plan.cohort.adverts)}
    for node in alive:
        secret = rebuild(plan, node, revealed[node], _is_committed(prepared, node))
        yield Mask(self_seed(secret, plan.digest, node), negative=True)
    for node in prepared.nodes - alive:
        secret = rebuild(plan, node, revealed[node], _is_key_of(adverts[node]))
        mask = Agreement.from_secret(secret)
        for other in alive.intersection(plan.neighbours[node]):
            # Adding what `node` would have added cancels what `other` added for their pair.
            yield pair_mask(mask.shared(adverts[other].mask), plan.digest, node, other)


def rebuild(plan: Plan, node: int, shares: dict[int, bytes], is_right: Callable[[bytes], bool]) -> bytes:
    """The secret of `node` from its neighbours' shares, tolerating one wrong share where one is to spare."""
    neighbours, threshold = plan.neighbours[node], plan.cohort.threshold
    numbered = [(index, shares[holder]) for index, holder in enumerate(neighbours, start=1) if holder in shares]
    for subset in chain([numbered], combinations(numbered[: threshold + 1], threshold)):
        try:
            secret = combine(dict(subset), threshold, len(neighbours))
        except ProtocolError:
            continue
        if is_right(secret):
            return secret
    raise RoundFailed(
        f"Round {plan.cohort.round_id}: the shares of node {node} give no secret that it committed to; "
        "at least two of its holders, or the node itself, sent wrong ones. The round is discarded."
    )


def _is_committed(prepared: Prepared, node: int) -> Callable[[bytes], bool]:
    return lambda secret: commitment(secret, prepared.plan.cohort.round_id, node) == prepared.commitments[node]


def _is_key_of(advert: Advert) -> Callable[[bytes], bool]:
    return lambda secret: Agreement.from_secret(secret).public == advert.mask
