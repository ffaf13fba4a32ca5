"""A tenant's part in a model of clicks: its rounds of training, and how well its held-out events are predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
from flwr.app import RecordDict

from fedrec.client.store import TenantStore
from fedrec.client.training import learn
from fedrec.contribution import Contribution
from fedrec.data import Dataset
from fedrec.data.arrays import BoolArray
from fedrec.errors import ModelError, ProtocolError
from fedrec.messages import AnyArray, answer, expecting
from fedrec.models.ctr import ClickPredictor, ClickProtocol, ClickRows, Clicks, WideDeep, WideDeepNetwork, measured
from fedrec.models.neural.network import arrays_of, put_arrays
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.privacy.release import Release
from fedrec.strategies.clicks import ARM, ClickBody, click_model
from fedrec.strategies.local_updates import TrainBody, update_words


def fit_clicks(
    model: WideDeep, dataset: Dataset, plan: LocalTraining | None = None, seed: int = 0, hold_out: bool = False
) -> ClickPredictor:
    """`model` trained on the rows of one dataset, ready to predict. hold_out: without the events of the test.

    The plan's `loss` and `negatives` say nothing here: labels are learnt by cross-entropy. Raises ModelError if all
    labels are the same.
    """
    rows, local = ClickRows.of(dataset, model), plan or LocalTraining()
    chosen = rows.split.fit if hold_out else np.ones(dataset.num_events, np.bool_)
    _check_labels(rows, chosen)
    network = model.build(dataset.num_items, 0, seed)
    learn(network, Clicks(rows, chosen, local.batch_size), local, Progress(seed))
    return ClickPredictor(model, arrays_of(network, tuple(network.state_dict())), dataset)


def train_clicks(body: TrainBody, arrays: Mapping[str, AnyArray], sent: RecordDict, store: TenantStore) -> RecordDict:
    """The answer to an instruction to train a model of clicks: the words of one bounded update, and nothing else.

    sent: the content of the instruction. Raises ProtocolError if the weights are not those of the model.
    """
    model, plan = click_model(body.params), body.training()
    rows, network = ClickRows.of(store.dataset(), model), _network(model, arrays)
    choosing = body.phase == "choose"
    task = Clicks(rows, rows.split.train if choosing else rows.split.fit, plan.batch_size)
    validate = _validation(rows) if choosing and plan.patience else None
    trained = learn(network, task, plan, body.progress(store.name), validate)
    words = update_words(body, sent, arrays_of(network, tuple(arrays)), (trained.users, trained.loss), store.name)
    return expecting(answer(words), *Release(body.codec().encoding(sent)).words)


def measure_clicks(body: ClickBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """How well the held-out events are predicted, as one bounded sum over users: the events for validation while
    something is chosen, otherwise those of the test, which ends all choosing in this run, here."""
    model, protocol = click_model(body.params), body.click_protocol()
    rows, network = ClickRows.of(store.dataset(), model), _network(model, arrays)
    if body.phase == "choose":
        store.check_choosing_allowed()
        return measured(network, rows, rows.split.validation, protocol).contribution()
    store.read_test()
    sums = measured(network, rows, rows.split.test, protocol)
    store.add_results(ARM, {model.name: asdict(sums.figures()) if rows.split.test.any() else {}})
    return sums.contribution()


def _network(model: WideDeep, arrays: Mapping[str, AnyArray]) -> WideDeepNetwork:
    """The network with the weights that came, all of them."""
    network = model.build(1, 0, 0)
    if set(network.state_dict()) != set(arrays):
        raise ProtocolError(f"Expected the weights of {model.name} and no others, got {len(arrays)} arrays.")
    try:
        put_arrays(network, arrays)
    except ModelError as error:
        raise ProtocolError(f"The weights are not those of the model: {error}") from error
    return network


def _validation(rows: ClickRows) -> Callable[[WideDeepNetwork], float]:
    """Minus the log-loss on the tenant's own validation; 0 if it has none."""

    def value(network: WideDeepNetwork) -> float:
        if not rows.split.validation.any():
            return 0.0
        return -measured(network, rows, rows.split.validation, ClickProtocol()).figures().log_loss

    return value


def _check_labels(rows: ClickRows, chosen: BoolArray) -> None:
    labels = rows.events.clicked[chosen]
    if labels.all() or not labels.any():
        raise ModelError(
            f"All events have the same label under click_at={rows.model.click_at:g}, so there is nothing to learn; "
            "give events with other weights, or another click_at."
        )
