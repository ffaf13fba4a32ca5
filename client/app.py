"""The ClientApp: what a tenant answers. The same on every engine, from one process to SuperNodes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedrec.client.contributing import contribute
from fedrec.client.party import open_party, open_state
from fedrec.client.scoring import score
from fedrec.client.secure import SecureSums
from fedrec.client.store import TenantStore, open_store
from fedrec.contribution import Contribution
from fedrec.errors import FedrecError, ProtocolError, Refusal
from fedrec.messages import Body, ContributeBody, ScoreBody, answer, expecting, read_instruction, refusal
from fedrec.privacy.release import release_of

log = logging.getLogger("fedrec.client")
app = ClientApp(mods=[SecureSums(open_party, open_state)])


@app.train("contribute")
def on_contribute(message: Message, context: Context) -> Message:
    """Statistics over the tenant's users."""
    return _reply(message, context, lambda store: _contribute(message, store))


@app.train("local")
def on_train(message: Message, context: Context) -> Message:
    """One round of training on the tenant's rows."""
    return _reply(message, context, lambda store: _trained(message, store))


@app.evaluate("score")
def on_score(message: Message, context: Context) -> Message:
    """Metric sums over the tenant's held-out items."""
    return _reply(message, context, lambda store: _score(message, store))


def _contribute(message: Message, store: TenantStore) -> RecordDict:
    body, arrays = read_instruction(message, ContributeBody)
    return _released(contribute(body, arrays, store), body)


def _trained(message: Message, store: TenantStore) -> RecordDict:
    from fedrec.client.local_training import train_reply  # torch, for runs that use it

    return train_reply(message, store)


def _score(message: Message, store: TenantStore) -> RecordDict:
    body, arrays = read_instruction(message, ScoreBody)
    return _released(score(body, arrays, store), body)


def _released(contribution: Contribution, body: Body) -> RecordDict:
    release = release_of(contribution.layout, body.capacity.max_clients, body.capacity.max_users)
    return expecting(answer(release.prepare(contribution)), *release.words)


def _reply(message: Message, context: Context, handle: Callable[[TenantStore], RecordDict]) -> Message:
    """Answer, or decline with a typed reason. The text of an error stays here: it may quote a row."""
    try:
        content = handle(open_store(context))
    except Refusal as error:
        log.warning("refused reason=%s detail=%s", error.reason, error.detail)
        content = refusal(error.reason, error.detail)
    except ProtocolError as error:
        log.warning("refused reason=malformed-instruction detail=%s", error)
        content = refusal("malformed-instruction", "the instruction is not one of this protocol version")
    except FedrecError as error:
        log.error("failed error=%s", error)
        content = refusal(type(error).__name__, "the tenant's own log says more")
    except Exception:
        log.exception("failed unexpectedly")
        content = refusal("internal-error", "the tenant's own log says more")
    return Message(content, reply_to=message)
