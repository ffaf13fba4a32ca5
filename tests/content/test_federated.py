"""Content in a federation: the sums travel, the content does not, and tenants must agree on the encoder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from fedrec.content.features import catalogue_features
from fedrec.content.hashed import HashedEncoder
from fedrec.errors import ModelError, RoundFailed
from fedrec.messages import ARRAYS, BODY, REFUSAL, ModelSpec
from fedrec.models import ContentMap, fit, parameters_of, pooled_sum
from fedrec.models.protocols import EncoderId
from fedrec.server.choosing import Candidate
from fedrec.server.fitting import fit_federated
from fedrec.server.scoring import score_arm
from tests.federation import config_of, exchange_of, grid_of, two_tenants

MODEL = ContentMap(rank=3, whitening="users")


def test_a_federated_map_equals_that_of_one_table(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    weights = fit_federated(exchange, {"map": MODEL}, items, "final")["map"]
    rows = [store.split(exchange.holdout).fit for store in stores]
    pooled = fit(MODEL, items, pooled_sum(rows))
    scores = [MODEL.scores(found, rows[0]) for found in (weights, pooled)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    assert EncoderId.of(weights) == HashedEncoder().identity


def test_no_content_is_sent_and_every_sum_over_it_names_the_encoder(tmp_path):
    asked: list[RecordDict] = []

    def watch(message: Message) -> bool:
        if not message.metadata.reply_to_message_id:
            asked.append(message.content)
        return False

    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores, lost=watch), config_of(), tmp_path)
    fit_federated(exchange, {"map": MODEL}, catalogue_features(stores[0].dataset().catalogue), "final")
    bodies = [json.loads(str(content[BODY]["json"])) for content in asked]
    encoder = {"name": "hashed", "digest": HashedEncoder().digest}
    assert [body["encoder"] for body in bodies] == [None, None, *[encoder] * 4]  # counts, moments, profiles
    for content in asked:
        assert not [name for name in content[ARRAYS] if name.endswith("content")]


def test_a_tenant_with_another_encoder_refuses_and_names_both(tmp_path):
    refused: list[RecordDict] = []

    def watch(message: Message) -> bool:
        if REFUSAL in message.content:
            refused.append(message.content)
        return False

    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores, lost=watch), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    newer = replace(items, encoder=EncoderId("hashed", "of another version"))
    with pytest.raises(RoundFailed):
        fit_federated(exchange, {"map": MODEL}, newer, "final")
    assert {content[REFUSAL]["reason"] for content in refused} == {"encoder-mismatch"}
    detail = str(refused[0][REFUSAL]["detail"])
    assert "hashed of another version" in detail
    assert str(HashedEncoder().identity) in detail


def test_content_that_nobody_can_encode_again_is_not_summed(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    items = replace(catalogue_features(stores[0].dataset().catalogue), encoder=None)
    with pytest.raises(ModelError, match="nothing says which encoder made it"):
        fit_federated(exchange, {"map": MODEL}, items, "final")


def test_a_model_of_another_encoder_is_not_scored(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    weights = fit_federated(exchange, {"map": MODEL}, catalogue_features(stores[0].dataset().catalogue), "final")["map"]
    candidate = Candidate("map", MODEL.name, parameters_of(MODEL))
    specs, counts = [ModelSpec(label="map", name=MODEL.name, candidates=(candidate.params,))], weights["popularity"]
    summary = score_arm(exchange, "federated", specs, {"map": (candidate, weights)}, counts, "choose")["map"]
    assert np.isfinite(summary["all"]["NDCG@2"]["mean"])
    newer = {**weights, **EncoderId("hashed", "of another version").as_weight()}
    with pytest.raises(RoundFailed):
        score_arm(exchange, "federated", specs, {"map": (candidate, newer)}, counts, "choose")
    both = {"map": (candidate, weights), "newer": (candidate, newer)}
    with pytest.raises(ModelError, match=f"content of {HashedEncoder().identity} and hashed of another version"):
        score_arm(exchange, "federated", specs, both, counts, "choose")
