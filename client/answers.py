"""What a tenant answered when an arm was scored on its test: kept, so that a server that lost it may ask again.

    <store>/answers/<arm>.safetensors   the words that were sent, or were about to be. SECRET: they are not masked

The test is read once: the same question gets the same words, which tell a server nothing new, and any other question
about the arm is refused. The round number is no part of the question, the models and the protocol are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from flwr.app import RecordDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedrec.client.store import TenantStore
from fedrec.contribution import Words
from fedrec.errors import ModelError, Refusal
from fedrec.files import write_bytes
from fedrec.messages import AnyArray, Body, answer, content_digest, expected, expecting, instruction, read_answer

ANSWERS = "answers"
_QUESTION, _BOUND = "question", "bound"


def answered_once(
    store: TenantStore, arm: str, body: Body, arrays: Mapping[str, AnyArray], make: Callable[[], RecordDict]
) -> RecordDict:
    """The answer that was given to this question before, or the one that `make` makes, which is kept before it leaves.

    arm: what `body` has the tenant score.
    Raises Refusal if another question about the arm was answered.
    """
    if arm not in store.results():  # an answer that did not leave: results are noted before it is made
        (store.folder / ANSWERS / f"{arm}.safetensors").unlink(missing_ok=True)
    return repeated(store, arm, body, arrays, make)


def repeated(
    store: TenantStore, title: str, body: Body, arrays: Mapping[str, AnyArray], make: Callable[[], RecordDict]
) -> RecordDict:
    """The one answer about `title` as long as the rows stay what they are. Raises Refusal if it was to another
    question."""
    path = store.folder / ANSWERS / f"{title}.safetensors"
    question = _question(body, arrays)
    if path.exists():
        return _kept(path, question)
    content = make()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_bytes(path, _packed(content, question), mode=0o600)
    return content


def _question(body: Body, arrays: Mapping[str, AnyArray]) -> str:
    return content_digest(instruction(body.model_copy(update={"round": 1}), arrays)).hex()


def _packed(content: RecordDict, question: str) -> bytes:
    words, bound = read_answer(content), expected(content)[2]
    packed: bytes = save({"u32": words.u32, "u64": words.u64}, metadata={_QUESTION: question, _BOUND: repr(bound)})
    return packed


def _kept(path: Path, question: str) -> RecordDict:
    try:
        with safe_open(path, framework="numpy") as file:
            noted = dict(file.metadata() or {})
            words = Words(*(np.array(file.get_tensor(name)) for name in ("u32", "u64")))
            asked, bound = noted[_QUESTION], float(noted[_BOUND])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}; start a new run.") from error
    if asked != question:
        raise Refusal("arm-already-scored", f"{path.stem} was scored on these rows; they are read once")
    return expecting(answer(words), words.u32.size, words.u64.size, bound)
