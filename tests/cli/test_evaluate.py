import json

import numpy as np
import pytest

from fedrec.config import ModelConfig
from fedrec.data import Dataset, Marketplace, leave_last_out, marketplace
from fedrec.errors import ConfigError
from fedrec.models import EASE, ItemFeatures, fit, pooled_sum
from fedrec.simulations.one_table import evaluate, model_of, result_of


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return marketplace(Marketplace(num_users=120, num_items=60, mean_events=12), seed=4)


@pytest.fixture(scope="module")
def directory(rows, tmp_path_factory) -> str:
    return str(rows.write(tmp_path_factory.mktemp("rows") / "market"))


def slow_ndcg_at_10(rows: Dataset, l2: float) -> float:
    """The test result of EASE by hand: one target a user, gain 1 / log2(1 + rank), 0 beyond rank 10."""
    split = leave_last_out(rows.histories())
    model = EASE(l2=l2)
    weights = fit(model, ItemFeatures(rows.num_items), pooled_sum([split.fit]))
    fold = split.open_test()
    scores = model.scores(weights, fold.history)
    gains = []
    for user, target in enumerate(fold.targets.items):
        mine = scores[user].astype(float)
        mine[fold.history.row(user)] = -np.inf
        better, equal = (mine > mine[target]).sum(), (mine == mine[target]).sum()
        ranks = better + 1 + np.arange(equal)
        gains.append(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean())
    return float(np.mean(gains))


def test_the_test_result_is_what_a_slow_evaluation_by_hand_gives(fedrec, rows, directory):
    result = fedrec("evaluate", directory, "--model", "ease:l2=20", "--json", "--quiet")
    found = json.loads(result.stdout)
    assert found["what"] == "one table, no federation"
    measured = found["models"]["ease"]["test"]["all"]["NDCG@10"]["mean"]
    assert measured == pytest.approx(slow_ndcg_at_10(rows, 20.0), abs=1e-6)


def test_validation_chooses_among_listed_values(fedrec, directory):
    result = fedrec("evaluate", directory, "--model", "ease:l2=1|20|100000", "--json", "--quiet")
    ease = json.loads(result.stdout)["models"]["ease"]
    best = max(ease["candidates"], key=lambda candidate: candidate["validation"])
    assert [candidate["l2"] for candidate in ease["candidates"]] == [1, 20, 100000]
    assert ease["parameters"]["l2"] == best["l2"]
    assert ease["validation"] == best["validation"]


def test_the_table_says_that_nothing_was_federated(fedrec, directory):
    result = fedrec("evaluate", directory, "--model", "ease", "--model", "user_knn:neighbours=20", "--k", 5)
    assert result.exit_code == 0
    assert "One table, no federation: marketplace, 120 users, 60 items" in result.stdout
    for name in ("NDCG@5", "HR@5", "ease (chosen)", "user_knn", "neighbours=20", "popularity"):
        assert name in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_csv_file_with_a_catalogue_can_be_held_out_by_time(fedrec, tmp_path):
    events = [f"u{n % 7},i{n * n % 5},{100 * n}" for n in range(60)]
    (tmp_path / "events.csv").write_text("\n".join(["who,item_id,timestamp", *dict.fromkeys(events)]))
    (tmp_path / "items.csv").write_text("item_id,text\n" + "".join(f"i{n},thing {n}\n" for n in range(6)))
    arguments = ["--catalogue", tmp_path / "items.csv", "--column", "user_id=who", "--holdout", "time"]
    result = fedrec("evaluate", tmp_path / "events.csv", *arguments, "--model", "popularity", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["data"]["items"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Expected a file, a directory or one of"),
        (["synthetic", "--model", "eas"], "did you mean 'ease'?"),
        (["synthetic", "--model", "ease:l3=1"], "ease has no hyper-parameter 'l3'"),
        (["synthetic", "--model", "ease:l2"], "Expected a recommender like"),
        (["synthetic", "--model", "ease", "--model", "ease:l2=1"], "'ease' is named twice"),
        (["synthetic", "--model", "user_knn:neighbours=5|9"], "give one value for each key"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(fedrec, arguments, message):
    result = fedrec("evaluate", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_recommender_is_written_as_name_and_values():
    assert model_of("popularity") == ModelConfig(name="popularity")
    written = "ease:l2=1|2.5,half_life=none,window=5"
    assert model_of(written).parameters == {"l2": [1, 2.5], "half_life": "none", "window": 5}
    assert model_of("pca:method=subspace").parameters == {"method": "subspace"}


def test_a_notebook_gets_the_same_report(rows):
    report = evaluate(rows, ["ease:l2=20", "user_knn"])
    measured = {card.name: result_of(report, card).slices["all"]["NDCG@10"].mean for card in report.models}
    assert set(measured) == {"popularity", "ease", "user_knn"}
    assert measured["ease"] == pytest.approx(slow_ndcg_at_10(rows, 20.0), abs=1e-6)
    with pytest.raises(ConfigError, match="no recommender 'none'"):
        evaluate(rows, ["none"])
