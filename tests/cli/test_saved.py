"""A saved model at a tenant that was not in the run: it serves, and is measured, from the tenant's own rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedrec.data import Dataset, leave_last_out
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.models import ContentMap, load
from fedrec.models.new_tenant import for_tenant

ROWS = {"new-1": ["item-03", "item-10", "item-20"], "new-2": ["mystery", "item-05", "item-07"], "new-3": ["item-03"]}


@pytest.fixture(scope="module")
def ease(run: Path) -> Path:
    return run / "server" / "models" / "ease"


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """Events of three users whom nobody knows, on items of the run and one more."""
    users = [user for user, items in ROWS.items() for _ in items]
    items = [item for several in ROWS.values() for item in several]
    path = tmp_path_factory.mktemp("newcomer") / "events.parquet"
    pq.write_table(pa.table({"user_id": users, "item_id": items, "timestamp": list(range(len(items)))}), path)
    return path


@pytest.fixture(scope="module")
def described(run: Path, tmp_path_factory) -> Path:
    """The items of the run, and one more, in a file."""
    known = read_catalogue_file(run / "catalogue.parquet")
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    columns = {
        "item_id": [*known.item_ids, "mystery"],
        "text": [*known.text, "never seen before"],
        "categories": ["|".join(names) for names in known.categories] + ["mystery"],
    }
    pq.write_table(pa.table(columns), path)
    return path


def asked(fedrec, *arguments: object) -> dict:
    result = fedrec("recommend", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_user_who_was_in_no_run_gets_what_the_saved_model_says_of_the_users_own_history(fedrec, ease, rows):
    found = asked(fedrec, "--saved", ease, "--data", rows, "--user", "new-1", "-n", 3)
    model = for_tenant(load(ease), Dataset.from_files(rows))
    assert [(one["item_id"], one["score"]) for one in found["recommendations"]] == [
        tuple(one) for one in model.recommend("new-1", 3)
    ]
    assert (found["model"], found["tenant"], found["user"]) == ("ease", "events", "new-1")


def test_a_visitor_of_a_saved_model_needs_no_rows(fedrec, ease):
    found = asked(fedrec, "--saved", ease, "--items", "item-03,item-10", "-n", 2)
    expected = load(ease).recommend_to_items(["item-03", "item-10"], 2)
    assert [one["item_id"] for one in found["recommendations"]] == [one.item_id for one in expected]
    assert found["run"] == str(ease)


def test_an_item_that_the_model_never_saw_works_by_its_content(fedrec, ease, rows, described):
    options = ["--saved", ease, "--data", rows, "--catalogue", described]
    assert asked(fedrec, *options, "--items", "mystery")["model"] == "content_knn"
    assert asked(fedrec, *options, "--items", "mystery,item-03")["model"] == "ease"


def test_an_interest_is_answered_by_content_in_the_place_of_a_model_of_ids(fedrec, run, ease, rows, described):
    category = next(names[0] for names in read_catalogue_file(run / "catalogue.parquet").categories if names)
    found = asked(fedrec, "--saved", ease, "--data", rows, "--catalogue", described, "--interest", category)
    assert (found["model"], found["interest"], found["items"]) == ("content_knn", category, [])
    known = read_catalogue_file(run / "catalogue.parquet")
    first = found["recommendations"][0]["item_id"]
    assert category in known.categories[known.positions([first])[0]]


def test_an_interest_in_a_run_shows_the_words_among_the_reasons(fedrec, run):
    category = next(names[0] for names in read_catalogue_file(run / "catalogue.parquet").categories if names)
    found = asked(fedrec, "--run", run, "--interest", category, "--items", "item-03", "--explain", "-n", 1)
    reasons = {share["item_id"] for share in found["recommendations"][0]["because"]}
    assert f"interest: {category}" in reasons


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--items", "item-03", "--tenant", "tenant-1"], "--tenant names a part of a run"),
        (["--items", "item-03", "--model", "ease"], "--model names a part of a run"),
        (["--user", "new-1"], "--user needs the rows that the user is in; give --data"),
        (["--interest", "space"], "give their descriptions, --catalogue"),
        (["--items", "item-03", "--catalogue", "items.csv"], "describe the rows of --data; give that, too"),
        ([], "Give either --user ID"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(fedrec, ease, arguments, message):
    result = fedrec("recommend", "--saved", ease, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interest_asked_of_a_model_of_ids_by_name_is_refused(fedrec, run):
    result = fedrec("recommend", "--run", run, "--model", "ease", "--interest", "space")
    assert result.exit_code == 2
    assert "ease knows items by their ids" in result.stderr


def slow_hit_rate(rows: Dataset, folder: Path) -> float:
    """HR@5 by hand, of users whose last discovery is a known item; an unknown target is a miss."""
    model, fold = load(folder), leave_last_out(rows.histories()).open_test()
    hits = []
    for user in range(fold.num_users):
        history = [rows.catalogue.item_ids[item] for item in fold.history.row(user)]
        target = rows.catalogue.item_ids[fold.targets.row(user)[0]]
        known = [item for item in history if item in model.item_ids]
        sold = [item for item in rows.catalogue.item_ids if item in model.item_ids and item not in history]
        hits.append(target in [one.item_id for one in model.recommend_to_items(known, 5, candidates=sold)])
    return float(np.mean(hits))


def test_a_saved_model_is_measured_beside_what_the_tenant_can_do_alone(fedrec, run, ease, tmp_path):
    market = Dataset.read(run / "tenants" / "tenant-1" / "rows")
    strange = market.select_users(np.arange(20)).write(tmp_path / "rows")
    result = fedrec("evaluate", strange, "--model", "ease", "--saved", ease, "--k", 5, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    measured = found["saved"][str(ease)]["test"]["all"]["HR@5"]["mean"]
    assert measured == pytest.approx(slow_hit_rate(Dataset.read(strange), ease))
    assert "ease" in found["models"]
    table = fedrec("evaluate", strange, "--model", "ease", "--saved", ease, "--quiet")
    assert "saved: " in table.stdout


def test_a_saved_model_of_another_encoder_is_refused_before_anything_is_fitted(fedrec, rows, described, tmp_path):
    from fedrec.content import HashedEncoder

    catalogue = Dataset.from_files(rows, described)
    ContentMap().fit(catalogue, HashedEncoder(text_size=64)).save(tmp_path / "other")
    result = fedrec("evaluate", rows, "--model", "ease", "--saved", tmp_path / "other", "--quiet")
    assert result.exit_code == 2
    assert "fitted on content of the encoder hashed" in result.stderr
