"""A checkpoint is whole or refused."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.errors import ConfigError, FedrecError, ModelError
from fedrec.server.checkpoint import CHECKPOINT, Checkpoint, read_checkpoint

RUN = "0123456789abcdef"
MODEL = {"b": np.array([[1.5, -2.0]], np.float32), "a": np.array(3.0)}
MEMORY = {"m_t/b": np.array([[0.25, 0.5]], np.float32)}


def written(folder) -> bytes:
    Checkpoint(RUN, 7, MODEL, MEMORY, ({"round": 7, "loss": 0.5},)).write(folder)
    return (folder / CHECKPOINT).read_bytes()


def test_a_checkpoint_is_read_back_in_the_order_of_names(tmp_path):
    written(tmp_path)
    found = read_checkpoint(tmp_path, RUN)
    assert found is not None
    assert (found.run, found.round, found.history) == (RUN, 7, ({"round": 7, "loss": 0.5},))
    assert list(found.model) == ["a", "b"]
    assert {name: value.dtype for name, value in found.model.items()} == {"a": np.float64, "b": np.float32}
    np.testing.assert_array_equal(found.model["b"], MODEL["b"])
    np.testing.assert_array_equal(found.memory["m_t/b"], MEMORY["m_t/b"])


def test_without_a_file_there_is_no_checkpoint(tmp_path):
    assert read_checkpoint(tmp_path, RUN) is None


def test_only_one_file_is_left_behind(tmp_path):
    written(tmp_path)
    written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_another_runs_checkpoint_is_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(ConfigError, match="another run or configuration"):
        read_checkpoint(tmp_path, "f" * 16)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    content = written(tmp_path)
    for length in range(0, len(content), 7):
        (tmp_path / CHECKPOINT).write_bytes(content[:length])
        with pytest.raises(ModelError, match="damaged"):
            read_checkpoint(tmp_path, RUN)


def test_damaged_bytes_never_end_in_another_error(tmp_path):
    content = written(tmp_path)
    for place in range(len(content)):
        (tmp_path / CHECKPOINT).write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            read_checkpoint(tmp_path, RUN)
        except FedrecError:
            continue
