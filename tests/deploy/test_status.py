"""What an operator sees: figures that a person can read off the events."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedrec.deploy.explained import Explained
from fedrec.deploy.platform.findings import findings, reasons
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.rounds import Declined, rounds, spent
from fedrec.deploy.platform.runs import existing_run
from fedrec.deploy.platform.status import Status, history, status_of
from fedrec.errors import ConfigError, RoundFailed
from fedrec.privacy.accountant import epsilon_of
from fedrec.simulations.grid import InProcessGrid
from tests.deploy.market import fedrec
from tests.deploy.watched import EVENTS, NOISE, SUM, answered, asked, new_platform, run_with


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return new_platform(tmp_path)


def test_rounds_are_read_off_the_events():
    first, second, third = rounds(EVENTS)
    assert (first.cohort, first.clients, first.dropped, first.declined) == (3, 3, (), ())
    assert (first.outcome, first.bytes_up, first.bytes_down, first.seconds) == ("done", 100, 50, 2.5)
    assert (second.clients, second.dropped) == (2, (3,))
    assert second.declined == (Declined(77, "budget-spent", "epsilon=8"),)
    assert (third.number, third.outcome, third.clients) == (3, "under way", 0)
    assert third.declined == (Declined(78, "no-answer"),)


def test_a_round_without_an_end_is_discarded_once_the_run_is_over_or_began_anew():
    assert [one.outcome for one in rounds(EVENTS, goes_on=False)] == ["done", "done", "discarded"]
    again = [
        asked(1),
        {"event": "run-start"},
        asked(1),
        {"event": "round-discarded", "round": 1},
        asked(2),
        answered(2),
    ]
    assert [(one.number, one.outcome) for one in rounds(again)] == [(1, "discarded"), (1, "discarded"), (2, "done")]


def test_clients_that_failed_without_masks_are_named_with_their_reason():
    (one,) = rounds([asked(1), {**answered(1), "failed": {"78": "ledger-damaged"}}])
    assert one.declined == (Declined(78, "ledger-damaged"),)


def test_a_tenant_pays_for_the_sums_that_it_is_in():
    assert spent(EVENTS, 1, 1e-5) == epsilon_of([NOISE, NOISE], 1e-5)
    assert spent(EVENTS, 3, 1e-5) == epsilon_of([NOISE], 1e-5)
    assert spent(EVENTS[:1], 1, 1e-5) == 0.0
    assert spent(EVENTS, 1, None) is None


def test_one_who_dropped_out_of_any_of_several_groups_is_not_charged():
    groups = [asked(1), {**SUM, "dropped": [3]}, SUM, answered(1)]
    assert spent(groups, 3, 1e-5) == 0.0
    assert spent([asked(1), {**SUM, "dropped": [3]}, asked(2), answered(2)], 3, 1e-5) == epsilon_of([NOISE], 1e-5)


def test_the_status_of_a_platform_that_is_down(platform):
    run_with(platform, "first", EVENTS)
    found = status_of(platform)
    assert (found.up, found.run, found.run_status) == (False, "first", "interrupted")
    assert [(one.name, one.node, one.number) for one in found.tenants[:1]] == [("north", 77, 1)]
    assert {one.status for one in found.tenants} == {"unknown"}
    assert json.loads(found.as_json())["rounds"][1]["dropped"] == [3]
    told = fedrec("platform", "status", platform.folder, "--html", platform.folder / "status.html")
    assert "platform is down" in told
    assert "fedrec platform run --resume first" in " ".join(told.split())
    assert "budget-spent" in (platform.folder / "status.html").read_text()


def test_epsilon_of_all_runs_is_that_of_their_releases_together(platform):
    run_with(platform, "first", EVENTS)
    run_with(platform, "second", [asked(1), SUM, answered(1)])
    north = status_of(platform, "second").tenants[0]
    assert north.epsilon == epsilon_of([NOISE], 1e-5)
    assert north.ever == epsilon_of([NOISE] * 3, 1e-5)


def test_a_run_that_goes_on_is_read_again_and_a_finished_one_too_if_it_changed(platform):
    run = run_with(platform, "first", EVENTS[:4])
    assert len(history(platform)["first"]) == 4
    run_events = run.folder / "events.jsonl"
    run_events.write_text(run_events.read_text() * 2)
    assert len(history(platform)["first"]) == 8
    (run.folder / "server.json").write_text("{}")
    assert history(platform)["first"] is history(platform)["first"]
    run_events.write_text("")
    assert history(platform)["first"] == []


def test_who_declined_is_named_and_counted(platform):
    run_with(platform, "first", [*EVENTS, *EVENTS[4:6]])
    told = reasons(status_of(platform))
    assert told[0] == ("north", "budget-spent", 2, "epsilon=8")
    assert told[1][:3] == ("south", "no-answer", 1)


def up(status: Status, run_status: str = "running") -> Status:
    """The same with a platform that is up, and its first tenant online."""
    first, *others = status.tenants
    rows = (replace(first, status="online"), *(replace(one, status="offline") for one in others))
    return replace(status, up=True, run_status=run_status, tenants=rows)


def tones(status: Status) -> dict[str, str]:
    """First words of each finding -> its tone."""
    return {" ".join(one.text.split()[:3]): one.tone for one in findings(status)}


def test_bad_states_are_said_first_and_say_what_to_do(platform):
    assert tones(status_of(platform)) == {"The platform is": "bad", "There was no": "good"}
    run_with(platform, "first", EVENTS)
    down = status_of(platform)
    assert tones(down)["Run first was"] == "bad"
    assert tones(down)["north declined 1"] == "bad"
    assert tones(down)["south gave no"] == "warn"
    running = up(down)
    (away,) = [one.text for one in findings(running) if one.text.startswith("Not online")]
    assert "south, west" in away
    assert tones(running)["Run first is"] == "good"
    assert tones(up(down, "finished:failed"))["Run first ended"] == "bad"
    assert tones(up(down, "waiting"))["Run first waits"] == "warn"
    assert findings(running)[0].tone == "bad", "a spent budget comes before who is offline"


@pytest.mark.parametrize(
    ("until", "tone", "said"), [("2020-01-01", "bad", "has ended"), ("2026-12-01", "warn", "9 days")]
)
def test_a_certificate_that_ends_is_told_in_time(platform, until, tone, said):
    status = replace(status_of(platform), at="2026-11-22T00:00:00+00:00", certificate_until=f"{until}T00:00:00+00:00")
    (told,) = [one for one in findings(status) if "certificate" in one.text]
    assert told.tone == tone
    assert said in told.text


def attempt(out: Path, error: Exception | None) -> None:
    """A ServerApp as it runs under `fedrec platform up`."""
    app = ServerApp()

    @app.main()
    def main(grid, context):
        if error is not None:
            raise error

    context = Context(1, 1, {}, RecordDict(), {"out": str(out)})
    with nullcontext() if error is None else pytest.raises(type(error)):
        Explained(app)(InProcessGrid(ClientApp(), {}, {}), context)


def test_why_a_run_failed_is_said_until_it_is_taken_up_again(platform):
    run = run_with(platform, "first", EVENTS)
    attempt(run.folder, RoundFailed("2 usable replies,\nexpected 3."))
    (told,) = [one.text for one in findings(status_of(platform)) if one.text.startswith("Run first")]
    assert told.endswith("It said: 2 usable replies, expected 3.")
    attempt(run.folder, KeyError("anything"))
    assert "KeyError at test_status.py" in status_of(platform).why
    assert "anything" not in status_of(platform).why
    attempt(run.folder, None)
    assert status_of(platform).why is None


def test_what_a_run_found_to_have_drifted_is_said(platform):
    run_with(platform, "first", [{"event": "drift", "round": 0, "alarms": ["Users choose other things."]}])
    status = status_of(platform)
    assert tones(status)["Users choose other"] == "warn"


def test_a_platform_without_tenants_says_so(tmp_path):
    assert "There is no tenant yet" in fedrec("platform", "status", new_platform(tmp_path, {}).folder)


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
