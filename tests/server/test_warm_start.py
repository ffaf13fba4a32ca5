"""Neural recommenders that begin at item factors of a closed form, over two small tenants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedrec.config import parse
from fedrec.config_training import WarmStart
from fedrec.content.features import catalogue_features
from fedrec.errors import ConfigError
from fedrec.messages import ARRAYS, BODY, AnyArray
from fedrec.models import ALS, PCA, ItemFeatures, fit, pooled_sum
from fedrec.models.neural.warm_start import warm_start
from fedrec.server.choosing import candidates_of
from fedrec.server.exchange import holdout_of
from fedrec.server.run import run
from fedrec.server.warm_start import LABEL, warm_start_of
from tests.federation import config_of, exchange_of, grid_of, two_tenants

TOWER, RESIDUAL = "items.tower.weight", "items.residual.weight"
MF = {"name": "mf", "dim": 3}
ONE_ROUND = {"rounds": 1, "local": {"learning_rate": 1e-9}}
ALS_OF_TWO = {"name": "als", "rank": 2, "sweeps": 2}


class Trained:
    """A run of `models`: the names of its trainings, and the first residuals of each phase as they were sent."""

    def __init__(self, folder: Path, models: list[dict[str, object]], **training: object) -> None:
        self.runs: dict[str, str] = {}
        self.first: dict[str, AnyArray] = {}
        self.towers: dict[str, AnyArray] = {}
        self.stores = two_tenants(folder / "tenants")
        config = config_of(models=models, training=ONE_ROUND | training)
        grid = grid_of(self.stores, self._watched)
        run(exchange_of(grid, config, folder), self.stores[0].dataset().catalogue, folder / "server")

    def _watched(self, message: Message) -> bool:
        if message.metadata.message_type == "train.local" and BODY in message.content:
            body = json.loads(str(message.content[BODY]["json"]))
            self.runs[body["phase"]] = body["run"]
            self.first[body["phase"]] = message.content[ARRAYS][RESIDUAL].numpy()
            self.towers[body["phase"]] = message.content[ARRAYS][TOWER].numpy()
        return False

    def fitted(self, algorithm: ALS | PCA, phase: str) -> dict[str, AnyArray]:
        """The closed form as it comes out of the rows of `phase` in one place."""
        splits = [store.split(holdout_of(config_of())) for store in self.stores]
        rows = [split.train if phase == "choose" else split.fit for split in splits]
        return dict(fit(algorithm, ItemFeatures(6), pooled_sum(rows)))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("warm"), [ALS_OF_TWO, MF], warm_start="als")


@pytest.mark.parametrize("phase", ["choose", "final"])
def test_training_begins_at_the_factors_that_were_fitted_in_the_same_phase(warm, phase):
    factors = warm.fitted(ALS(rank=2, sweeps=2), phase)["item_factors"]
    np.testing.assert_allclose(warm.first[phase], warm_start(factors, 3)[RESIDUAL], atol=1e-7)
    assert np.sqrt((warm.first[phase] ** 2).mean()) == pytest.approx(0.02, rel=1e-5)


def test_the_phases_begin_at_different_factors(warm):
    """The rows of `final` are those of `choose` and the validation items."""
    assert not np.allclose(warm.first["choose"], warm.first["final"])


def test_the_name_of_the_training_changes_with_the_option_and_with_what_fitted_the_start(warm, tmp_path):
    other = Trained(tmp_path / "other", [ALS_OF_TWO | {"sweeps": 3}, MF], warm_start="als")
    cold = Trained(tmp_path / "cold", [ALS_OF_TWO, MF])
    for phase in ("choose", "final"):
        assert len({warm.runs[phase], other.runs[phase], cold.runs[phase]}) == 3


def test_a_closed_form_that_is_not_in_the_run_is_fitted_for_it(tmp_path):
    """PCA is made as wide as the network, its vectors are orthonormal, and any rotation of them serves alike."""
    found = Trained(tmp_path, [MF], warm_start="pca")
    vectors = found.fitted(PCA(rank=3), "final")["components"]
    rows = found.first["final"].astype(np.float64)
    wanted = vectors @ vectors.T
    np.testing.assert_allclose(rows @ rows.T, wanted * np.trace(rows @ rows.T) / np.trace(wanted), atol=1e-6)
    assert not (tmp_path / "server" / "models" / LABEL).exists()


def test_the_first_components_are_kept_of_a_wider_pca(tmp_path):
    found = Trained(tmp_path, [{"name": "pca", "rank": 5}, MF], warm_start="pca")
    vectors = found.fitted(PCA(rank=5), "final")["components"][:, :3]
    rows = found.first["final"].astype(np.float64)
    wanted = vectors @ vectors.T
    np.testing.assert_allclose(rows @ rows.T, wanted * np.trace(rows @ rows.T) / np.trace(wanted), atol=1e-6)


def test_the_tower_begins_at_what_content_tells_of_the_factors(tmp_path):
    """Together with the residual it is the factor, and an item that nobody has had is its tower alone."""
    found = Trained(tmp_path, [ALS_OF_TWO, MF], warm_start="als", warm_tower=True)
    content = catalogue_features(found.stores[0].dataset().catalogue).content
    fitted = found.fitted(ALS(rank=2, sweeps=2), "choose")
    had = fitted["popularity"] > 0
    together = content @ found.towers["choose"].T + found.first["choose"]
    np.testing.assert_allclose(together[had], warm_start(fitted["item_factors"], 3)[RESIDUAL][had], atol=1e-6)
    assert not found.first["choose"][~had].any()
    assert np.abs(found.towers["choose"]).max() > 1e-3


@pytest.mark.parametrize(
    ("training", "model", "content", "message"),
    [
        ({}, MF, {}, "set training.warm_start to 'als' or 'pca'"),
        ({"warm_start": "als"}, MF, {"encoder": "none"}, "content.encoder to 'hashed'"),
        ({"warm_start": "als"}, MF | {"fusion": "gate"}, {}, "mf has fusion='gate'"),
    ],
)
def test_a_tower_that_nothing_can_begin_is_refused(training, model, content, message):
    config = config_of(models=[model], training=training | {"warm_tower": True}, content=content)
    with pytest.raises(ConfigError, match=message):
        warm_start_of(config, candidates_of(config.models[0]), ItemFeatures(6))


def started(models: list[dict[str, object]], name: WarmStart, num_items: int = 6, **changes: object):
    config = config_of(models=models, training={"warm_start": name}, **changes)
    candidates = [candidate for model in config.models for candidate in candidates_of(model)]
    return warm_start_of(config, candidates, ItemFeatures(num_items))


def test_what_is_fitted_for_it_is_as_wide_as_the_widest_network_but_narrower_than_the_catalogue():
    models = [MF, {"name": "gru", "dim": 5, "hidden": 4}]
    assert started(models, "pca", num_items=100).algorithm == PCA(rank=5)
    assert started(models, "pca", num_items=4).algorithm == PCA(rank=3)


def test_of_several_candidates_the_first_one_is_begun_from():
    start = started([{"name": "als", "rank": [4, 8]}, MF], "als")
    assert (start.label, start.algorithm) == ("als:0", ALS(rank=4))


def test_a_run_without_neural_recommenders_fits_nothing_more():
    assert started([{"name": "ease"}], "als") is None
    assert started([MF], "none") is None


def test_residuals_that_are_not_shared_cannot_be_begun_from():
    with pytest.raises(ConfigError, match="mf has residual='private'. Set it to 'shared'"):
        started([MF | {"residual": "private"}], "als")


def test_with_privacy_only_a_closed_form_that_the_run_pays_for_is_begun_from():
    privacy = {"epsilon": 8.0, "delta": 1e-6, "placement": "local"}
    assert started([ALS_OF_TWO, MF], "als", privacy=privacy).label == "als"
    with pytest.raises(ConfigError, match="add .*name = 'pca'"):
        started([ALS_OF_TWO, MF], "pca", privacy=privacy)


def test_a_closed_form_without_item_factors_is_refused_when_the_configuration_is_read():
    raw = {"data": {"dataset": "ml-100k"}, "models": [{"name": "mf"}], "training": {"warm_start": "ease"}}
    with pytest.raises(ConfigError, match="training.warm_start: Input should be 'none', 'als' or 'pca'"):
        parse(raw)
