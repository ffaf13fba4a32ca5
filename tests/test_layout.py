"""The layout that the project promises, and that what is installed is what lies here."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("server", "client", "strategies", "privacy", "simulations")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_folder_is_a_package_of_fedrec_by_a_relative_link(role: str) -> None:
    link = ROOT / "src" / "fedrec" / role
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{role}"
    assert (ROOT / role / "__init__.py").is_file()


def test_the_top_level_is_what_the_readme_says() -> None:
    expected = {*ROLES, "tests", "pyproject.toml", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    expected |= {"SECURITY.md", "LICENSE", "Makefile", "constraints.txt", "src", "benchmarks", ".ci"}
    assert expected <= {path.name for path in ROOT.iterdir()}


def test_no_source_file_outgrows_its_idea() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    long = {name for name in listed.stdout.split() if len((ROOT / name).read_text().splitlines()) > 300}
    assert {name for name in long if not name.startswith("tests/")} == set()


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_no_top_level_server(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(run, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = subprocess.check_output(
        [str(python), "-c", "import site; print(site.getsitepackages()[0])"], text=True
    ).strip()
    assert not [role for role in ROLES if (Path(site) / role).exists()]
    here = {path.relative_to(ROOT / role).as_posix() for role in ROLES for path in (ROOT / role).rglob("*.py")}
    there = {
        path.relative_to(Path(site) / "fedrec" / role).as_posix()
        for role in ROLES
        for path in (Path(site) / "fedrec" / role).rglob("*.py")
    }
    assert here == there
    assert (Path(site) / "fedrec" / "simulations" / "presets" / "demo.toml").is_file()
    walk = (
        "import sys, pkgutil, importlib, fedrec\n"
        "names = [m.name for m in pkgutil.walk_packages(fedrec.__path__, 'fedrec.') if not m.name.endswith('__main__')]\n"
        "assert len(names) > 40, names\n"
        "[importlib.import_module(name) for name in names]\n"
    )
    # The dependencies come from this environment, fedrec itself only from the wheel.
    here_site = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"import sys; sys.path.append({here_site!r})\n" + walk
    subprocess.run([str(python), "-c", code], check=True, capture_output=True, cwd=tmp_path)
