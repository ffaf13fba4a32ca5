"""Numbers for Prometheus: read by its own parser, from a real endpoint, with labels that tell nothing of anybody."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedrec.client.guard import guard_of
from fedrec.client.ledger import Entry
from fedrec.deploy.flower import executable
from fedrec.deploy.logs import LOG
from fedrec.deploy.metrics import Histogram, exposition, gauge, serve
from fedrec.deploy.platform.metrics import STATES, _tenants, look, state_of
from fedrec.deploy.platform.status import status_of
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.heard import Heard
from fedrec.deploy.tenant.metrics import Looking
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import epsilon_of
from tests.deploy.market import HISTORIES, fedrec, new_tenant
from tests.deploy.watched import EVENTS, NOISE, asked, new_platform, run_with

Numbers = dict[tuple[str, tuple[str, ...]], float]
PORT = 0  # a free one


def read(text: str) -> Numbers:
    """(name, values of its labels in the order of their names) -> number."""
    families = text_string_to_metric_families(text)
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


@pytest.fixture
def platform(tmp_path: Path):
    platform = new_platform(tmp_path)
    run_with(platform, "first", EVENTS)
    return platform


def test_a_platforms_numbers_are_those_of_its_events(platform):
    found = read(exposition(lambda: look(platform)))
    assert found["fedrec_platform_up", ()] == 0
    assert found["fedrec_platform_tenants", ()] == 3
    assert found["fedrec_platform_rounds_total", ("done",)] == 2
    assert found["fedrec_platform_rounds_total", ("discarded",)] == 1
    assert found["fedrec_platform_round_duration_seconds_bucket", ("1.0",)] == 0
    assert found["fedrec_platform_round_duration_seconds_bucket", ("3.0",)] == 2
    assert found["fedrec_platform_round_duration_seconds_sum", ()] == 5.0
    assert found["fedrec_platform_drops_total", ("west",)] == 1
    assert found["fedrec_platform_refusals_total", ("budget-spent", "north")] == 1
    assert found["fedrec_platform_refusals_total", ("no-answer", "south")] == 1
    assert found["fedrec_platform_payload_bytes_total", ("up",)] == 200
    assert found["fedrec_platform_payload_bytes_total", ("down",)] == 100
    assert found["fedrec_platform_round_cohort", ()] == 3
    assert found["fedrec_platform_round_clients", ()] == 2
    assert found["fedrec_platform_run_epsilon_budget", ()] == 8
    assert found["fedrec_platform_tenant_epsilon_spent", ("west",)] == epsilon_of([NOISE], 1e-5)
    assert found["fedrec_scrape_success", ()] == 1
    states = {state: found["fedrec_platform_run_state", (state,)] for state in STATES}
    assert states == dict.fromkeys(STATES, 0.0) | {"interrupted": 1.0}


def test_counters_are_over_all_runs(platform):
    run_with(platform, "second", EVENTS[:4])
    found = read(exposition(lambda: look(platform)))
    assert found["fedrec_platform_rounds_total", ("done",)] == 3
    assert found["fedrec_platform_tenant_epsilon_spent", ("west",)] == epsilon_of([NOISE] * 2, 1e-5)


def test_who_is_online_is_told_where_the_platform_knows(platform):
    status = status_of(platform)
    assert not [one for family in _tenants(status) for one in family.samples if "online" in family.name]
    first, *others = status.tenants
    known = replace(status, tenants=(replace(first, status="online"), replace(others[0], status="offline"), others[1]))
    online = next(family for family in _tenants(known) if family.name == "fedrec_platform_tenant_online")
    assert {one.labels["tenant"]: one.value for one in online.samples} == {"north": 1.0, "south": 0.0}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("running", "running"),
        ("pending", "waiting"),
        ("finished:failed", "failed"),
        ("finished", "finished"),
        ("x", "unknown"),
    ],
)
def test_a_run_is_in_one_of_a_few_states(said, state):
    assert state_of(said) == state


def test_what_a_tenant_says_is_no_label(tmp_path):
    platform = new_platform(tmp_path)
    evil = {"event": "refused", "node": 77, "reason": "ann@example", "detail": "ann@example"}
    run_with(platform, "first", [asked(1), evil, {**evil, "node": 5}])
    text = exposition(lambda: look(platform))
    assert "ann@example" not in text
    assert read(text)["fedrec_platform_refusals_total", ("other", "north")] == 1
    assert read(text)["fedrec_platform_refusals_total", ("other", "unknown")] == 1


def line(event: str, **fields: object) -> str:
    return json.dumps({"time": "2026-11-22T10:00:00.000+00:00", "event": event, **fields}) + "\n"


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    return Tenant(new_tenant(tmp_path, 0, "--epsilon", "8"))


def test_a_tenants_numbers_are_those_of_its_ledger_and_its_log(tenant):
    guard = guard_of(tenant.store)
    guard.ledger.record(Entry("round 1", (NOISE,), "2026-11-22T10:00:00+00:00"), 8.0, 1e-5)
    (tenant.folder / LOG).parent.mkdir()
    (tenant.folder / LOG).write_text(
        line("answered", round=3, seconds=0.5) + line("refused", reason="budget-spent") + "torn"
    )
    found = read(exposition(Looking.at(tenant)))
    assert found["fedrec_tenant_up", ()] == 0
    assert (found["fedrec_tenant_users", ()], found["fedrec_tenant_events", ()]) == (2, 8)
    assert found["fedrec_tenant_epsilon_spent", ()] == epsilon_of([NOISE], 1e-5)
    assert found["fedrec_tenant_epsilon_budget", ()] == 8
    assert found["fedrec_tenant_releases_total", ()] == 1
    assert found["fedrec_tenant_last_release_timestamp_seconds", ()] == 1_795_341_600
    assert found["fedrec_tenant_answers_total", ()] == 1
    assert found["fedrec_tenant_last_round", ()] == 3
    assert found["fedrec_tenant_refusals_total", ("budget-spent",)] == 1
    told = fedrec("tenant", "status", tenant.folder)
    assert "1, of them declined: budget-spent (1)" in " ".join(told.split())


def test_no_number_of_a_tenant_names_a_user_or_an_item(tenant):
    (tenant.folder / LOG).parent.mkdir()
    (tenant.folder / LOG).write_text(line("refused", reason="ann@example", user="ann@example"))
    text = exposition(Looking.at(tenant))
    assert read(text)["fedrec_tenant_refusals_total", ("other",)] == 1
    assert not [user for user in HISTORIES[0] if user in text]
    labels = {value for _, values in read(text) for value in values}
    assert labels == {"other"}


def test_a_tenant_without_a_budget_has_no_epsilon(tmp_path):
    text = exposition(Looking.at(Tenant(new_tenant(tmp_path, 0))))
    assert "epsilon" not in text
    assert "fedrec_tenant_users" in text


def test_a_log_is_read_on_from_where_it_was_left(tmp_path):
    path = tmp_path / "log"
    heard = Heard(path)
    heard.listen()
    assert heard.answers == 0
    path.write_text(line("answered", round=1) + line("answered", round=2)[:20])
    heard.listen()
    assert (heard.answers, heard.last_round) == (1, 1)
    path.write_text(line("answered", round=1) + line("answered", round=2) + "no JSON\n[]\n")
    heard.listen()
    assert (heard.answers, heard.last_round) == (2, 2)
    path.write_text(line("answered", round=9))
    heard.listen()
    assert (heard.answers, heard.last_round) == (3, 9), "a log that was cut begins anew, the count goes on"


def test_failures_are_counted_by_what_the_server_was_told(tmp_path):
    heard = Heard(tmp_path / "log")
    failures = [
        line("failed", error="DataError at data/dataset.py:81 in read"),
        line("failed", error="ann@example"),
        line("failed unexpectedly", error="KeyError"),
        line("storage failed", code=28),
    ]
    heard.path.write_text("".join(failures))
    heard.listen()
    reasons = ("DataError", "other", "internal-error", "storage-failed")
    assert heard.refusals == {(reason,): 1 for reason in reasons}


def test_an_endpoint_on_loopback_answers_a_scrape(tenant):
    port, end = serve(Looking.at(tenant), PORT)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert read(answer.read().decode())["fedrec_tenant_users", ()] == 2
        with pytest.raises(OSError, match="in use"):
            serve(Looking.at(tenant), port)
    finally:
        end()


def test_the_command_answers_until_it_is_asked_to_end(tenant):
    """In a process of its own, since it says how its process logs."""
    command = (executable("fedrec"), "tenant", "metrics", str(tenant.folder), "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stderr.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            told = urllib.request.urlopen(address, timeout=20).read().decode()
            assert read(told)["fedrec_tenant_users", ()] == 2
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_numbers_that_cannot_be_had_are_told_as_such():
    def broken():
        raise ValueError("the row of ann@example")

    text = exposition(broken)
    assert read(text) == {("fedrec_scrape_success", ()): 0.0}


def test_several_scrapes_within_seconds_look_once():
    looks = []

    def counted():
        looks.append(1)
        return gauge("fedrec_x", "X.", len(looks))

    port, end = serve(counted, PORT)
    try:
        answers = [urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read() for _ in range(3)]
    finally:
        end()
    assert {read(one.decode())["fedrec_x", ()] for one in answers} == {1.0}


def test_a_histogram_counts_up_to_each_bound():
    found = read(exposition(lambda: [Histogram("fedrec_s", "S.", (1.0, 2.0, 9.0), (1.0, 5.0))]))
    assert [found["fedrec_s_bucket", (le,)] for le in ("1.0", "5.0", "+Inf")] == [1, 2, 3]
    assert (found["fedrec_s_sum", ()], found["fedrec_s_count", ()]) == (12.0, 3)


EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "deploy"


def test_the_alerts_of_the_examples_are_on_metrics_that_there_are(platform, tenant):
    exposed = exposition(lambda: look(platform)) + exposition(Looking.at(tenant))
    # the numbers of nodes are there while the platform is up, see above
    names = {name for name, _ in read(exposed)} | {"fedrec_platform_tenant_online"}
    used = set(re.findall(r"fedrec_\w+", (EXAMPLES / "alerts.yml").read_text()))
    assert len(used - {"fedrec_platform_", "fedrec_tenant_"}) >= 7
    assert used - names <= {"fedrec_platform_", "fedrec_tenant_"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus' promtool")
def test_the_alerts_of_the_examples_fire_when_they_should():
    subprocess.run(["promtool", "check", "config", "prometheus.yml"], cwd=EXAMPLES, check=True)
    subprocess.run(["promtool", "test", "rules", "alerts.test.yml"], cwd=EXAMPLES, check=True)


def test_without_the_library_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedrec\[metrics\]'"):
        exposition(list)
