"""A published flaw, rebuilt: negatives drawn from "all items except train and held-out" give the answer away.

Some code for federated recommendation samples a user's negatives from the items that the user meets neither
in training nor in the held-out part. A model that trains on one user alone, and so can know nothing about
items it never saw, then pushes down every item but the held-out one. On ML-100K this gives HR@10 .945 without
any federation.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.data.holdout import Fold, Split, leave_last_out
from fedrec.errors import FedrecError
from fedrec.metrics import RankingProtocol, evaluate
from fedrec.rng import derive

NUM_USERS, NUM_ITEMS, HISTORY = 120, 300, 25
PROTOCOL = RankingProtocol(num_bootstrap=0)

Pool = Callable[[int], np.ndarray]


def histories() -> Histories:
    """Items without any structure: whatever is above chance was leaked."""
    rng = derive(11, "synthetic histories")
    rows = [rng.choice(NUM_ITEMS, HISTORY, replace=False).tolist() for _ in range(NUM_USERS)]
    return Histories.from_lists(rows, NUM_ITEMS)


def honest_pool(train: Histories) -> Pool:
    """Negatives as a trainer that has only its training histories can draw them."""
    return lambda user: np.setdiff1d(np.arange(NUM_ITEMS), train.row(user))


def leaking_pool(train: Histories, held_out: Fold) -> Pool:
    """The flaw: the held-out item is known, and spared."""
    return lambda user: np.setdiff1d(honest_pool(train)(user), held_out.targets.row(user))


def local_scores(train: Histories, pool: Pool) -> np.ndarray:
    """(num_users, num_items): for each user alone, a pointwise logistic model with one weight per item.

    Binary cross-entropy, 40 epochs of one step on the user's positives and four times as many negatives.
    """
    scores = np.empty((train.num_users, NUM_ITEMS))
    for user in range(train.num_users):
        rng = derive(12, "local training", user)
        weights = rng.normal(0.0, 0.01, NUM_ITEMS)
        positives, negatives = train.row(user), pool(user)
        for _ in range(40):
            drawn = rng.choice(negatives, 4 * len(positives))
            np.add.at(weights, positives, 0.1 / (1 + np.exp(weights[positives])))
            np.add.at(weights, drawn, -0.1 / (1 + np.exp(-weights[drawn])))
        scores[user] = weights
    return scores


def hit_rate(scores: np.ndarray, fold: Fold) -> float:
    metrics = evaluate(
        lambda start, stop: scores[start:stop],
        fold.history,
        fold.targets,
        item_counts=np.ones(NUM_ITEMS),
        protocol=PROTOCOL,
    )
    return float(metrics.of("HR@10").mean())


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_last_out(histories())


@pytest.fixture(scope="module")
def test_fold(split: Split) -> Fold:
    fold = split.open_test()
    assert fold.users.tolist() == list(range(NUM_USERS))  # rows of the fold are rows of `fit`
    return fold


def test_negatives_that_spare_the_held_out_item_give_it_away(split: Split, test_fold: Fold) -> None:
    scores = local_scores(split.fit, leaking_pool(split.fit, test_fold))
    assert hit_rate(scores, test_fold) > 0.9


def test_negatives_from_the_training_fold_alone_leave_chance(split: Split, test_fold: Fold) -> None:
    # chance is 10/276 = .036: more than 20 hits of 120 users has probability about 1e-8
    scores = local_scores(split.fit, honest_pool(split.fit))
    assert hit_rate(scores, test_fold) < 20 / NUM_USERS


def test_what_a_trainer_is_given_holds_no_held_out_item(split: Split, test_fold: Fold) -> None:
    for user in range(NUM_USERS):
        held_out, chosen_on = test_fold.targets.row(user)[0], split.validation.targets.row(user)[0]
        assert held_out not in split.fit.row(user)
        assert held_out not in split.validation.history.row(user)
        assert not {held_out, chosen_on} & set(split.train.row(user).tolist())


def test_histories_carry_nothing_but_their_own_events(split: Split) -> None:
    names = {field.name for field in dataclasses.fields(Histories)}
    assert names == {"indptr", "items", "num_items", "times", "roots"}
    for given in (split.train, split.fit):
        for array in (given.items, given.times, given.roots):
            if array is not None:
                backing = array if array.base is None else array.base
                assert np.asarray(backing).size == given.num_events  # no window onto a longer array


def test_the_test_fold_is_not_lying_about(test_fold: Fold) -> None:
    fresh = leave_last_out(histories())
    public = {name for name in vars(fresh) if not name.startswith("_")}
    assert public == {"train", "validation", "fit"}
    assert fresh.open_test().targets.items.tolist() == test_fold.targets.items.tolist()
    with pytest.raises(FedrecError, match="already opened"):
        fresh.open_test()
