import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrec.cli import data as cli
from fedrec.data import Dataset
from fedrec.errors import FetchError

CSV = "customer,item_id,timestamp,weight\n1,a,5,1\n1,b,9,1\n1,c,9,1\n2,a,9,1\n"


def run(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "shop.csv").write_text(CSV)
    return str(tmp_path / "shop.csv")


@pytest.fixture
def toy(monkeypatch) -> None:
    rows = {"user_id": ["u"], "item_id": ["a"], "timestamp": [1]}
    monkeypatch.setattr(cli, "fetch", lambda name: Dataset.from_frame(rows, name=name))


def test_list_names_every_dataset():
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == ["ml-100k", "ml-1m", "complete-journey"]
    assert "ml-100k" in run("list").stdout


def test_describe_counts_what_makes_evaluation_delicate(path):
    found = json.loads(run("describe", path, "--column", "user_id=customer", "--json").stdout)
    assert (found["name"], found["users"], found["items"], found["events"]) == ("shop", 2, 3, 4)
    assert found["density"] == pytest.approx(4 / 6)
    assert (found["first"], found["last"]) == ("1970-01-01T00:00:05+00:00", "1970-01-01T00:00:09+00:00")
    assert (found["tied_at_the_end"], found["too_short"]) == (1, 1)
    assert found["median_price"] is None


def test_describe_shows_categories_and_prices(path, tmp_path: Path):
    items = tmp_path / "items.csv"
    items.write_text("item_id,categories,price,text\na,x|y,2,Ale\nb,x,4,\nc,,,Cup\n")
    arguments = ("describe", path, "--column", "user_id=customer", "--catalogue", str(items))
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["categories"], found["median_price"], found["items_with_text"]) == ({"x": 2}, 3.0, 2)
    table = run(*arguments)
    assert table.exit_code == 0
    assert "1: x 2" in table.stdout


def test_describe_reads_a_written_dataset(tmp_path: Path):
    Dataset.from_frame({"user_id": [1], "item_id": [2], "timestamp": [3]}, name="mine").write(tmp_path / "d")
    assert json.loads(run("describe", str(tmp_path / "d"), "--json").stdout)["name"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "nowhere"], "error: Expected a file, a directory or one of"),
        (["fetch", "ml-100"], "did you mean 'ml-100k'?"),
        (["describe", "PATH"], "column 'user_id' is missing"),
        (["describe", "PATH", "--column", "customer"], "Expected --column ROLE=NAME"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(arguments, message, path):
    result = run(*[path if argument == "PATH" else argument for argument in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.usefixtures("toy")
def test_fetch_shows_the_licence_and_can_write_the_dataset(tmp_path: Path):
    result = run("fetch", "ml-1m", "--out", str(tmp_path / "copy"), "--json")
    assert "no redistribution" in " ".join(result.stderr.split())
    assert json.loads(result.stdout)["events"] == 1
    assert Dataset.read(tmp_path / "copy").name == "ml-1m"


def test_failed_fetch_is_an_error(monkeypatch):
    def unreachable(name: str) -> Dataset:
        raise FetchError("no network; use the synthetic marketplace.")

    monkeypatch.setattr(cli, "fetch", unreachable)
    result = run("fetch", "ml-1m")
    assert result.exit_code == 2
    assert result.stderr.endswith("error: no network; use the synthetic marketplace.\n")


def test_describe_shows_on_request_which_content_tells_what_users_take_next(path, tmp_path: Path):
    items = tmp_path / "items.csv"
    items.write_text("item_id,categories,text\na,x,Ale\nb,x,Beer\nc,,Cup\nd,y,\n")
    arguments = ("describe", path, "--column", "user_id=customer", "--catalogue", str(items))
    assert "content" not in json.loads(run(*arguments, "--json").stdout)
    card = json.loads(run(*arguments, "--content", "--json").stdout)["content"]
    assert [(field["name"], field["known"]) for field in card["fields"][:2]] == [("text", 0.75), ("category", 0.75)]
    assert "relevance" in run(*arguments, "--content").stdout
