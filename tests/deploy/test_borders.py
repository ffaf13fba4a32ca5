"""Platform and tenant share a package, and nothing of each other's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_layers import SOURCE, imports

DEPLOY = SOURCE / "deploy"
FORBIDDEN = {
    "platform": ("fedrec.client", "fedrec.deploy.tenant"),
    "tenant": ("fedrec.server", "fedrec.deploy.platform"),
}


@pytest.mark.parametrize("side", FORBIDDEN)
def test_a_side_imports_nothing_of_the_other(side):
    paths = sorted((DEPLOY / side).glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        found = [name for name in imports(path) if name.startswith(FORBIDDEN[side])]
        assert not found, f"{path}: {found}"


HEAVY = {"numpy", "flwr", "torch", "pyarrow", "cryptography", "pydantic"}


@pytest.mark.parametrize("name", ["supervisor.py", "tenant/handover.py"])
def test_what_waits_all_day_imports_next_to_nothing(name):
    """numpy alone would cost every idle tenant 30 MB."""
    light = ("fedrec.errors", "fedrec.files", "fedrec.deploy.logs")
    assert not [one for one in imports(Path(DEPLOY / name)) if one.startswith("fedrec") and not one.startswith(light)]
    assert not HEAVY & {one.split(".")[0] for one in imports(Path(DEPLOY / name))}


def test_nothing_heavy_comes_with_what_a_supervisor_imports():
    told = "import fedrec.deploy.supervisor, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", told], text=True).split()
    assert "fedrec.deploy.logs" in loaded
    assert not HEAVY & set(loaded)
