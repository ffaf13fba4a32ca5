"""From a question for recommendations to its answer: whose rows, which model, which items, and why."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from fedrec.cli.run_folder import RunFolder
from fedrec.cli.serving import chosen_by
from fedrec.cli.visiting import Visit, visit
from fedrec.client.store import TenantStore
from fedrec.data import Catalogue
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.errors import ConfigError, UnknownUser
from fedrec.models import ClosedForm, Explanation, Recommendation, Recommender
from fedrec.models.ids import MAX_SEARCHED

MOST_REASONS = 3
MOST_NAMES = 8


@dataclass(frozen=True)
class Question:
    """`user` is given, or else `items`, an `interest`, or both."""

    user: str | None
    items: tuple[str, ...] | None
    tenant: str | None
    model: str | None
    number: int
    explain: bool
    interest: str | None = None


@dataclass(frozen=True)
class Reason:
    """An item of the history and what it adds to a score."""

    item_id: str
    text: str | None
    share: float
    weight: float  # between 0 and 1: its part in all that speaks for the recommendation


@dataclass(frozen=True)
class Item:
    """One recommendation. because: the largest shares of its score, None where they were not asked for."""

    item_id: str
    text: str | None
    score: float
    base: float = 0.0
    because: tuple[Reason, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """A list, best first, with how it came about. history: of a visitor; a user's is not repeated. served_by: the arm
    that the tenant chose for itself, None where it was not asked or chose nothing. leads: whether this one leads the
    fused list that the tenant chose, and is shown instead, since its scores have shares of single items."""

    model: str
    is_choice: bool
    tenant: str | None
    user: str | None
    history: tuple[str, ...]
    items: tuple[Item, ...]
    interest: str | None = None
    served_by: str | None = None
    leads: bool = False


def answer(run: RunFolder, question: Question) -> Answer:
    """Recommend.

    Raises:
        ConfigError: the question names both a user and a visitor, or neither, or an unknown tenant or model.
        UnknownUser: no tenant has the user.
        UnknownItem: an item is not in the catalogue.
    """
    check_subject(question)
    store = _store(run, question)
    leading = _leading(store, question)
    kept = chosen_by(run, store) if store is not None and question.model is None and leading is None else None
    name, arm, recommender = kept or _asked_for(run, leading or question.model)
    if store is not None and arm in (None, "federated"):
        recommender = _at(recommender, store)
    if question.user is not None and store is not None:
        recommender = recommender.attach(store.dataset())
    served = Visit(name, recommender, read_catalogue_file(run.path / "catalogue.parquet"), question.items or ())
    if question.user is None:
        served = visit(served, question.interest, run, may_change=question.model is None)
    subject = list(served.history) if question.user is None else question.user
    found = _list(served.recommender, subject, question.number, store)
    why = partial(served.recommender.explain, subject) if question.explain else None
    return Answer(
        model=served.name,
        is_choice=question.model is None and leading is None and served.name == name,
        tenant=None if store is None else store.name,
        user=question.user,
        history=question.items or (),
        items=tuple(shown(one, served.catalogue, why) for one in found),
        interest=question.interest,
        served_by=arm if served.name == name else None,
        leads=leading is not None and served.name == leading,
    )


def _leading(store: TenantStore | None, question: Question) -> str | None:
    """The recommender that leads the fused list of the tenant's choice, where that list is to be explained."""
    choice = None if store is None or question.model is not None else store.choice()
    return choice[0] if question.explain and choice is not None and choice[1] == "fused" else None


def check_subject(question: Question) -> None:
    """Raises ConfigError unless the question is for a user or for a visitor."""
    if (question.user is None) == (question.items is None and question.interest is None):
        raise ConfigError("Give either --user ID, or for a visitor --items a,b,c or --interest WORDS.")


def _asked_for(run: RunFolder, model: str | None) -> tuple[str, str | None, Recommender]:
    name, recommender = run.model(model)
    return name, None, recommender


def _at(recommender: Recommender, store: TenantStore) -> Recommender:
    """The recommender with what the tenant learnt of it and kept to itself."""
    model = recommender.algorithm
    if isinstance(model, ClosedForm) or not model.private:
        return recommender
    from fedrec.client.local_training import with_private  # torch, for models that use it

    return replace(recommender, weights=with_private(cast(Any, model), recommender.weights, store))


def _list(
    recommender: Recommender, subject: str | list[str], number: int, store: TenantStore | None
) -> list[Recommendation]:
    """The best items that the tenant sells; without a tenant, of the whole catalogue."""
    sold = None if store is None else store.assortment()
    candidates = None if sold is None else [recommender.item_ids[int(position)] for position in np.flatnonzero(sold)]
    if isinstance(subject, str):
        return recommender.recommend(subject, number, candidates=candidates)
    return recommender.recommend_to_items(subject, number, candidates=candidates)


def shown(one: Recommendation, catalogue: Catalogue, why: Callable[[str], Explanation] | None) -> Item:
    """A recommendation with the item's text and, where they are asked for, its reasons."""
    text = catalogue.text[catalogue.positions([one.item_id])[0]]
    if why is None:
        return Item(one.item_id, text, one.score)
    explanation = why(one.item_id)
    shares = [share for share in explanation.shares if share.share > 0]
    speaks_for_it = sum(share.share for share in shares) + max(0.0, explanation.base)
    texts = [catalogue.text[position] for position in catalogue.positions([share.item_id for share in shares])]
    reasons = [
        Reason(share.item_id, shown, share.share, share.share / speaks_for_it)
        for share, shown in zip(shares, texts, strict=True)
    ]
    return Item(one.item_id, text, one.score, explanation.base, tuple(reasons[:MOST_REASONS]))


def _store(run: RunFolder, question: Question) -> TenantStore | None:
    """The tenant that is asked: the one that is named, else the one that has the user."""
    if question.user is None:
        return None if question.tenant is None else run.tenant(question.tenant)
    user = question.user
    asked = None if question.tenant is None else run.tenant(question.tenant)
    having = [store for store in run.tenants() if user in store.dataset().interactions.user_ids]
    if asked is not None and asked not in having:
        elsewhere = f" It is a user of {_names(having)}." if having else _nearest(user, [asked])
        raise UnknownUser(f"{asked.name} has no user '{user}'.{elsewhere}")
    if asked is None and not having:
        raise UnknownUser(f"No tenant of {run.path} has a user '{user}'.{_nearest(user, run.tenants())}")
    if asked is None and len(having) > 1:
        raise ConfigError(f"User '{user}' is at {len(having)} tenants: {_names(having)}; choose one with --tenant.")
    return asked or having[0]


def _names(stores: Sequence[TenantStore]) -> str:
    shown = ", ".join(store.name for store in stores[:MOST_NAMES])
    return shown + (", ..." if len(stores) > MOST_NAMES else "")


def _nearest(user: str, stores: Sequence[TenantStore]) -> str:
    """The ids most like `user`, each with a tenant that has it."""
    tenant_of = {known: store.name for store in stores for known in store.dataset().interactions.user_ids}
    near = difflib.get_close_matches(user, tenant_of, n=3, cutoff=0.5) if len(tenant_of) <= MAX_SEARCHED else []
    if not near:
        example = next(iter(tenant_of), None)
        return "" if example is None else f" Ids look like '{example}'."
    return " Nearest: " + ", ".join(f"'{one}' ({tenant_of[one]})" for one in near) + "."
