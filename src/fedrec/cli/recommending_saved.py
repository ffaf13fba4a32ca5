"""Recommendations by a saved model at a tenant that was not in the run, from the tenant's own rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fedrec.cli.recommending import Answer, Question, check_subject, shown
from fedrec.cli.visiting import Visit, visit
from fedrec.data import Catalogue, Dataset
from fedrec.errors import ConfigError
from fedrec.models import load
from fedrec.models.new_tenant import for_tenant


def answer_saved(folder: Path, rows: Dataset | None, question: Question) -> Answer:
    """Recommend by the model in `folder`. rows: the tenant's; without them there are visitors only.

    Raises:
        ConfigError: the question names something that only a run has, or needs rows that are not given.
        ModelError: there is no model, or it cannot serve this tenant, see `for_tenant`.
    """
    check_subject(question)
    for given, option in ((question.tenant, "--tenant"), (question.model, "--model")):
        if given is not None:
            raise ConfigError(f"{option} names a part of a run; --saved is one model, for the rows of --data.")
    if question.user is not None and rows is None:
        raise ConfigError("--user needs the rows that the user is in; give --data, or a visitor's --items.")
    model = load(folder)
    name, had = model.algorithm.name, question.items or ()
    if rows is None:
        return _answered(Visit(name, model, Catalogue.of_ids(model.item_ids), had), question, None)
    return _answered(Visit(name, for_tenant(model, rows), rows.catalogue, had), question, rows.name)


def _answered(asked: Visit, question: Question, tenant: str | None) -> Answer:
    if question.user is None:
        asked = visit(asked, question.interest, None, may_change=True)
        found = asked.recommender.recommend_to_items(asked.history, question.number)
        why = partial(asked.recommender.explain, list(asked.history))
    else:
        found = asked.recommender.recommend(question.user, question.number)
        why = partial(asked.recommender.explain, question.user)
    return Answer(
        model=asked.name,
        is_choice=False,
        tenant=tenant,
        user=question.user,
        history=question.items or (),
        items=tuple(shown(one, asked.catalogue, why if question.explain else None) for one in found),
        interest=question.interest,
    )
