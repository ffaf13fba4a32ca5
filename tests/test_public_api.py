"""The notebook surface: a name that is added or dropped must be so here, too."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import fedrec

PUBLIC = [
    "ALS",
    "EASE",
    "PCA",
    "SPLITS",
    "Catalogue",
    "Config",
    "ContentKNN",
    "ContentMap",
    "ContentPCA",
    "Dataset",
    "Explanation",
    "FedrecError",
    "Histories",
    "Interactions",
    "ItemKNN",
    "Marketplace",
    "Markov",
    "Popularity",
    "Recommendation",
    "Recommender",
    "Report",
    "UserKNN",
    "__version__",
    "evaluate",
    "fetch",
    "load",
    "marketplace",
    "simulate",
]


def test_the_public_names_are_these():
    assert fedrec.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(fedrec))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_can_be_had(name):
    assert getattr(fedrec, name) is not None


def test_the_version_is_that_of_the_distribution():
    assert fedrec.__version__ == version("fedrec")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Easy'"):
        fedrec.Easy  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'numpy', 'scipy', 'pyarrow', 'torch', 'flwr', 'pydantic', 'rich', 'typer'}"
    code = f"import fedrec, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_notebook_federates_its_own_rows(tmp_path: Path):
    rows = fedrec.marketplace(fedrec.Marketplace(num_users=60, num_items=40, mean_events=10), seed=1)
    config = {
        "name": "notebook",
        "tenants": {"split": "iid", "n": 3},
        "models": [{"name": "ease"}],
        "federation": {"arms": ["federated"]},
    }
    report = fedrec.simulate(config, rows, out=tmp_path / "run")
    assert (report.data.name, report.data.tenants) == ("marketplace", 3)
    recommender = fedrec.load(tmp_path / "run" / "server" / "models" / "ease").attach(rows)
    assert len(recommender.recommend("user-00", n=5)) == 5
    again = fedrec.simulate(config, rows)
    assert again.results == report.results
