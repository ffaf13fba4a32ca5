"""What a saved model says of itself, and of the content that it was made from."""

import json
import math
from pathlib import Path

import pytest

from fedrec.content import ContentCard, content_card
from fedrec.content.card_file import CARD, read_card, write_card
from fedrec.content.features import catalogue_features
from fedrec.data import leave_last_out, marketplace
from fedrec.data.synthetic import Marketplace
from fedrec.errors import ModelError
from fedrec.models import load, pooled_sum

MARKET = {"num_tenants": 3, "num_users": 90, "num_items": 60, "mean_events": 12}
CONFIG = """
name = "described"
[data]
dataset = "synthetic"
synthetic = { num_tenants = 3, num_users = 90, num_items = 60, mean_events = 12 }
[tenants]
split = "by_user_attribute"
attribute = "tenant"
[evaluation]
bootstrap = 0
[federation]
arms = ["federated"]
[[models]]
name = "popularity"
[[models]]
name = "content_knn"
"""


@pytest.fixture(scope="module")
def models(fedrec, tmp_path_factory) -> Path:
    """The models of a run with content."""
    path = tmp_path_factory.mktemp("described") / "described.toml"
    path.write_text(CONFIG)
    result = fedrec("simulate", path, "--out", path.parent / "run", "--quiet")
    assert result.exit_code == 0, result.output
    return path.parent / "run" / "server" / "models"


def test_the_card_of_a_run_is_that_of_all_rows_in_one_place(fedrec, models):
    dataset = marketplace(Marketplace(**MARKET), seed=0)
    fit = leave_last_out(dataset.histories()).fit
    expected = content_card(catalogue_features(dataset.catalogue), pooled_sum([fit]))
    card = read_card(models / "content_knn", load(models / "content_knn").encoder)
    assert card is not None
    assert card.encoder == expected.encoder
    for mine, whole in zip(card.fields, expected.fields, strict=True):
        assert (mine.name, mine.known, mine.variety, mine.users) == (
            whole.name, whole.known, whole.variety, whole.users,
        )  # fmt: skip
        assert mine.relevance == pytest.approx(whole.relevance, abs=1e-6)  # fixed point
    assert not (models / "popularity" / CARD).exists()


def test_a_saved_model_shows_its_encoder_and_which_fields_help(fedrec, models):
    folder = models / "content_knn"
    shown = json.loads(fedrec("model", folder, "--json").stdout)
    encoder = load(folder).encoder
    assert encoder is not None
    assert shown["encoder"] == {"name": encoder.name, "digest": encoder.digest}
    assert (shown["recommender"], shown["items"], shown["users_on_board"]) == ("content_knn", 60, 0)
    for field in shown["content"]["fields"]:
        above = (field["relevance"] - 0.5) * math.sqrt(field["users"])
        assert (field["name"] in shown["content"]["helps"]) == (above > 1.5)
    text = fedrec("model", folder).stdout
    assert encoder.digest in text.replace("\n", "").replace(" ", "").replace("│", "")
    assert "relevance" in text


def test_a_model_of_ids_has_no_encoder_and_no_card(fedrec, models):
    shown = json.loads(fedrec("model", models / "popularity", "--json").stdout)
    assert shown["encoder"] is None
    assert "content" not in shown


def test_a_folder_without_a_model_is_one_line_and_exit_code_2(fedrec, tmp_path):
    result = fedrec("model", tmp_path)
    assert result.exit_code == 2
    assert "There is no model" in result.stderr


def test_a_card_reads_back_and_a_damaged_or_strange_one_is_refused(models, tmp_path):
    encoder = load(models / "content_knn").encoder
    card = read_card(models / "content_knn", encoder)
    assert isinstance(card, ContentCard)
    write_card(tmp_path, card)
    assert read_card(tmp_path, encoder) == card
    with pytest.raises(ModelError, match="is about content of the encoder hashed"):
        read_card(tmp_path, None)
    content = (tmp_path / CARD).read_bytes()
    for damaged in (b"", content[:-9], content.replace(b'"known"', b'"unknown"')):
        (tmp_path / CARD).write_bytes(damaged)
        with pytest.raises(ModelError, match="damaged"):
            read_card(tmp_path, encoder)
