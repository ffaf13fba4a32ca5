"""report.json is read back as it was written, or refused."""

import json

import pytest

from fedrec.errors import DataError
from fedrec.simulations.report.load import read, write
from fedrec.simulations.report.schema import SCHEMA, Measure, Result


@pytest.fixture
def written(report, tmp_path):
    path = tmp_path / "report.json"
    write(report, path)
    return path


def test_a_report_is_read_back_as_it_was_written(report, written):
    assert read(written) == report
    assert "Ålesund" in written.read_text(encoding="utf-8")


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_beside_the_file(report, written):
    before = written.read_bytes()
    write(read(written), written)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_number_that_json_cannot_hold_is_refused_and_the_old_file_stays(make_report, written):
    bad = Result(arm="local", model="ease", slices={"all": {"NDCG@10": Measure(mean=float("nan"), users=0.0)}})
    before = written.read_bytes()
    with pytest.raises(DataError, match=r"report\.results\.0\.slices\.all\.NDCG@10\.mean is not a finite number"):
        write(make_report(results=[bad]), written)
    assert written.read_bytes() == before


def test_a_file_of_another_version_is_refused(written):
    tree = json.loads(written.read_text(encoding="utf-8")) | {"schema_version": "fedrec.report/99"}
    written.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(DataError, match=f"expected schema version '{SCHEMA}', got schema version 'fedrec.report/99'"):
        read(written)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"null", b'{"name": "x"}'])
def test_a_file_without_a_version_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="got no schema version"):
        read(path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"{", b'{"schema_version": "fedrec.report/1"', b"[" * 100_000]
)
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not valid JSON"):
        read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(written, share):
    content = written.read_bytes()
    written.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="run the simulation again"):
        read(written)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "many"}, "'seed' does not fit the schema"),
        ({"seed": None}, "'seed' does not fit the schema"),
        ({"surprise": 1}, "'surprise' does not fit the schema"),
        ({"rounds": [{"number": 1}]}, r"'rounds\.0\.phase' does not fit the schema"),
    ],
)
def test_a_file_that_does_not_fit_the_schema_is_refused_by_the_name_of_the_field(written, change, said):
    tree = json.loads(written.read_text(encoding="utf-8")) | change
    written.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read(written)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: the file cannot be read"):
        read(tmp_path / "gone.json")
