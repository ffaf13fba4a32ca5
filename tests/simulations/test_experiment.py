"""A whole simulation in a folder: what is there at the end, what is told on the way, what is refused."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from fedrec.config import parse
from fedrec.data import Dataset
from fedrec.errors import ConfigError, RoundFailed
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.load import read

CONFIG = {
    "name": "small",
    "seed": 3,
    "data": {"dataset": "synthetic", "synthetic": {"num_tenants": 4, "num_users": 120, "num_items": 60}},
    "tenants": {"split": "by_user_attribute", "attribute": "tenant"},
    "evaluation": {"bootstrap": 20},
    "models": [{"name": "popularity"}, {"name": "ease", "l2": [10.0, 100.0]}, {"name": "user_knn"}],
}


def run(folder, **changes):
    events = []
    report = Experiment(parse(CONFIG | changes), folder, events.append).run()
    return report, events


def test_a_run_leaves_everything_that_its_documentation_names(tmp_path):
    report, _ = run(tmp_path / "run")
    there = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {
        "config.toml",
        "catalogue.parquet",
        "roster.txt",
        "tenants",
        "server",
        "pooled",
        "report.json",
        "report.html",
    }
    assert there == expected
    assert read(tmp_path / "run" / "report.json") == report
    assert report.arms == ["floor", "local", "federated", "fused", "personal", "pooled"]
    assert report.privacy.masks_on
    assert not report.privacy.noise_on


def test_each_tenants_answer_is_told_while_a_round_goes_on(tmp_path):
    _, events = run(tmp_path / "run")
    told = Counter(event["event"] for event in events)
    assert told["reply"] >= 4 * told["round-start"] / 2
    assert told["round-start"] == told["round-end"] > 4


def test_masks_change_no_result(tmp_path):
    masked, _ = run(tmp_path / "masked")
    plain, _ = run(tmp_path / "plain", federation={"secure_aggregation": False})
    assert masked.results == plain.results
    assert masked.tenants == plain.tenants
    assert plain.privacy.server_view is None
    assert masked.privacy.server_view is not None


def test_the_server_view_shows_masked_words_beside_the_true_sum(tmp_path):
    report, _ = run(tmp_path / "run")
    rows = report.privacy.server_view.rows
    assert all(row.own <= row.total for row in rows)
    assert any(row.seen != row.own for row in rows)


def test_one_seed_gives_one_result_and_another_seed_another(tmp_path):
    first, _ = run(tmp_path / "a")
    again, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", seed=4)
    assert first.results == again.results
    assert first.results != other.results


def test_a_split_by_time_uses_the_same_moments_everywhere_and_measures_cold_users(tmp_path):
    """40 users, one new a day, each with an event on six days in a row: those who come last have no history."""
    events = [(user, (user + step) % 12, 86_400 * (user + step)) for user in range(40) for step in range(6)]
    users, items, times = (list(column) for column in zip(*events, strict=True))
    dataset = Dataset.from_frame(pa.table({"user_id": users, "item_id": items, "timestamp": times}))
    config = CONFIG | {"tenants": {"split": "iid", "n": 4}, "evaluation": {"holdout": "time", "bootstrap": 0}}
    report = Experiment(parse(config), tmp_path / "run").run(dataset)
    assert "starts = [" in (tmp_path / "run" / "config.toml").read_text()
    result = next(r for r in report.results if (r.arm, r.model) == ("federated", "ease"))
    cold, everyone = (result.slices[name]["NDCG@10"].users for name in ("activity:0", "all"))
    assert 0 < cold < everyone


def test_two_tenants_are_too_few_for_the_default_policy(tmp_path):
    data = {"dataset": "synthetic", "synthetic": {"num_tenants": 2, "num_users": 60, "num_items": 60}}
    with pytest.raises(RoundFailed):
        run(tmp_path / "run", data=data)
    last = json.loads((tmp_path / "run" / "server" / "events.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "failed"


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    run(tmp_path / "run", federation={"arms": ["federated"], "secure_aggregation": False})
    with pytest.raises(ConfigError, match="already holds a run"):
        run(tmp_path / "run")


@pytest.mark.parametrize(
    ("tenants", "message"),
    [
        ({"split": "by_colour"}, "no split 'by_colour'; known: by_user_attribute"),
        ({"split": "iid", "m": 3}, "'iid' does not take 'm'; it takes: n, seed"),
        ({"split": "by_user_attribute", "attribute": "tenent"}, "tenant"),
    ],
)
def test_a_wrong_split_is_refused_and_leaves_nothing(tmp_path, tenants, message):
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "run", tenants=tenants)
    assert not (tmp_path / "run").exists()
