import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The parts of a run that a report needs."""
    for name in ("config.toml", "report.json", "report.html"):
        shutil.copy(run / name, tmp_path)
    return tmp_path


def test_the_page_is_drawn_again_as_it_was(fedrec, copy: Path):
    before = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    result = fedrec("report", copy)
    assert result.exit_code == 0
    assert (copy / "report.html").read_bytes() == before
    assert "Does joining help me?" in result.stdout


def test_the_page_can_go_elsewhere_and_the_numbers_to_a_program(fedrec, copy: Path):
    page = copy / "pages" / "mine.html"
    found = json.loads(fedrec("report", copy / "report.json", "--html", page, "--json").stdout)
    assert (found["run"], found["page"], found["name"]) == (str(copy), str(page), "tiny")
    assert page.read_bytes() == (copy / "report.html").read_bytes()
    assert set(found["results"]) == {"floor", "local", "federated", "fused", "personal", "pooled"}
    assert sum(found["tenants"].values()) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "this is not valid JSON"),
        ("{}", "expected schema version"),
        ('{"schema_version": "fedrec.report/1"}', "does not fit the schema"),
    ],
)
def test_a_damaged_report_is_one_clear_error_and_the_page_stays(fedrec, copy: Path, content, message):
    (copy / "report.json").write_text(content)
    before = (copy / "report.html").read_bytes()
    result = fedrec("report", copy)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert (copy / "report.html").read_bytes() == before


def test_an_unfinished_run_says_how_to_go_on(fedrec, copy: Path):
    (copy / "report.json").unlink()
    result = fedrec("report", copy)
    assert result.exit_code == 2
    assert f"go on with `fedrec simulate --resume --out {copy}`" in result.stderr
    assert "did not come to its end, so there is no model" in fedrec("recommend", "--run", copy, "--items", "a").stderr


def test_a_folder_without_a_run_is_refused(fedrec, tmp_path: Path):
    result = fedrec("report", tmp_path)
    assert result.exit_code == 2
    assert "holds no run" in result.stderr
