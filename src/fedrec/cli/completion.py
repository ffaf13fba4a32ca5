"""What the shell offers at the tab key. Imports are inside: they are paid for only there."""

from __future__ import annotations

from pathlib import Path


def configurations(incomplete: str) -> list[str]:
    """Presets, and TOML files and folders below what was typed."""
    from fedrec.config import presets

    return _starting(presets(), incomplete) + _paths(incomplete, ".toml")


def datasets(incomplete: str) -> list[str]:
    """Public datasets, and files and folders."""
    from fedrec.config import SYNTHETIC
    from fedrec.data.sources import SOURCES

    return _starting([*SOURCES, SYNTHETIC], incomplete) + _paths(incomplete, ".csv", ".gz", ".parquet")


def public_datasets(incomplete: str) -> list[str]:
    """Public datasets."""
    from fedrec.data.sources import SOURCES

    return _starting(list(SOURCES), incomplete)


def models(incomplete: str) -> list[str]:
    """Recommenders."""
    from fedrec.models.registry import ALGORITHMS

    return _starting(list(ALGORITHMS), incomplete)


def runs(incomplete: str) -> list[str]:
    """Folders that hold a run, in `runs/` or below what was typed."""
    from fedrec.cli.folders import RUNS

    below = [str(path.parent) for path in sorted(RUNS.glob("*/config.toml"))]
    return _starting(below, incomplete) or _paths(incomplete)


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, *suffixes: str) -> list[str]:
    """Folders, and files with one of `suffixes`, whose path starts with what was typed."""
    folder, _, start = incomplete.rpartition("/")
    place = Path(folder or ("/" if incomplete.startswith("/") else "."))
    prefix = incomplete[: len(incomplete) - len(start)]
    try:
        found = sorted(path for path in place.iterdir() if path.name.startswith(start))
    except OSError:
        return []
    shown = [path for path in found if not path.name.startswith(".") or start.startswith(".")]
    return [prefix + path.name + "/" * path.is_dir() for path in shown if path.is_dir() or path.suffix in suffixes]
