import pytest
import typer

import fedrec as package
from fedrec.cli import completion
from fedrec.cli.exits import one_line_errors
from fedrec.errors import (
    CatalogueTooLarge,
    ConfigError,
    DataError,
    FetchError,
    NotFitted,
    ProtocolError,
    RoundFailed,
    UnknownUser,
)


def test_the_version_is_that_of_the_package(fedrec):
    assert fedrec("--version").stdout == f"fedrec {package.__version__}\n"


@pytest.mark.parametrize("command", [[], ["simulate"], ["evaluate"], ["tune"], ["recommend"], ["report"], ["data"]])
def test_help_names_the_exit_codes(fedrec, command):
    shown = " ".join(fedrec(*command, "--help").stdout.split())
    assert "Exit codes: 0 done, 1 the run failed, 2 a mistake" in shown
    assert "130 interrupted" in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("c"), 2),
        (DataError("d", cure="e"), 2),
        (FetchError("f"), 2),
        (UnknownUser("u"), 2),
        (CatalogueTooLarge("t"), 2),
        (NotFitted("n"), 1),
        (RoundFailed("r"), 1),
        (ProtocolError("p"), 1),
        (PermissionError(13, "Permission denied", "runs"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(error, code, capsys):
    with pytest.raises(typer.Exit) as left, one_line_errors():
        raise error
    assert left.value.exit_code == code
    assert capsys.readouterr().err.count("\n") == 1


def test_the_shell_is_offered_names_and_matching_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demand.toml").touch()
    (tmp_path / "demand.txt").touch()
    (tmp_path / "deep").mkdir()
    assert completion.configurations("de") == ["demo", "devices", "deep/", "demand.toml"]
    assert completion.datasets("ml") == ["ml-100k", "ml-1m"]
    assert completion.public_datasets("comp") == ["complete-journey"]
    assert completion.models("item") == ["item_knn"]
    assert completion.configurations("nowhere/") == []


def test_the_shell_is_offered_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "config.toml").touch()
    assert completion.runs("") == ["runs/demo"]
