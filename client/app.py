"""The ClientApp: what a tenant answers. The same on every engine, from one process to SuperNodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedrec.client.answers import answered_once, repeated
from fedrec.client.content import read_for
from fedrec.client.contributing import contribute, layout_of, statistics_of
from fedrec.client.guard import guard_of
from fedrec.client.incoming import rows_of_run
from fedrec.client.noised import noised_answer
from fedrec.client.party import open_party, open_state
from fedrec.client.scoring import score
from fedrec.client.secure import SecureSums, storage_failed
from fedrec.client.store import TenantStore, open_store
from fedrec.client.validating import check_candidates, title, validate
from fedrec.contribution import Contribution
from fedrec.errors import FedrecError, ProtocolError, Refusal
from fedrec.messages import (
    Body,
    ContributeBody,
    ScoreBody,
    answer,
    expecting,
    phase_of,
    refusal,
)
from fedrec.strategies.asked import asked_release
from fedrec.strategies.validation import ValidateBody
from fedrec.strategies.validation import layout_of as layout_of_validation

log = logging.getLogger("fedrec.client")
app = ClientApp(mods=[SecureSums(open_party, open_state)])


@app.train("contribute")
def on_contribute(message: Message, context: Context) -> Message:
    """Statistics over the tenant's users."""
    return _reply(message, context, lambda store: _contribute(message, store), noised=True)


@app.train("local")
def on_train(message: Message, context: Context) -> Message:
    """One round of training on the tenant's rows."""
    return _reply(message, context, lambda store: _trained(message, store), noised=True)


@app.evaluate("score")
def on_score(message: Message, context: Context) -> Message:
    """Metric sums over the tenant's held-out items."""
    return _reply(message, context, lambda store: _score(message, store))


@app.evaluate("validate")
def on_validate(message: Message, context: Context) -> Message:
    """What candidates reach on the tenant's validation, with noise."""
    return _reply(message, context, lambda store: _validated(message, store), noised=True)


@app.evaluate("fresh")
def on_fresh(message: Message, context: Context) -> Message:
    """Metric sums over what the tenant's users did since the run before."""
    return _reply(message, context, lambda store: _fresh(message, store))


@app.evaluate("clicks")
def on_clicks(message: Message, context: Context) -> Message:
    """Metric sums of a model of clicks over the tenant's held-out events."""
    return _reply(message, context, lambda store: _clicks(message, store))


def _contribute(message: Message, store: TenantStore) -> RecordDict:
    body, arrays = read_for(message, ContributeBody, store)
    statistics, guard = statistics_of(body, arrays, store), guard_of(store)
    if guard is None:
        if body.noise is not None:
            raise Refusal("no-privacy-policy", "this tenant has no privacy policy and ledger for a private run")
        return _released(contribute(body, statistics, store), body)
    what = f"round {body.round}: " + ", ".join(statistic.name for statistic in statistics)
    _check_phase(body, store)
    return noised_answer(body, guard, what, layout_of(statistics), partial(contribute, body, statistics, store))


def _validated(message: Message, store: TenantStore) -> RecordDict:
    body, arrays = read_for(message, ValidateBody, store)
    guard = guard_of(store)
    if guard is None:
        raise Refusal("no-privacy-policy", "this tenant has no privacy policy and ledger for a private run")
    check_candidates(body, arrays)
    layout = layout_of_validation(body.candidates)
    _check_phase(body, store)
    return noised_answer(body, guard, title(body), layout, partial(validate, body, arrays, store))


def _check_phase(body: Body, store: TenantStore) -> None:
    if body.phase == "choose":
        store.check_choosing_allowed()


def _trained(message: Message, store: TenantStore) -> RecordDict:
    from fedrec.client.local_training import train_reply  # torch, for runs that use it

    return train_reply(message, store)


def _score(message: Message, store: TenantStore) -> RecordDict:
    body, arrays = read_for(message, ScoreBody, store)
    if body.phase == "choose":
        return _released(score(body, arrays, store), body)
    return answered_once(store, body.arm, body, arrays, lambda: _released(score(body, arrays, store), body))


def _fresh(message: Message, store: TenantStore) -> RecordDict:
    from fedrec.client.fresh import score_fresh
    from fedrec.strategies.fresh import FreshBody

    body, arrays = read_for(message, FreshBody, store)
    return repeated(store, "fresh", body, arrays, lambda: _released(score_fresh(body, arrays, store), body))


def _clicks(message: Message, store: TenantStore) -> RecordDict:
    from fedrec.client.clicks import measure_clicks  # torch, for runs that use it
    from fedrec.strategies.clicks import ARM, ClickBody

    body, arrays = read_for(message, ClickBody, store)
    if body.phase == "choose":
        return _released(measure_clicks(body, arrays, store), body)
    return answered_once(store, ARM, body, arrays, lambda: _released(measure_clicks(body, arrays, store), body))


def _released(contribution: Contribution, body: Body) -> RecordDict:
    release = asked_release(contribution.layout, body)
    return expecting(answer(release.prepare(contribution)), *release.words)


def _check_unnoised(message: Message, store: TenantStore) -> None:
    guard = guard_of(store)
    if guard is not None:
        guard.check_unnoised(message.metadata.message_type, phase_of(message))


def _reply(
    message: Message, context: Context, handle: Callable[[TenantStore], RecordDict], noised: bool = False
) -> Message:
    """Answer, or decline with a typed reason. The text of an error stays here: it may quote a row.

    noised: the handler asks the tenant's guard itself; any other is refused by a tenant that releases noised sums only.
    """
    try:
        store = open_store(context)
        with rows_of_run(store, context):
            if not noised:
                _check_unnoised(message, store)
            content = handle(store)
    except Refusal as error:
        log.warning("refused reason=%s detail=%s", error.reason, error.detail)
        content = refusal(error.reason, error.detail)
    except ProtocolError as error:
        log.warning("refused reason=malformed-instruction detail=%s", error)
        content = refusal("malformed-instruction", "the instruction is not one of this protocol version")
    except FedrecError as error:
        log.error("failed error=%s", error)
        content = refusal(type(error).__name__, "the tenant's own log says more")
    except OSError as error:
        content = storage_failed(error)
    except Exception:
        log.exception("failed unexpectedly")
        content = refusal("internal-error", "the tenant's own log says more")
    return Message(content, reply_to=message)
