import os
import stat
from pathlib import Path

import numpy as np
import pytest

from fedrec.data import Catalogue, Dataset, Interactions, Labels
from fedrec.errors import DataError


def shop() -> Dataset:
    rows = {
        "user_id": ["u", "v", "u", "w", "v"],
        "item_id": ["a", "b", "c", "a", "a"],
        "timestamp": [1, 2, 3, 4, 5],
        "weight": [1, 2, 3, 4, 5],
        "store": ["n", "s", "s", "n", "n"],
    }
    items = {"item_id": ["z", "c", "b", "a"], "text": ["Zoo", None, "Bun", "Ale"], "categories": ["x|y", "", "x", "y"], "price": [1, 2, None, 4]}  # fmt: skip
    people = {"user_id": ["w", "v", "u"], "age": ["30", "20", "10"]}
    return Dataset.from_frame(rows, items, people, name="shop", event_attributes=["store"])


def same(one: Dataset, other: Dataset) -> bool:
    a, b = one.interactions, other.interactions
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("users", "items", "times", "weights"))
    ids = (a.user_ids, a.item_ids, one.name) == (b.user_ids, b.item_ids, other.name)
    c, d = one.catalogue, other.catalogue
    items = (c.text, c.categories) == (d.text, d.categories) and np.array_equal(c.prices, d.prices, equal_nan=True)
    labels = {k: [v.names[i] for i in v.codes] for k, v in one.event_attributes.items()} == {
        k: [v.names[i] for i in v.codes] for k, v in other.event_attributes.items()
    }
    return arrays and ids and items and labels and one.user_attributes == other.user_attributes


def test_items_are_positions_in_the_catalogue():
    assert shop().interactions.items.tolist() == [3, 2, 1, 3, 3]
    assert [shop().histories().row(u).tolist() for u in range(3)] == [[3, 1], [2, 3], [3]]


def test_users_can_be_selected_by_mask():
    chosen = shop().select_users(np.array([True, False, True]))
    assert chosen.interactions.user_ids == ("u", "w")
    assert chosen.user_attributes["age"] == ("10", "30")
    assert chosen.interactions.times.tolist() == [1, 3, 4]
    assert chosen.event_attributes["store"].codes.tolist() == [0, 1, 0]


def test_users_selected_by_position_take_that_order():
    chosen = shop().select_users([2, 0])
    assert chosen.interactions.user_ids == ("w", "u")
    assert chosen.interactions.users.tolist() == [1, 1, 0]


def test_selecting_items_keeps_the_catalogue_and_drops_users_without_events():
    chosen = shop().select_items([1, 2])
    assert chosen.interactions.user_ids == ("u", "v")
    assert chosen.num_items == 4
    assert chosen.interactions.items.tolist() == [2, 1]


def test_unused_items_can_be_left_out():
    smaller = shop().without_unused_items()
    assert smaller.catalogue.item_ids == ("c", "b", "a")
    assert smaller.interactions.items.tolist() == [2, 1, 0, 2, 2]


@pytest.mark.parametrize("which", [[], [False, False, False]])
def test_selecting_nobody_is_refused(which):
    with pytest.raises(DataError, match="shop: there is no event"):
        shop().select_users(np.array(which, dtype=bool if which else int))


@pytest.mark.parametrize("which", [[3], [-1], np.array([True])])
def test_users_that_do_not_exist_are_refused(which):
    with pytest.raises(DataError):
        shop().select_users(which)


def test_attributes_must_be_aligned():
    good = shop()
    with pytest.raises(DataError, match="column 'age': there are 1 values for 3 users"):
        Dataset("x", good.interactions, good.catalogue, {"age": ("1",)})
    with pytest.raises(DataError, match="column 'store': there are 1 values for 5 events"):
        Dataset("x", good.interactions, good.catalogue, {}, {"store": Labels(("n",), np.array([0]))})


def test_items_of_another_catalogue_are_refused():
    events = Interactions(("u",), ("a", "b"), [0], [1], [0], [1])
    with pytest.raises(DataError, match="not those of the catalogue"):
        Dataset("x", events, Catalogue.of_ids(("b", "a")))


def test_attributes_cannot_be_changed():
    with pytest.raises(TypeError):
        shop().user_attributes["age"] = ()


def test_written_dataset_is_read_back(tmp_path: Path):
    assert same(Dataset.read(shop().write(tmp_path / "deep" / "shop")), shop())


def test_written_rows_are_readable_by_their_owner_only(tmp_path: Path):
    assert stat.S_IMODE(os.stat(shop().write(tmp_path / "shop")).st_mode) == 0o700


def test_existing_directory_is_not_overwritten_unasked(tmp_path: Path):
    shop().write(tmp_path / "shop")
    with pytest.raises(DataError, match="the directory exists"):
        shop().write(tmp_path / "shop")
    shop().select_users([0]).write(tmp_path / "shop", overwrite=True)
    assert Dataset.read(tmp_path / "shop").num_users == 1
    assert os.listdir(tmp_path) == ["shop"]
    assert len(os.listdir(tmp_path / "shop")) == 4


def test_only_a_dataset_is_ever_overwritten(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="the directory exists"):
        shop().write(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch):
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full_disk)
    with pytest.raises(DataError, match="it cannot be written"):
        shop().write(tmp_path / "shop")
    assert os.listdir(tmp_path) == []


def test_directory_without_a_dataset_is_explained(tmp_path: Path):
    with pytest.raises(DataError, match=r"has no dataset\.json; give a directory that Dataset\.write made"):
        Dataset.read(tmp_path)
