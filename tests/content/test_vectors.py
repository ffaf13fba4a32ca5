"""Vectors from a tenant's file: read, checked, projected, and left out where an item has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from fedrec.content import HashedEncoder, WithVectors, read_vectors
from fedrec.content.vectors import MAX_WIDTH, projected
from fedrec.data.catalogue import Catalogue
from fedrec.errors import ConfigError, DataError
from fedrec.rng import derive

IDS = ["b", "a", "z"]
VECTORS = np.float32([[0, 3], [4, 0], [5, 5]])
CATALOGUE = Catalogue(("a", "b", "c"), ("tea", None, "rake"), ((),) * 3, np.full(3, np.nan))


def npz(path: Path, ids: list[str], vectors: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), item_id=np.array(ids), vector=vectors)
    return path.with_suffix(".npz")


def parquet(path: Path, ids: list[str], vectors: np.ndarray) -> Path:
    pq.write_table(pa.table({"item_id": ids, "vector": vectors.tolist()}), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def safetensors(path: Path, ids: list[str], vectors: np.ndarray) -> Path:
    save_file(dict(zip(ids, vectors, strict=True)), path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


SIGNS = [-1, -1, 1, -1, -1, -1, -1, 1]
"""Of the first row of the public projection of 200 coordinates."""

every_kind = pytest.mark.parametrize("write", [npz, parquet, safetensors])
Write = Callable[[Path, list[str], np.ndarray], Path]


@every_kind
def test_vectors_go_to_their_items_and_others_have_none(write: Write, tmp_path: Path) -> None:
    file = read_vectors(write(tmp_path / "images", IDS, VECTORS))
    assert file.rows(CATALOGUE).tolist() == [[4, 0], [0, 3], [0, 0]]
    encoder = WithVectors(HashedEncoder(), file)
    vectors = encoder.encode(CATALOGUE)
    assert encoder.name == "hashed+image"
    assert vectors[1].tolist() == [0.0] * 544 + [0.0, 1.0]  # only the image is known
    assert vectors[0, 544:] == pytest.approx([0.5**0.5, 0])
    np.testing.assert_array_equal(vectors[2, :544], HashedEncoder().encode(CATALOGUE)[2])


def test_files_differ_unless_their_source_is_what_counts(tmp_path: Path) -> None:
    one, other = npz(tmp_path / "one", IDS, VECTORS), npz(tmp_path / "other", ["c"], VECTORS[:1])

    def digest(path: Path, source: str | None = None) -> str:
        return WithVectors(HashedEncoder(), read_vectors(path, source=source)).digest

    assert digest(one) == digest(one) != digest(other)
    assert digest(one, "clip 1") == digest(other, "clip 1") != digest(one, "clip 2")
    assert WithVectors(HashedEncoder(), read_vectors(one), weight=2.0).digest != digest(one)


def test_wide_vectors_are_projected_alike_everywhere_and_keep_their_angles() -> None:
    wide = derive(0, "wide").standard_normal((60, 700))
    narrow = projected(wide).astype(np.float64)
    assert narrow.shape == (60, MAX_WIDTH)
    np.testing.assert_array_equal(projected(wide[3:4])[0], projected(wide)[3])
    unit, short = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (wide, narrow))
    error = (short @ short.T - unit @ unit.T)[np.triu_indices(60, 1)]
    assert np.abs(error).max() < 6 / MAX_WIDTH**0.5  # 1,770 normal errors of 1 / sqrt(128): false alarm below 1e-5
    assert projected(np.eye(200))[0, :8].tolist() == pytest.approx((np.array(SIGNS) / MAX_WIDTH**0.5).tolist())


@pytest.mark.parametrize(
    ("ids", "vectors", "problem"),
    [
        (["a", "a"], np.ones((2, 2)), "an item is there twice"),
        (["a", "b"], np.array([[1.0, np.nan], [1, 1]]), "not a finite number"),
        (["a"], np.ones((2, 2)), "1 items and vectors of shape"),
        (["a"], np.ones((1, 0)), "1 items and vectors of shape"),
        (["a"], np.ones((1, 2), np.int64), "not a finite number"),
        (["a"], np.array([["x", "y"]]), "not a finite number"),
        (["a"], np.array([[{}, {}]], dtype=object), "cannot be read as vectors"),
    ],
)
def test_what_is_not_one_finite_vector_for_each_item_is_refused(ids, vectors, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        read_vectors(npz(tmp_path / "wrong", ids, vectors))


@every_kind
def test_damaged_bytes_are_refused(write: Write, tmp_path: Path) -> None:
    path = write(tmp_path / "images", IDS, VECTORS)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"\x00" * len(content)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read as vectors"):
            read_vectors(path)


def test_other_kinds_of_file_and_missing_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"")
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "half.parquet")
    with pytest.raises(DataError, match=r"read from \.npz, \.parquet, \.safetensors, not from '\.pkl'"):
        read_vectors(tmp_path / "x.pkl")
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(tmp_path / "missing.npz")
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(tmp_path / "half.parquet")


def test_a_field_needs_a_weight(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected weight=0 > 0"):
        WithVectors(HashedEncoder(), read_vectors(npz(tmp_path / "v", IDS, VECTORS)), weight=0)
