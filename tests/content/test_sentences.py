"""Sentence vectors, with a small model that counts letters and, where the extra is installed, with MiniLM."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fedrec.content.hashed import HashedEncoder
from fedrec.content.minilm import PACKAGE, MiniLM, minilm_encoder
from fedrec.content.sentences import SentenceEncoder, sentence_of
from fedrec.content.vector_cache import KEYS_AT_A_TIME, VectorCache
from fedrec.data.catalogue import Catalogue
from fedrec.errors import ModelError

HAS_TEXT = bool(find_spec(PACKAGE) and find_spec("transformers"))
with_text = pytest.mark.skipif(not HAS_TEXT, reason="the extra [text] is not installed")
CATALOGUE = Catalogue(
    ("a", "b", "c", "d"), ("Red scarf", "Red scarf", None, None), (("wool",), (), ("wool",), ()), np.full(4, np.nan)
)


@dataclass(frozen=True)
class Letters:
    """A frozen model with a vector for each sentence: how often it has each of three letters."""

    letters: str = "ers"
    asked: list[str] = field(default_factory=list, compare=False)

    name = "letters"
    width = 3

    @property
    def digest(self) -> str:
        return self.letters

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        self.asked.extend(sentences)
        return np.array([[one.count(letter) for letter in self.letters] for one in sentences], np.float32)


def encoder(folder: Path, letters: str = "ers") -> SentenceEncoder:
    return SentenceEncoder(Letters(letters), cache=folder / "vectors.sqlite")


def test_a_sentence_is_the_text_and_then_the_categories() -> None:
    assert sentence_of("Jaws", ("Action", "Horror")) == "Jaws. Action, Horror"
    assert (sentence_of(None, ("Action",)), sentence_of("Jaws", ()), sentence_of(None, ())) == ("Action", "Jaws", "")


def test_sentences_stand_before_the_hashed_fields_and_are_masked_where_there_are_none(tmp_path: Path) -> None:
    vectors = encoder(tmp_path).encode(CATALOGUE)
    assert [(one.name, one.width) for one in encoder(tmp_path).fields[:2]] == [("sentence", 3), ("text", 384)]
    direction = np.array([1, 1, 1]) / 3**0.5  # one e, r and s each in "Red scarf"
    np.testing.assert_allclose(vectors[1, :3] / np.linalg.norm(vectors[1, :3]), direction, atol=1e-3)
    assert not vectors[3].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1.0, rtol=1e-6)


def test_no_sentence_is_encoded_twice(tmp_path: Path) -> None:
    first, again = encoder(tmp_path), encoder(tmp_path)
    vectors = first.encode(CATALOGUE)
    assert first.model.asked == ["Red scarf. wool", "Red scarf", "wool"]
    np.testing.assert_array_equal(again.encode(CATALOGUE), vectors)
    assert again.model.asked == []
    other = encoder(tmp_path, letters="abc")
    other.encode(CATALOGUE.subset([1]))
    assert other.model.asked == ["Red scarf"]


def test_digest_changes_with_the_model_and_with_every_setting(tmp_path: Path) -> None:
    encoders = [
        encoder(tmp_path),
        encoder(tmp_path, "abc"),
        SentenceEncoder(Letters(), sentence_weight=2.0),
        SentenceEncoder(Letters(), base=HashedEncoder()),
    ]
    assert len({one.digest for one in encoders}) == 4
    assert encoder(tmp_path).digest == encoder(tmp_path / "elsewhere").digest


def test_the_cache_gives_back_many_vectors_and_leaves_out_those_of_another_width(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "c.sqlite", 2)
    many = {bytes([i // 256, i % 256]): np.float32([i, -i]) for i in range(KEYS_AT_A_TIME + 7)}
    cache.write(many)
    found = cache.read([*many, b"unknown"])
    assert {key: value.tolist() for key, value in found.items()} == {k: v.tolist() for k, v in many.items()}
    assert VectorCache(tmp_path / "c.sqlite", 3).read(many) == {}


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ModelError, match=r"vectors\.sqlite cannot be used .* remove it"):
        encoder(tmp_path).encode(CATALOGUE)


def test_the_cache_is_a_table_of_keys_and_vectors(tmp_path: Path) -> None:
    encoder(tmp_path).encode(CATALOGUE)
    with sqlite3.connect(tmp_path / "vectors.sqlite") as database:
        assert database.execute("SELECT count(*), max(length(vector)) FROM vectors").fetchone() == (3, 12)


@pytest.mark.skipif(HAS_TEXT, reason="the extra [text] is installed")
def test_without_the_extra_one_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pip install 'fedrec\[text\]'"):
        minilm_encoder(tmp_path / "c.sqlite").encode(CATALOGUE)


def test_minilm_has_its_digest_without_being_installed() -> None:
    assert minilm_encoder().identity.name == "minilm"
    assert MiniLM().digest == MiniLM().digest
    assert minilm_encoder().digest != HashedEncoder().digest


@with_text
def test_minilm_knows_what_words_mean(tmp_path: Path) -> None:
    text = ("Red wool scarf", "Scarlet woollen shawl", "Garden hose")
    catalogue = Catalogue(("a", "b", "c"), text, ((),) * 3, np.full(3, np.nan))
    sentences = minilm_encoder(tmp_path / "c.sqlite").modalities(catalogue)[0].vectors
    assert sentences[0] @ sentences[1] > sentences[0] @ sentences[2] + 0.4


@with_text
def test_minilm_gives_a_sentence_one_vector_in_any_batch() -> None:
    together = MiniLM().embed(["Red wool scarf", "a much longer sentence about something else " * 5, "tea"])
    np.testing.assert_allclose(MiniLM().embed(["Red wool scarf"])[0], together[0], atol=1e-5)
