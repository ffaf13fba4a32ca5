"""`fedrec tune`, run through the command line itself over three small tenants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.config import load


@pytest.fixture(scope="module")
def space(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EASE over three tenants, with a space for one of its hyper-parameters."""
    path = tmp_path_factory.mktemp("space") / "space.toml"
    own = '[tune.space]\n"models.ease.window" = { low = 5, high = 50 }\n'
    path.write_text(tiny.read_text() + own)
    return path


@pytest.fixture(scope="module")
def tuned(fedrec, space: Path, tmp_path_factory: pytest.TempPathFactory):
    """The folder of a finished search of two trials, and what it printed."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder, fedrec("tune", space, "--model", "ease", "--trials", 2, "--out", folder / "best.toml")


def test_trials_are_told_as_they_end_and_the_best_are_shown_first(tuned):
    _, result = tuned
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("trial ")]
    assert [line.partition(":")[0] for line in told] == ["trial 1", "trial 2"]
    assert all("window=" in line and "l2=" in line for line in told)
    shown = " ".join(result.stdout.split())
    assert "ease: the best of 2 trials on validation" in shown
    assert "Validation was asked 2 times" in shown
    assert "the test was not read" in shown
    scores = [float(line.split()[1]) for line in result.stdout.splitlines() if "window=" in line]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


def test_the_best_configuration_is_there_and_can_be_loaded(tuned, space):
    folder, _ = tuned
    config = load(folder / "best.toml")
    (ease,) = [model for model in config.models if model.name == "ease"]
    assert 5 <= ease.parameters["window"] <= 50
    assert ease.parameters["l2"] in (5, 500)
    assert config.tune.evaluations == 2
    assert config.tune.space == load(space).tune.space
    assert sorted(path.name for path in folder.iterdir()) == ["best.sqlite", "best.toml"]


def test_a_search_goes_on_where_it_ended_and_only_if_asked(fedrec, tuned, space):
    folder, _ = tuned
    command = ("tune", space, "--model", "ease", "--trials", 3, "--out", folder / "best.toml")
    refused = fedrec(*command)
    assert refused.exit_code == 2
    assert "go on with --resume" in refused.stderr
    again = fedrec(*command, "--resume", "--quiet")
    assert (again.exit_code, again.stdout, again.stderr) == (0, f"{folder / 'best.toml'}\n", "")
    assert load(folder / "best.toml").tune.evaluations == 3


def test_another_search_is_not_mixed_with_one_that_is_there(fedrec, tuned, space):
    folder, _ = tuned
    result = fedrec("tune", space, "--model", "markov", "--out", folder / "best.toml", "--resume")
    assert result.exit_code == 2
    assert "of another configuration" in result.stderr


@pytest.fixture(scope="module")
def charged(fedrec, space: Path, tmp_path_factory: pytest.TempPathFactory):
    """The folder of a finished search of two trials under differential privacy, and what it printed."""
    folder = tmp_path_factory.mktemp("charged")
    (folder / "space.toml").write_text(space.read_text() + "[privacy]\nepsilon = 8.0\ndelta = 1e-4\n")
    return folder, fedrec(
        "tune", folder / "space.toml", "--model", "ease", "--trials", 2, "--out", folder / "best.toml"
    )


def test_a_private_search_says_what_it_cost_and_keeps_its_ledgers(fedrec, charged):
    folder, result = charged
    assert result.exit_code == 0, result.output
    said = "The search cost each user epsilon 8 at delta 0.0001, of 8 for up to 2 trials."
    assert said in " ".join(result.stdout.split())
    assert f"# {said}" in (folder / "best.toml").read_text()
    ledger = fedrec("privacy", "ledger", folder / "best.search", "--json")
    releases = [line["what"].split(": ")[1] for line in json.loads(ledger.stdout)]
    assert releases == ["item_counts, item_gram", *["validation of 1 candidate"] * 2] * 3
    assert load(folder / "best.toml").privacy == load(folder / "space.toml").privacy


def test_a_private_search_does_not_go_on_with_another_number_of_trials(fedrec, charged):
    folder, _ = charged
    command = ("tune", folder / "space.toml", "--model", "ease", "--out", folder / "best.toml", "--resume")
    more = fedrec(*command, "--trials", 3)
    assert more.exit_code == 2
    assert "another configuration" in more.stderr
    assert fedrec(*command, "--trials", 2, "--quiet").exit_code == 0


@pytest.mark.parametrize("name", ["mine.toml", "mine.sqlite"])
def test_a_file_that_is_of_no_search_is_left_alone(fedrec, space, tmp_path, name):
    (tmp_path / "mine.toml").write_text("dear")
    result = fedrec("tune", space, "--model", "ease", "--out", tmp_path / name)
    assert result.exit_code == 2
    assert "choose another --out" in result.stderr
    assert (tmp_path / "mine.toml").read_text() == "dear"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "eas"], "no recommender 'eas'; did you mean 'ease'"),
        (["--model", "user_knn"], "user_knn stays with its tenant"),
        (["--model", "ease", "--timeout", 0], "timeout_s=0.0 > 0"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(fedrec, space, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = fedrec("tune", space, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
