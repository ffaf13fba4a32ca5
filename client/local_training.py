"""One round of federated training at a tenant: the shared weights in, one bounded vector out.

Private weights stay in the tenant's folder, one file a round, so that a run that is resumed finds those of the round
before:

<store>/private/<run>-<round>.safetensors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from flwr.app import Message, RecordDict

from fedrec.client.clicks import train_clicks
from fedrec.client.content import features_of, read_for
from fedrec.client.devices import due, pay
from fedrec.client.guard import Guard, guard_of
from fedrec.client.kept import read_arrays, write_arrays
from fedrec.client.noised import prepared
from fedrec.client.rehearsal import rehearse, steps_or_noise
from fedrec.client.store import TenantStore
from fedrec.client.summing import bounded
from fedrec.client.training import LocalRows, Validate, check_private, train
from fedrec.data import Fold, Histories
from fedrec.errors import ConfigError, ModelError, ProtocolError, Refusal
from fedrec.messages import AnyArray, ScoreBody, answer, expecting, part, ranking_protocol
from fedrec.metrics import evaluate
from fedrec.models import ItemFeatures, Weights
from fedrec.models.ctr import WideDeep
from fedrec.models.neural.items import seen_only
from fedrec.models.neural.network import Network, arrays_of, put_arrays
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import (
    CONTENT,
    POPULARITY,
    RESIDUAL,
    NeuralModel,
    network_scores,
    public_weights,
    restored,
    run_of,
    tensor_of,
)
from fedrec.models.protocols import Float32Array, Float64Array, Scoring
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.release import Release
from fedrec.strategies.local_updates import TrainBody, update_words

PRIVATE, MOMENTS = "private", "moments"
SEEN = "seen"
"""Kept beside private weights: which items the tenant trained them on."""
MOST_WEIGHT = 1e4
KEPT_ROUNDS = 2  # the last one, and the one before it for a round that is repeated after a crash


def train_reply(message: Message, store: TenantStore) -> RecordDict:
    """The answer to a `TRAIN` instruction: the words of one bounded update, and nothing else.

    Raises ProtocolError for an instruction that is none, Refusal or ModelError if the tenant will or can not train.
    """
    body, arrays = read_for(message, TrainBody, store)
    guard, terms, release = guard_of(store), body.terms(), body.release(message.content)
    _check_noise(guard, terms, body, release)
    if body.phase == "choose":
        store.check_choosing_allowed()
    if body.model == WideDeep.name:
        return train_clicks(body, arrays, message.content, store)
    model, plan = body.recommender(), body.training()
    items = _items(body, store)
    network = _network(body, model, arrays, items, store)
    if guard is not None:
        _check_size(arrays)
    split = store.split(body.holdout)
    choosing = body.phase == "choose"
    rows = LocalRows(split.train if choosing else split.fit, items.content, store.assortment())
    validate = _validation(body, model, rows, split.validation) if choosing and plan.patience else None
    moments, progress = part(private_arrays(store, body.run, body.round), MOMENTS), body.progress(store.name)
    if guard is not None and terms is not None:
        if not isinstance(terms, SumTerms) or terms.devices is None:
            rows = rehearse(network, model, rows, plan, terms)
        pay(guard, body, release)
    if isinstance(terms, SumTerms):
        words = prepared(release, lambda: bounded(network, model, rows, plan, terms, progress))
        return expecting(answer(words), *release.words)
    if terms is None:
        trained = train(network, model, rows, plan, progress, validate, moments)
    else:
        network, trained = steps_or_noise(
            lambda: _network(body, model, arrays, items, store),
            rows,
            lambda fresh, some: train(fresh, model, some, plan, progress, None, moments, terms),
        )
    kept = {f"{MOMENTS}/{name}": value for name, value in trained.moments.items()}
    _keep_private(store, body, _own(network, model, rows.histories) | kept)
    update = arrays_of(network, tuple(arrays))
    figures = (trained.users, trained.loss) if terms is None else None
    words = update_words(body, message.content, update, figures, store.name)
    return expecting(answer(words), *release.words)


def _check_size(arrays: Mapping[str, AnyArray]) -> None:
    """Raises ProtocolError for weights so large that what becomes of a user's row would be no number."""
    if not all(bool((np.abs(value) <= MOST_WEIGHT).all()) for value in arrays.values()):
        raise ProtocolError(f"Expected weights of at most {MOST_WEIGHT:g} in size.")


