"""Whatever fedrec may say when it declines is known to those who count and log it, and nothing else is."""

from __future__ import annotations

import ast
from pathlib import Path

from fedrec.deploy import bundle
from fedrec.deploy.reasons import OTHER, REASONS, known

SOURCE = Path(__file__).resolve().parents[2]
FOLDERS = ("client", "server", "strategies", "privacy", "src/fedrec")


def said() -> set[str]:
    """The first argument of every `Refusal(...)`, `refusal(...)` and reason of a reported event, where it is a text."""
    found = set()
    for folder in FOLDERS:
        for path in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args and name_of(node.func) in ("Refusal", "refusal"):
                    found |= texts(node.args[0])
                elif isinstance(node, ast.keyword) and node.arg == "reason":
                    found |= texts(node.value)
    return found


def name_of(function: ast.expr) -> str:
    return getattr(function, "id", "") or getattr(function, "attr", "")


def texts(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_reason_in_the_code_is_known():
    found = said() | {bundle.WRONG_VERSION, bundle.UNKNOWN_APP}
    assert {"budget-spent", "client-error", "wrong-version"} < found, "this test sees nothing"
    assert found - REASONS == set(), "add these words to deploy/reasons.py"


def test_a_word_of_anybody_elses_is_not_repeated():
    assert known("budget-spent") == "budget-spent"
    assert known("DataError") == "DataError"
    assert known("ann@example") == known(4711) == known(None) == OTHER
