"""Every preset that is shipped can be run: its keys, split and recommenders exist."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from fedrec.config import SYNTHETIC, load, presets, to_toml
from fedrec.data import SOURCES, SPLITS, Dataset, fetch
from fedrec.errors import FetchError
from fedrec.server.choosing import candidates_of
from fedrec.simulations.tenancy import split_tenants

FOLDER = Path(__file__).resolve().parents[2] / "simulations" / "presets"


def test_the_promised_presets_are_there() -> None:
    promised = {"demo", "ml-1m", "ml-1m-occupation", "genre-shops", "grocery-stores", "synthetic"}
    assert promised <= set(presets())


@pytest.mark.parametrize("name", presets())
def test_a_preset_bears_its_name_and_says_what_it_is_for(name: str) -> None:
    first = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert load(name).name == name


@pytest.mark.parametrize("name", presets())
def test_a_preset_names_a_known_dataset_and_a_split_with_its_arguments(name: str) -> None:
    config = load(name)
    assert config.data.dataset in {*SOURCES, SYNTHETIC}
    inspect.signature(SPLITS[config.tenants.split]).bind("a dataset", **config.tenants.arguments)


@pytest.mark.parametrize("name", presets())
def test_the_recommenders_of_a_preset_exist_once_each(name: str) -> None:
    models = load(name).models
    assert all(candidates_of(model) for model in models)
    assert len({model.name for model in models}) == len(models)


@pytest.mark.parametrize("name", presets())
def test_a_preset_survives_being_written_as_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(to_toml(load(name)), encoding="utf-8")
    assert load(path) == load(name)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "tenants", "users"), [("ml-1m", 10, (306, 1468)), ("ml-1m-occupation", 21, (17, 759))]
)
def test_movielens_splits_into_the_promised_tenants(
    name: str, tenants: int, users: tuple[int, int], ml1m: Dataset
) -> None:
    found = split_tenants(ml1m, load(name).tenants, seed=0)
    sizes = [tenant.num_users for tenant in found.values()]
    assert (len(found), min(sizes), max(sizes), sum(sizes)) == (tenants, *users, 6040)


@pytest.mark.data
def test_genre_shops_sell_different_films_to_the_same_people(ml1m: Dataset) -> None:
    shops = split_tenants(ml1m, load("genre-shops").tenants, seed=0)
    sold = np.zeros(ml1m.num_items, dtype=np.int64)
    for shop in shops.values():
        sold[np.unique(shop.interactions.items)] += 1
    assert len(shops) == 18
    assert sold.max() == 1
    assert sum(shop.num_users for shop in shops.values()) > 3 * ml1m.num_users


@pytest.mark.data
def test_grocery_stores_are_the_largest_ones() -> None:
    try:
        journey = fetch("complete-journey")
    except FetchError as error:
        pytest.skip(f"complete-journey could not be fetched: {error}")
    stores = split_tenants(journey, load("grocery-stores").tenants, seed=0)
    assert len(stores) == 11
    assert min(store.num_users for store in stores.values()) >= 150
