import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrec.cli.folders import new_folder
from fedrec.cli.opening import show_licence
from fedrec.config import DataConfig, load, presets
from fedrec.simulations.report.load import read

DEADLINE_S = 60.0


def test_a_run_leaves_its_folder_and_says_what_joining_did(simulated, run: Path):
    assert {"config.toml", "report.json", "report.html", "server", "tenants", "pooled"} <= {
        p.name for p in run.iterdir()
    }
    printed = "".join(simulated.stdout.split())
    assert "Does joining help me?" in simulated.stdout
    assert f"{run}/report.html" in printed
    assert f"{run}/report.json" in printed


def test_stages_go_to_stderr_one_line_each(simulated):
    stages = [line.split(":")[0] for line in simulated.stderr.splitlines() if ": " in line and " s" in line]
    assert stages == ["load", "pooled", "federation", "report"]
    assert "3 tenants" in simulated.stderr


def test_the_configuration_as_run_runs_again(run: Path, tiny: Path):
    assert load(run / "config.toml") == load(tiny)


def test_json_is_all_that_stdout_gets_and_options_replace_the_configuration(fedrec, tiny: Path, tmp_path: Path):
    result = fedrec("simulate", tiny, "--out", tmp_path / "r", "--seed", 8, "--arms", "federated,floor", "--json")
    found = json.loads(result.stdout)
    assert (found["run"], found["seed"], found["metric"]) == (str(tmp_path / "r"), 8, "NDCG@5")
    assert list(found["results"]) == ["floor", "federated"]
    assert found["chosen"] in found["results"]["federated"]
    assert load(tmp_path / "r" / "config.toml").federation.arms == ("floor", "federated")
    assert read(found["report"]).seed == 8


def test_quiet_prints_the_path_of_the_run_alone(fedrec, tiny: Path, tmp_path: Path):
    result = fedrec("simulate", tiny, "--out", tmp_path / "r", "--arms", "federated", "--quiet")
    assert (result.stdout, result.stderr) == (f"{tmp_path / 'r'}\n", "")


def test_a_second_run_of_a_name_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(new_folder("demo")) for _ in range(3)] == ["runs/demo", "runs/demo-2", "runs/demo-3"]


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(fedrec, tiny: Path, run: Path):
    before = (run / "report.json").read_bytes()
    result = fedrec("simulate", tiny, "--out", run, "--quiet")
    assert result.exit_code == 2
    assert result.stderr == f"error: {run} already holds a run; choose another --out or remove it.\n"
    assert (run / "report.json").read_bytes() == before


def test_a_folder_with_other_files_is_refused(fedrec, tiny: Path, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    result = fedrec("simulate", tiny, "--out", tmp_path, "--quiet")
    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demi"], "Did you mean 'demo'?"),
        (["nowhere.toml"], "Cannot read the configuration nowhere.toml"),
        (["TINY", "--arms", "local,polled"], "got 'polled'"),
        (["TINY", "--arms", "local"], "'federated' must be among them"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(fedrec, tiny: Path, tmp_path: Path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = fedrec("simulate", *[tiny if argument == "TINY" else argument for argument in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('[[models]]\nname = "als"\nrnk = 3\n', "als has no hyper-parameter 'rnk'"),
        ("", "no split 'by_mood'"),
    ],
)
def test_a_configuration_that_cannot_be_run_leaves_no_folder(fedrec, tiny, tmp_path, monkeypatch, wrong, message):
    monkeypatch.chdir(tmp_path)
    text = tiny.read_text() if wrong else tiny.read_text().replace("by_user_attribute", "by_mood")
    (tmp_path / "wrong.toml").write_text(text + wrong)
    result = fedrec("simulate", "wrong.toml", "--quiet")
    assert result.exit_code == 2
    assert message in result.stderr
    assert list((tmp_path / "runs").iterdir()) == []


def test_too_few_tenants_fail_the_run_with_exit_code_1(fedrec, tiny: Path, tmp_path: Path):
    text = tiny.read_text() + '[federation]\nmin_tenants = 4\narms = ["federated"]\nsecure_aggregation = false\n'
    (tmp_path / "four.toml").write_text(text)
    result = fedrec("simulate", tmp_path / "four.toml", "--out", tmp_path / "r", "--quiet")
    assert result.exit_code == 1
    assert "error: The round was discarded: 3 usable replies, expected at least 4" in result.stderr
    last = json.loads((tmp_path / "r" / "server" / "events.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["stage"], last["error"]) == ("failed", "federation", "RoundFailed")


def test_presets_are_listed_one_a_line(fedrec):
    lines = fedrec("simulate", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == presets()
    assert all(len(line.split()) > 3 for line in lines)


def test_a_licence_is_shown_in_full_only_before_the_dataset_is_fetched(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path))
    show_licence(DataConfig(dataset="ml-100k"), quiet=True)
    assert "no redistribution" in capsys.readouterr().err
    (tmp_path / "ml-100k-1").mkdir()
    show_licence(DataConfig(dataset="ml-100k"))
    assert capsys.readouterr().err.splitlines() == [
        "Terms: https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
    ]
    show_licence(DataConfig(dataset="ml-100k"), quiet=True)
    assert capsys.readouterr().err == ""


def test_ctrl_c_leaves_a_run_that_can_be_read(tmp_path: Path):
    """A real process, interrupted in the middle of many ALS sweeps as a terminal would do it."""
    long = '[data]\ndataset = "synthetic"\n[tenants]\nsplit = "iid"\nn = 3\n[[models]]\nname = "als"\nsweeps = 2000\n'
    (tmp_path / "long.toml").write_text('name = "long"\n[federation]\narms = ["federated"]\n' + long)
    command = [sys.executable, "-c", "from fedrec.cli import main; main()", "simulate", "long.toml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes) as process:
        try:
            events = tmp_path / "runs" / "long" / "server" / "events.jsonl"
            _wait_until(lambda: events.exists() and "round-end" in events.read_text(), process)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stdout == ""
    assert "interrupted: runs/long has config.toml, server/events.jsonl, the rows of 3 tenants" in stderr
    assert "go on with `fedrec simulate --resume --out runs/long`" in stderr
    assert "Traceback" not in stderr
    assert load(events.parents[1] / "config.toml").name == "long"
    last = [json.loads(line) for line in events.read_text().splitlines()][-1]
    assert (last["event"], last["stage"]) == ("interrupted", "federation")


def _wait_until(met, process: subprocess.Popen) -> None:
    start = time.monotonic()
    while not met():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() - start < DEADLINE_S
        time.sleep(0.05)
