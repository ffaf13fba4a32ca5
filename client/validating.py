"""Validation with noise: what candidates reach for the tenant's own users, as one bounded sum.

Protects each user's result from the server, which names the candidates and sends their weights, and may do both to find
something out. So whatever it sends,
- no user's part is longer than `strategies.validation` says: it is cut to that;
- no user changes the part of another: each is ranked alone, down to the last bits of a score, and a candidate that has
  something of the tenant's own rows in it is refused;
- no answer is withheld because of somebody's rows: a user for whom weights give no scores is ranked as by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec.client.guard import validation_of
from fedrec.client.recommenders import measure
from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution
from fedrec.data import Fold, Histories
from fedrec.errors import ProtocolError, Refusal
from fedrec.messages import AnyArray, ModelSpec, part
from fedrec.metrics.ranks import ScoreFn
from fedrec.models import ClosedForm, Weights, create
from fedrec.models.protocols import Float64Array, Scoring
from fedrec.strategies.validation import ValidateBody, contribution_of

OfHistory = Callable[[Histories], NDArray[np.floating]]


def title(body: ValidateBody) -> str:
    """The release in the words of the ledger."""
    return f"round {body.round}: {validation_of(body.candidates)}"


def check_candidates(body: ValidateBody, arrays: Mapping[str, AnyArray]) -> None:
    """Refuses what is not validation, or has other candidates than it plans for. Reads no row."""
    if body.phase != "choose":
        raise ProtocolError("Validation belongs to the phase 'choose'; nothing is chosen afterwards.")
    labels = [spec.label for spec in body.models]
    if len(set(labels)) != body.candidates or len(labels) != body.candidates:
        detail = f"{len(labels)} candidates, planned are {body.candidates}; the noise is for as many as are planned"
        raise Refusal("candidates-mismatch", detail)
    if any(len(spec.candidates) != 1 for spec in body.models) or not {_owner(name) for name in arrays} <= set(labels):
        raise ProtocolError("Expected the weights of candidates, each with fixed hyper-parameters.")
    if any(create(spec.name, spec.candidates[0]).private for spec in body.models):
        raise Refusal("private-weights", "a candidate is made from this tenant's rows, so one user changes all results")


def validate(body: ValidateBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """The sums over validation users, once `check_candidates` let it pass. Private until noise is added."""
    fold = store.split(body.holdout).validation
    return contribution_of([_values(spec, part(arrays, spec.label), fold, body, store) for spec in body.models])


def _values(spec: ModelSpec, weights: Weights, fold: Fold, body: ValidateBody, store: TenantStore) -> Float64Array:
    """(num_users,) the headline metric of each user who is ranked."""
    model = create(spec.name, spec.candidates[0])
    counts = np.ones(fold.history.num_items)  # for figures that nobody asks for here
    return measure(_alone(model, weights, fold), fold, counts, store, body.holdout).of(body.holdout.headline)


def _alone(model: Scoring, weights: Weights, fold: Fold) -> ScoreFn:
    """The scores of each user of a fold, whoever else is in it. What cannot be ranked comes last."""
    of_history = _scorer(model, weights)

    def scores(start: int, stop: int) -> NDArray[np.floating]:
        found = np.full((stop - start, fold.history.num_items), -np.inf)
        for row, user in enumerate(range(start, stop)):
            found[row] = _of_one(of_history, fold.history.select(np.array([user])))
        return found

    return scores


def _of_one(of_history: OfHistory, history: Histories) -> NDArray[np.float64]:
    """(num_items,) the scores of the only user of `history`."""
    nothing = np.full(history.num_items, -np.inf)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.asarray(of_history(history), dtype=np.float64)
    except Exception:  # an error that depends on a user's rows must not become an answer about them
        return nothing
    if found.shape != (1, history.num_items):
        return nothing
    return np.where(np.isnan(found[0]), -np.inf, found[0])


def _scorer(model: Scoring, weights: Weights) -> OfHistory:
    """Scores of histories; a network is built once for all of them. Raises FedrecError for weights of another model."""
    if isinstance(model, ClosedForm):
        return lambda history: model.scores(weights, history)
    from fedrec.client.local_training import scorer  # torch, for runs that use it

    return scorer(model, weights)


def _owner(name: str) -> str:
    return name.rpartition("/")[0]
