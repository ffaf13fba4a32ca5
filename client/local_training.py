"""One round of federated training at a tenant: the shared weights in, one bounded vector out.

Private weights stay in the tenant's folder, one file a round, so that a run that is resumed finds those of the round
before:

<store>/private/<run>-<round>.safetensors
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict

from fedrec.client.clicks import train_clicks
from fedrec.client.kept import read_arrays, write_arrays
from fedrec.client.store import TenantStore
from fedrec.client.training import LocalRows, Validate, train
from fedrec.content.features import catalogue_features
from fedrec.data import Fold, Histories
from fedrec.errors import ConfigError, ModelError, ProtocolError, Refusal
from fedrec.messages import AnyArray, ScoreBody, answer, expecting, part, ranking_protocol, read_instruction
from fedrec.metrics import evaluate
from fedrec.models import ItemFeatures, Weights
from fedrec.models.ctr import WideDeep
from fedrec.models.neural.network import Network, arrays_of, put_arrays
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import (
    CONTENT,
    NeuralModel,
    network_scores,
    public_weights,
    restored,
    run_of,
    tensor_of,
)
from fedrec.models.protocols import Float32Array, Float64Array
from fedrec.privacy.release import Release
from fedrec.strategies.local_updates import TrainBody, update_words

PRIVATE, MOMENTS = "private", "moments"
KEPT_ROUNDS = 2  # the last one, and the one before it for a round that is repeated after a crash


def train_reply(message: Message, store: TenantStore) -> RecordDict:
    """The answer to a `TRAIN` instruction: the words of one bounded update, and nothing else.

    Raises ProtocolError for an instruction that is none, Refusal or ModelError if the tenant will or can not train.
    """
    body, arrays = read_instruction(message, TrainBody)
    if body.phase == "choose":
        store.check_choosing_allowed()
    if body.model == WideDeep.name:
        return train_clicks(body, arrays, message.content, store)
    model, plan = body.recommender(), body.training()
    content = features_of(store).content if body.content else None
    network = _network(body, model, arrays, content, store)
    split = store.split(body.holdout)
    choosing = body.phase == "choose"
    rows = LocalRows(split.train if choosing else split.fit, content, store.assortment())
    validate = _validation(body, model, rows, split.validation) if choosing and plan.patience else None
    moments = part(private_arrays(store, body.run, body.round), MOMENTS)
    trained = train(network, model, rows, plan, body.progress(store.name), validate, moments)
    kept = {f"{MOMENTS}/{name}": value for name, value in trained.moments.items()}
    _keep_private(store, body, arrays_of(network, model.private) | kept)
    update = arrays_of(network, tuple(arrays))
    words = update_words(body, message.content, update, trained.users, trained.loss, store.name)
    return expecting(answer(words), *Release(body.codec().encoding(message.content)).words)


def features_of(store: TenantStore) -> ItemFeatures:
    """The items as the tenant's own copy of the public catalogue describes them."""
    return _features(store.folder)


def private_arrays(store: TenantStore, run: str, before_round: int | None = None) -> dict[str, AnyArray]:
    """What the tenant kept after its last round of the run, or its last before `before_round`: private weights and,
    below `MOMENTS`, what the optimizer remembers; nothing before its first."""
    rounds = [path for path in _kept(store, run) if before_round is None or _round_of(path) < before_round]
    return read_arrays(rounds[-1]) if rounds else {}


def with_private(model: NeuralModel, shared: Weights, store: TenantStore) -> Weights:
    """The released weights, and the private ones that the tenant kept of the run that they are from.

    A tenant that never trained has none: it describes items by their content alone. Raises Refusal without content.
    """
    run = run_of(shared)
    own = {} if run is None else private_arrays(store, run)
    if not set(model.private) <= set(own) and CONTENT not in shared:
        raise Refusal("never-trained", f"the tenant has no private weights of {model.name}, nor have items content")
    return {**shared, **{name: own[name] for name in model.private if name in own}}


