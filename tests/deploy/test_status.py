"""What an operator sees: figures that a person can read off the events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.page import page
from fedrec.deploy.platform.runs import Run, existing_run, new_run
from fedrec.deploy.platform.status import rounds, spent, status_of
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Gaussian, as_record
from tests.deploy.market import fedrec, write_catalogue

NOISE = Gaussian(1.0, 4.0)
SUM = {"event": "secure-sum", "cohort": 3, "degree": 2, "threshold": 2, "alive": 3, "dropped": []}


def asked(number: int) -> dict[str, object]:
    return {"event": "round-start", "round": number, "phase": "final", "action": "sum item_counts", "nodes": 3}


def answered(number: int, clients: int = 3) -> dict[str, object]:
    ended = {"event": "round-end", "round": number, "clients": clients, "failed": {}, "bytes_up": 100, "bytes_down": 50}
    return ended | {"seconds": 2.5, "mechanisms": [as_record(NOISE)]}


EVENTS = [
    {"event": "run-start"},
    asked(1),
    SUM,
    answered(1),
    asked(2),
    {"event": "refused", "node": 77, "reason": "budget-spent", "detail": "epsilon=8"},
    SUM | {"alive": 2, "dropped": [3]},
    answered(2, clients=2),
    asked(3),
    {"event": "no-answer", "node": 78},
]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    fedrec("platform", "init", tmp_path / "market", "--catalogue", write_catalogue(tmp_path))
    return Platform(tmp_path / "market")


def run_with(platform: Platform, name: str, events: list[dict[str, object]]) -> Run:
    source = platform.folder.parent / f"{name}.toml"
    source.write_text(
        f'name = "{name}"\n[federation]\nmin_tenants = 3\n[privacy]\nepsilon = 8.0\ndelta = 1e-5\n[[models]]\nname = "popularity"\n'
    )
    run = new_run(platform, source)
    (run.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run


def test_rounds_are_read_off_the_events():
    first, second, third = rounds(EVENTS)
    assert (first.cohort, first.clients, first.dropped, first.refusals) == (3, 3, (), ())
    assert (first.bytes_up, first.bytes_down, first.seconds) == (100, 50, 2.5)
    assert (second.clients, second.dropped) == (2, (3,))
    assert second.refusals == ("node 77: budget-spent (epsilon=8)",)
    assert (third.number, third.clients, third.refusals) == (3, 0, ("node 78: no-answer",))


def test_a_tenant_pays_for_the_sums_that_it_is_in():
    assert spent(EVENTS, 1, 1e-5) == epsilon_of([NOISE, NOISE], 1e-5)
    assert spent(EVENTS, 3, 1e-5) == epsilon_of([NOISE], 1e-5)
    assert spent(EVENTS[:1], 1, 1e-5) == 0.0
    assert spent(EVENTS, 1, None) is None


def test_the_status_of_a_platform_that_is_down(platform):
    run_with(platform, "first", EVENTS)
    (platform.folder / "nodes.json").write_text('{"north": 77}')
    found = status_of(platform)
    assert (found.up, found.run, found.run_status) == (False, "first", "interrupted")
    assert [(one.name, one.node, one.status) for one in found.tenants] == [("north", 77, "unknown")]
    assert json.loads(found.as_json())["rounds"][1]["dropped"] == [3]
    told = fedrec("platform", "status", platform.folder, "--html", platform.folder / "status.html")
    assert "interrupted" in told
    assert "budget-spent" in (platform.folder / "status.html").read_text()


def test_a_page_shows_what_a_node_says_as_text(platform):
    evil = {"event": "refused", "node": 1, "reason": "<script>alert(1)</script>", "detail": ""}
    run_with(platform, "first", [asked(1), evil])
    shown = page(status_of(platform))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_a_run_has_a_name_of_its_own(platform):
    run = run_with(platform, "first", [])
    with pytest.raises(ConfigError, match="There was a run 'first'"):
        run_with(platform, "first", [])
    assert existing_run(platform, "first") == existing_run(platform, None) == run
    with pytest.raises(ConfigError, match="there are: first"):
        existing_run(platform, "second")
    (run.folder / "server.json").write_text("{}")
    with pytest.raises(ConfigError, match="finished"):
        run.submit()
