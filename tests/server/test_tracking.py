"""What a tracking tool is told, and that it cannot hurt a run."""

from __future__ import annotations

import re
import sys
import types
import warnings
from pathlib import Path

import pytest

from fedrec.config import to_toml
from fedrec.server.tracking import TensorBoardTracker, flat, tracking
from tests.federation import config_of

DOCS = Path(__file__).parents[2] / "docs" / "tracking.md"
ROUND = {"event": "round-end", "round": 2, "clients": 3, "failed": {"101": "x"}, "bytes_up": 10, "bytes_down": 20}
ROUND |= {"seconds": 1.5}
TRAINED = ROUND | {"round": 4, "training": "final-sasrec", "step": 1, "steps": 2, "loss": 3.25, "client_seconds": 1.25}
EVENTS = [
    {"event": "stage-start", "stage": "pooled"},
    ROUND,
    {"event": "stage-start", "stage": "federation"},
    TRAINED,
    {"event": "validation", "round": 5, "metric": "NDCG@2", "scores": {"ease:1": 0.5}},
    {"event": "run-end"},
]
TOLD = [
    ("pooled/round/clients", 3.0, 2),
    ("pooled/round/bytes_up", 10.0, 2),
    ("pooled/round/bytes_down", 20.0, 2),
    ("pooled/round/seconds", 1.5, 2),
    ("pooled/round/failed", 1.0, 2),
    ("round/clients", 3.0, 4),
    ("round/bytes_up", 10.0, 4),
    ("round/bytes_down", 20.0, 4),
    ("round/seconds", 1.5, 4),
    ("round/client_seconds", 1.25, 4),
    ("round/failed", 1.0, 4),
    ("final-sasrec/loss", 3.25, 1),
    ("validation/ease-1/NDCG_at_2", 0.5, 5),
]


class Recorded:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.values, self.told, self.closed = {}, [], 0

    def configuration(self, values):
        self.values = dict(values)

    def scalar(self, name, value, step):
        self.told.append((name, value, step))

    def close(self):
        self.closed += 1


def tell(tracker) -> None:
    with tracking(tracker, config_of()) as listener:
        for event in EVENTS:
            listener(event)


def test_a_tracker_is_told_the_configuration_and_then_each_number_by_name():
    tracker = Recorded()
    tell(tracker)
    assert tracker.told == TOLD
    assert tracker.closed == 1
    assert tracker.values["evaluation.headline"] == "NDCG@2"
    assert tracker.values["models.ease.l2"] == "[1.0, 10.0]"
    assert "models.popularity" in tracker.values


def test_the_configuration_is_flat_and_whole():
    config = config_of()
    assert all(isinstance(value, str) for value in flat(config).values())
    leaves = re.findall(r"^(\w+) = ", to_toml(config), flags=re.MULTILINE)
    last = [key.rpartition(".")[2] for key in flat(config)]
    assert set(leaves) - {"name"} <= {*last, "synthetic", "local", "parameters"}


@pytest.mark.parametrize("method", ["configuration", "scalar", "close"])
def test_a_tracker_that_raises_is_reported_once_and_switched_off(method):
    class Broken(Recorded):
        pass

    def fail(self, *args):
        self.told.append("failed")
        raise ConnectionError("no route to the tracking server")

    setattr(Broken, method, fail)
    tracker = Broken()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell(tracker)
    assert [str(one.message) for one in caught] == [
        "Broken failed (ConnectionError('no route to the tracking server')) and is switched off; the run goes on."
    ]
    assert tracker.told.count("failed") == 1
    assert tracker.told[-1] == "failed"
    assert tracker.closed == (method != "close")


def test_tensorboard_reads_what_was_told(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tell(TensorBoardTracker(tmp_path))
    read = accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    found = [(name, one.value, one.step) for name in read.Tags()["scalars"] for one in read.Scalars(name)]
    assert sorted(found) == sorted(TOLD)
    assert read.Tags()["tensors"] == ["configuration/text_summary"]


def examples(*modules: types.ModuleType) -> dict[str, object]:
    """All Python of the page, run with stand-ins for the tools that it imports."""
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setitem(sys.modules, module.__name__, module)
        for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL):
            exec(code, names)
    return names


class Tool(types.ModuleType):
    """A tool of someone else that records every call: its name and arguments. A call returns the tool itself."""

    def __init__(self, name: str, calls: list) -> None:
        super().__init__(name)
        self._calls = calls

    def __getattr__(self, name):
        if name == "config":
            return self
        return lambda *args, **named: self._calls.append((name, *args, named)) or self


def test_the_trackers_of_the_documentation_tell_their_tools():
    calls, others = [], []
    found = examples(Tool("mlflow", calls), Tool("wandb", others))
    tell(found["MlflowTracker"]("shops"))
    values = flat(config_of())
    assert calls[:3] == [("set_experiment", "shops", {}), ("start_run", {}), ("log_params", values, {})]
    assert calls[3:-1] == [("log_metric", name, value, {"step": step}) for name, value, step in TOLD]
    assert calls[-1] == ("end_run", {})
    tell(found["WandbTracker"]("shops"))
    assert others[:2] == [("init", {"project": "shops"}), ("update", values, {})]
    name, value, step = TOLD[0]
    assert others[2:4] == [
        ("define_metric", name, {"step_metric": f"{name}/step"}),
        ("log", {name: value, f"{name}/step": step}, {}),
    ]
    assert others[-1] == ("finish", {})


def test_the_usage_of_the_documentation_tracks_a_run(tmp_path):
    config = config_of(
        data={"dataset": "synthetic", "synthetic": {"num_tenants": 3, "num_users": 30, "num_items": 20}},
        tenants={"split": "iid", "n": 3},
        federation={"arms": ["federated"]},
    )
    (tmp_path / "small.toml").write_text(to_toml(config))
    tracker = Recorded()
    track = examples(Tool("mlflow", []), Tool("wandb", []))["track"]
    report = track(tracker, tmp_path / "small.toml", tmp_path / "run")
    told = {(name, step): value for name, value, step in tracker.told}
    assert [told["round/bytes_up", one.number] for one in report.rounds] == [one.bytes_up for one in report.rounds]
    assert told["validation/ease-0/NDCG_at_2", 2] == report.models[1].candidates[0]["validation"]
    assert tracker.closed == 1
