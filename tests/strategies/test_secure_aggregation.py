"""Secure aggregation around Flower's own strategies, for an app that knows nothing of recommenders."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedrec.client.secure import SecureSums
from fedrec.errors import ConfigError, Refusal, RoundFailed
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.simulations.grid import InProcessGrid
from fedrec.strategies.secure_aggregation import SecureAggregation
from fedrec.strategies.updates import UpdateCodec

NODES = range(1, 6)
IDENTITIES = {node: Identity.generate() for node in NODES}
ROSTER = Roster(tuple(Member(node, IDENTITIES[node].public, f"node-{node}") for node in NODES))
CODEC = UpdateCodec(clip_norm=100.0, max_weight=100.0, metrics={"train_loss": 10.0}, max_clients=8)
START = {"w": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), "b": np.array([0.5], np.float32)}


def open_party(context: Context, run: bytes) -> Party:
    return Party(IDENTITIES[context.node_id], context.node_id, ROSTER, Policy(min_cohort=3, min_degree=2), run)


def app_of(*mods) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        """Node n adds n to every weight and weighs 10 n."""
        node = context.node_id
        arrays = {name: Array(a.numpy() + np.float32(node)) for name, a in message.content["arrays"].items()}
        metrics = MetricRecord({"num-examples": 10 * node, "train_loss": 1.0 / node, "secret": 7.0})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        metrics = MetricRecord({"num-examples": 10, "eval_loss": 1.0})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def grid_of(app: ClientApp, lost=lambda message: False) -> InProcessGrid:
    return InProcessGrid(app, {node: {} for node in NODES}, {}, lost)


def arrays() -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in START.items()})


def inner(kind=FedAvg, **options):
    return kind(fraction_evaluate=0.0, min_available_nodes=5, min_train_nodes=5, **options)


@pytest.mark.parametrize("kind", [FedAvg, FedAdam])
def test_the_model_is_the_one_that_the_inner_strategy_makes_alone(kind):
    plain = inner(kind).start(grid_of(app_of()), arrays(), num_rounds=3)
    strategy = SecureAggregation(inner(kind), ROSTER, CODEC)
    secure = strategy.start(grid_of(app_of(SecureSums(open_party, codec=CODEC))), arrays(), num_rounds=3)
    for name in START:
        np.testing.assert_allclose(secure.arrays[name].numpy(), plain.arrays[name].numpy(), rtol=1e-4, atol=1e-5)


def test_the_server_gets_the_weighted_mean_and_only_named_metrics():
    strategy = SecureAggregation(inner(), ROSTER, CODEC)
    result = strategy.start(grid_of(app_of(SecureSums(open_party, codec=CODEC))), arrays(), num_rounds=1)
    # Weights 10, 20, 30, 40, 50: mean step (10*1 + 20*2 + 30*3 + 40*4 + 50*5) / 150 = 55/15; loss 50/150.
    np.testing.assert_allclose(result.arrays["b"].numpy(), [0.5 + 55 / 15], rtol=1e-5)
    metrics = dict(result.train_metrics_clientapp[1])
    assert set(metrics) == {"train_loss"}
    assert metrics["train_loss"] == pytest.approx(50 / 150, abs=1e-4)


def test_a_failed_round_leaves_the_model_and_the_next_one_counts():
    told: list[str] = []

    def lose_until_discarded(message: Message) -> bool:
        return "discarded" not in told and message.metadata.src_node_id in (2, 3, 4)

    strategy = SecureAggregation(inner(), ROSTER, CODEC, listener=lambda event, fields: told.append(event))
    grid = grid_of(app_of(SecureSums(open_party, codec=CODEC)), lose_until_discarded)
    result = strategy.start(grid, arrays(), num_rounds=2)
    assert told.count("discarded") == 1
    np.testing.assert_allclose(result.arrays["b"].numpy(), [0.5 + 55 / 15], rtol=1e-5)


def test_a_failed_round_can_end_the_run():
    strategy = SecureAggregation(inner(), ROSTER, CODEC, discard_failed=False)
    grid = grid_of(
        app_of(SecureSums(open_party, codec=CODEC)), lambda message: message.metadata.src_node_id in (2, 3, 4)
    )
    with pytest.raises(RoundFailed):
        strategy.start(grid, arrays(), num_rounds=1)


def sent() -> RecordDict:
    return RecordDict({"arrays": arrays(), "config": ConfigRecord({"lr": 0.1})})


def reply(step: float, weight: float = 10.0, **metrics: float) -> RecordDict:
    after = {name: Array(value + np.float32(step)) for name, value in START.items()}
    record = MetricRecord({"num-examples": weight, "train_loss": 1.0, **metrics})
    return RecordDict({"arrays": ArrayRecord(after), "metrics": record})


def test_a_long_update_is_clipped_to_the_norm():
    codec = UpdateCodec(clip_norm=1.0, max_weight=10.0)
    decoded = codec.decode(sent(), codec.encode(sent(), reply(50.0)))
    step = np.concatenate([decoded["arrays"][n].numpy().ravel() - START[n].ravel() for n in START])
    assert np.linalg.norm(step) == pytest.approx(1.0, abs=1e-3)


def test_a_weight_above_the_limit_counts_as_the_limit():
    codec = UpdateCodec(clip_norm=100.0, max_weight=10.0)
    decoded = codec.decode(sent(), codec.encode(sent(), reply(1.0, weight=1e9)))
    assert decoded["metrics"]["num-examples"] == pytest.approx(10.0)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(weight):
    with pytest.raises(Refusal, match="num-examples"):
        CODEC.encode(sent(), reply(1.0, weight=weight))


def test_an_update_that_is_not_finite_is_refused():
    with pytest.raises(Refusal, match="not finite"):
        CODEC.encode(sent(), reply(float("nan")))


def test_an_answer_with_other_arrays_is_refused():
    other = reply(1.0)
    other["arrays"] = ArrayRecord({"w": Array(np.zeros(3, np.float32))})
    with pytest.raises(Refusal, match="arrays"):
        CODEC.encode(sent(), other)


def test_rounding_is_repeated_with_a_generator_and_drawn_afresh_without_one():
    """400 coordinates half a step off the grid; false alarm: 2^-400."""
    codec = UpdateCodec(clip_norm=100.0, max_weight=1.0, max_clients=1)
    step = codec.encoding(sent()).grid[0].block.resolution
    metrics = MetricRecord({"num-examples": 1})
    before, after = (
        RecordDict({"arrays": ArrayRecord({"w": Array(np.full(400, value))}), "metrics": metrics})
        for value in (0.0, 7.5 * step)
    )
    seeded = [codec.encode(before, after, np.random.default_rng(5)).u32 for _ in range(2)]
    fresh = [codec.encode(before, after).u32 for _ in range(2)]
    assert np.array_equal(*seeded)
    assert not np.array_equal(*fresh)


def test_a_sum_without_weight_is_a_failed_round():
    words = CODEC.encode(sent(), reply(1.0, weight=0.0))
    with pytest.raises(RoundFailed, match="weight 0"):
        CODEC.decode(sent(), words)


def test_bounds_must_be_positive():
    with pytest.raises(ConfigError):
        UpdateCodec(clip_norm=0.0)
