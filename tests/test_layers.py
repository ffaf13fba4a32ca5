"""Who may import whom. A module that breaks the order would sooner or later let data cross a border it must not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "fedrec"
ROLES = ("server", "client", "strategies", "privacy", "simulations")

# A layer may import itself and what its row names. "base" is every module of fedrec that is no role folder.
MAY_IMPORT = {
    "base": {"base"},
    "privacy": {"base", "privacy"},
    "strategies": {"base", "privacy", "strategies"},
    "client": {"base", "privacy", "strategies", "client"},
    "server": {"base", "privacy", "strategies", "server"},
    "simulations": {"base", "privacy", "strategies", "client", "server", "simulations"},
    "deploy": {"base", "privacy", "strategies", "client", "server", "deploy"},
    "cli": {"base", "privacy", "strategies", "client", "server", "simulations", "deploy", "cli"},
}
OWNERS = {
    "opacus": ("privacy/gradients",),
    "cryptography": ("privacy", "deploy"),
    "dp_accounting": ("privacy",),
    "flwr": ("base/messages", "strategies", "client", "server", "simulations", "deploy", "cli"),
    "duckdb": ("base/data",),
    "psycopg": ("base/data",),
    "optuna": ("simulations",),
}


def modules() -> list[tuple[Path, str]]:
    """Every module with its layer."""
    found = [(path, role) for role in ROLES for path in sorted((ROOT / role).rglob("*.py"))]
    for path in sorted(SOURCE.rglob("*.py")):
        top = path.relative_to(SOURCE).parts[0]
        if top not in ROLES:
            found.append((path, top if top in ("cli", "deploy") else "base"))
    return found


def imports(path: Path) -> list[str]:
    """Absolute names of everything that a module imports, also inside functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(name: str) -> str:
    part = name.split(".")[1] if "." in name else ""
    return part if part in MAY_IMPORT else "base"


@pytest.mark.parametrize(("path", "layer"), modules(), ids=lambda value: str(value).removeprefix(str(ROOT) + "/"))
def test_a_module_imports_only_its_own_and_lower_layers(path: Path, layer: str) -> None:
    for name in imports(path):
        assert name.split(".")[0] not in ROLES, f"{path} imports the bare folder {name}"
        is_facade = path == SOURCE / "__init__.py"
        if name.split(".")[0] == "fedrec" and not is_facade:
            assert layer_of(name) in MAY_IMPORT[layer], f"{layer} must not import {name}"


@pytest.mark.parametrize(("path", "layer"), modules(), ids=lambda value: str(value).removeprefix(str(ROOT) + "/"))
def test_a_heavy_package_is_imported_only_by_its_owner(path: Path, layer: str) -> None:
    inside = SOURCE if layer == "base" else ROOT / layer if layer in ROLES else SOURCE / layer
    place = f"{layer}/{path.relative_to(inside)}"
    for name in imports(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or place.startswith(owners), f"{path} imports {name}, which belongs to {owners}"


def test_the_border_between_client_and_server_is_watched() -> None:
    assert "server" not in MAY_IMPORT["client"]
    assert "client" not in MAY_IMPORT["server"]
    assert {layer for _, layer in modules()} == set(MAY_IMPORT)


def test_nothing_is_pickled() -> None:
    for path, _ in modules():
        forbidden = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
        assert not {name.split(".")[0] for name in imports(path)} & forbidden, path
        assert "allow_pickle=True" not in path.read_text(encoding="utf-8"), path