def _network(
    body: TrainBody, model: NeuralModel, arrays: dict[str, AnyArray], content: Float32Array | None, store: TenantStore
) -> Network:
    """The network with the shared weights that came, and the tenant's own private ones."""
    width = 0 if content is None else content.shape[1]
    network = model.build(store.dataset().num_items, width, body.holdout.seed)
    missing = set(network.state_dict()) - set(arrays) - set(model.private)
    if missing or set(arrays) & set(model.private):
        raise ProtocolError(f"Expected the shared weights of {model.name} and no others; {len(missing)} are missing.")
    kept = private_arrays(store, body.run, body.round)
    own = {name: kept[name] for name in model.private if name in kept}
    try:
        put_arrays(network, arrays | own)
    except ModelError as error:
        raise ProtocolError(f"The weights are not those of the model: {error}") from error
    return network


def _keep_private(store: TenantStore, body: TrainBody, arrays: dict[str, AnyArray]) -> None:
    """Write the private weights after this round; forget what no resumed run can ask for."""
    if not arrays:
        return
    write_arrays(store.folder / PRIVATE / f"{body.run}-{body.round:06d}.safetensors", arrays)
    kept = _kept(store, body.run)
    of_now = [path for path in kept if _round_of(path) <= body.round][-KEPT_ROUNDS:]
    for path in set(kept) - set(of_now):
        path.unlink(missing_ok=True)


def _kept(store: TenantStore, run: str) -> list[Path]:
    return sorted((store.folder / PRIVATE).glob(f"{run}-*.safetensors"))


def _round_of(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _validation(body: TrainBody, model: NeuralModel, rows: LocalRows, fold: Fold) -> Validate:
    """The run's headline metric on the tenant's own validation."""
    counts = np.bincount(rows.histories.items, minlength=rows.histories.num_items)

    def value(network: Network) -> float:
        measured = measure(network, model, rows.content, fold, counts, body).mean()
        return float(measured) if np.isfinite(measured) else 0.0

    return value


def measure(
    network: Network,
    model: NeuralModel,
    content: Float32Array | None,
    fold: Fold,
    counts: AnyArray,
    body: TrainBody,
) -> Float64Array:
    """(num_evaluated,) the run's headline metric of each user of `fold`. counts: (num_items,) for empty histories."""

    def scores(start: int, stop: int) -> Float32Array:
        part: Histories = fold.history.select(np.arange(start, stop))
        return network_scores(network, tensor_of(content), part, model.max_length, counts)

    protocol = ranking_protocol(body.holdout)
    return evaluate(scores, fold.history, fold.targets, item_counts=counts, protocol=protocol).of(body.holdout.headline)


@lru_cache(maxsize=64)
def _features(folder: Path) -> ItemFeatures:
    return catalogue_features(TenantStore(folder).dataset().catalogue)


def weights_alone(model: NeuralModel, rows: Histories, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as the tenant can train it without anyone else."""
    items = features_of(store)
    width = 0 if items.content is None else items.content.shape[1]
    network = model.build(items.num_items, width, body.holdout.seed)
    alone = Progress(body.holdout.seed, client=store.name)
    train(network, model, LocalRows(rows, items.content, store.assortment()), _plan(body), alone)
    counts = np.bincount(rows.items, minlength=items.num_items)
    return arrays_of(network, tuple(network.state_dict())) | public_weights(items, counts)


def weights_tuned(
    model: NeuralModel, federated: Weights, rows: Histories, store: TenantStore, body: ScoreBody
) -> Weights:
    """`federated` after some steps on the tenant's own rows. All its parameters move, and none leaves the tenant."""
    network, _ = restored(model, federated)
    mine = LocalRows(rows, federated.get(CONTENT), store.assortment())
    train(network, model, mine, _plan(body), Progress(body.holdout.seed, client=store.name))
    return {**federated, **arrays_of(network, tuple(network.state_dict()))}


def _plan(body: ScoreBody) -> LocalTraining:
    """How to train. Raises ProtocolError if the instruction does not say."""
    values: dict[str, Any] = dict(body.training or {})
    try:
        return LocalTraining(**values)
    except (ConfigError, TypeError) as error:
        raise ProtocolError(f"The instruction holds no plan of this fedrec: {error}") from error