def _check_noise(guard: Guard | None, terms: StepTerms | SumTerms | None, body: TrainBody, release: Release) -> None:
    """Refuses an instruction whose noise is not what the tenant insists on, or that nobody here would account for."""
    if guard is None:
        if terms is not None:
            raise Refusal("no-privacy-policy", "this tenant has no privacy policy and ledger for a private run")
        return
    if isinstance(terms, SumTerms):
        guard.check_shared(release, terms, due(guard, body, release))
    else:
        guard.check_steps(terms)
    if body.model == WideDeep.name or body.training().patience:
        raise Refusal("noise-required", "there is no noise for models of clicks, nor for when to stop training")
    if isinstance(terms, StepTerms):
        check_private(body.training(), terms)
    if isinstance(terms, SumTerms) and body.recommender().private:
        raise Refusal("noise-required", "private weights would carry what users did into later rounds without noise")


def private_arrays(store: TenantStore, run: str, before_round: int | None = None) -> dict[str, AnyArray]:
    """What the tenant kept after its last round of the run, or its last before `before_round`: private weights and,
    below `MOMENTS`, what the optimizer remembers; nothing before its first."""
    rounds = [path for path in _kept(store, run) if before_round is None or _round_of(path) < before_round]
    return read_arrays(rounds[-1]) if rounds else {}


def with_private(model: NeuralModel, shared: Weights, store: TenantStore) -> Weights:
    """The released weights, and the private ones that the tenant kept of the run that they are from.

    A tenant that never trained has none: it describes items by their content alone, as it does those items that it has
    never seen. Raises Refusal without content.
    """
    run = run_of(shared)
    own = {} if run is None else private_arrays(store, run)
    if not set(model.private) <= set(own) and CONTENT not in shared:
        raise Refusal("never-trained", f"the tenant has no private weights of {model.name}, nor have items content")
    mine = {name: own[name] for name in model.private if name in own}
    if CONTENT in shared and RESIDUAL in mine:
        mine[RESIDUAL] = seen_only(mine[RESIDUAL], own[SEEN])
    return {**shared, **mine}


def _items(body: TrainBody, store: TenantStore) -> ItemFeatures:
    """What the instruction has the network know of the items."""
    if body.content and body.encoder is None:
        raise ProtocolError("The instruction is to train on content and names no encoder.")
    return features_of(store, body.encoder if body.content else None)


def _own(network: Network, model: NeuralModel, rows: Histories) -> dict[str, AnyArray]:
    """The private weights as they are kept, if there are any."""
    if not model.private:
        return {}
    seen = np.bincount(rows.items, minlength=rows.num_items) > 0
    return {**arrays_of(network, model.private), SEEN: seen}


def _network(
    body: TrainBody, model: NeuralModel, arrays: dict[str, AnyArray], items: ItemFeatures, store: TenantStore
) -> Network:
    """The network with the shared weights that came, and the tenant's own private ones."""
    network = model.build(items.num_items, items.widths.tolist(), body.holdout.seed)
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


def weights_alone(model: NeuralModel, rows: Histories, store: TenantStore, body: ScoreBody) -> Weights:
    """The recommender as the tenant can train it without anyone else."""
    items = features_of(store, body.encoder)
    network = model.build(items.num_items, items.widths.tolist(), body.holdout.seed)
    alone = Progress(body.holdout.seed, client=store.name)
    train(network, model, LocalRows(rows, items.content, store.assortment()), _plan(body), alone)
    counts = np.bincount(rows.items, minlength=items.num_items)
    return arrays_of(network, tuple(network.state_dict())) | public_weights(items, counts)


def scorer(model: Scoring, weights: Weights) -> Callable[[Histories], Float32Array]:
    """The scores of histories, by a network that is made once. Raises NotFitted for weights of another model."""
    neural = cast(NeuralModel, model)
    network, content = restored(neural, weights)
    return lambda history: network_scores(network, content, history, neural.max_length, weights[POPULARITY])


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
