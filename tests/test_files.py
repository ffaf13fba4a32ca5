"""Files and folders are whole or not there."""

from __future__ import annotations

import pytest

from fedrec.files import PARTIAL, remove_partial, whole_folder, write_bytes


def test_a_folder_appears_at_the_end_or_not_at_all(tmp_path):
    with whole_folder(tmp_path / "a" / "tenants") as folder:
        (folder / "one").mkdir()
        assert not (tmp_path / "a" / "tenants").exists()
    assert (tmp_path / "a" / "tenants" / "one").is_dir()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "a" / "others") as folder:
        (folder / "one").write_text(str(1 / 0))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["tenants"]


def test_what_a_killed_writer_left_is_taken_away_and_nothing_else(tmp_path):
    write_bytes(tmp_path / "b" / "kept.part", b"1")
    (tmp_path / "b" / ".kept.part.abc.part").write_bytes(b"2")
    (tmp_path / ".tenants.abc.part" / ".deeper.xyz.part").mkdir(parents=True)
    (tmp_path / ".hidden").write_bytes(b"3")
    remove_partial(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == [".hidden", "b", "b/kept.part"]


def test_unfinished_files_and_folders_have_names_that_are_taken_away(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("os.fsync", lambda handle: seen.extend(tmp_path.iterdir()))
    write_bytes(tmp_path / "model", b"1")
    with whole_folder(tmp_path / "tenants") as folder:
        seen.append(folder)
    assert len(seen) == 2
    assert all(path.match(f".*{PARTIAL}") for path in seen)
