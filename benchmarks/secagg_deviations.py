"""How many deviations of a lying server the tests script, and how many of them are refused with a typed reason."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.federation import scratch
from fedrec.errors import FedrecError

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "tests" / "privacy" / "secagg").glob("test_malicious_*.py"))


@dataclass(frozen=True)
class Deviations:
    """Test functions, however many parameters each has: scripted ones, those that passed, the reasons these assert."""

    scripted: frozenset[str]
    refused: frozenset[str]
    reasons: frozenset[str]


def deviations() -> Deviations:
    """Runs the scripts. Raises FedrecError if pytest could not."""
    scripted = {name: reasons for path in SCRIPTS for name, reasons in scripted_in(path.read_text("utf-8")).items()}
    refused = frozenset(scripted) & _passed()
    reasons = frozenset(reason for name in refused for reason in scripted[name])
    return Deviations(frozenset(scripted), refused, reasons)


def scripted_in(source: str) -> dict[str, frozenset[str]]:
    """Test functions that assert a `Reason`, with the reasons. Controls, where the honest message is answered, do not.

    What only a client does to itself is no deviation of a server, so misuse of a client's own state is left out.
    """
    found = {}
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
            attributes = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
            names = (a.attr for a in attributes if isinstance(a.value, ast.Name) and a.value.id == "Reason")
            if reasons := frozenset(names) - {"STATE_USED"}:
                found[function.name] = reasons
    return found


def _passed() -> frozenset[str]:
    """Test functions all of whose cases passed."""
    with scratch() as folder:
        report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        run = subprocess.run([*command, *map(str, SCRIPTS)], cwd=ROOT, capture_output=True, text=True, check=False)
        if not report.exists():
            raise FedrecError(f"pytest made no report: {(run.stdout + run.stderr)[-500:].strip()}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    all_names = {case.attrib["name"].partition("[")[0] for case in cases}
    broken = {case.attrib["name"].partition("[")[0] for case in cases if len(case)}
    return frozenset(all_names - broken)
