"""The page of a platform: whole HTML that asks nothing of anybody, with bars that a person can check."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fedrec.deploy.platform import bars
from fedrec.deploy.platform.page import epsilon_words, page
from fedrec.deploy.platform.rounds import Round
from fedrec.deploy.platform.status import Status, status_of
from tests.deploy.watched import EVENTS, asked, new_platform, run_with

VOID = {"meta"}


class Tags(HTMLParser):
    """Checks that every element is ended by its own tag, and keeps attributes and names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.seen


@pytest.fixture
def status(tmp_path) -> Status:
    platform = new_platform(tmp_path)
    run_with(platform, "first", EVENTS)
    return status_of(platform)


def test_a_page_is_whole_and_asks_nothing_of_anybody(status):
    seen = tags_of(page(status))
    assert {"svg", "rect", "table", "h1"} <= {tag for tag, _ in seen}
    assert not {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in seen}
    assert not [value for _, found in seen for name, value in found.items() if name in ("src", "href", "onload")]
    assert [found["content"] for _, found in seen if found.get("http-equiv") == "Content-Security-Policy"]


def test_only_a_page_that_is_written_again_loads_itself_again(status):
    assert 'http-equiv="refresh"' not in page(status)
    assert '<meta http-equiv="refresh" content="5">' in page(status, refresh=True)


def test_a_page_of_nothing_reads_well(tmp_path):
    shown = page(status_of(new_platform(tmp_path, {})))
    tags_of(shown)
    assert "market is down" in shown
    assert "Nobody was let in yet." in shown
    assert "No round is over yet." in shown


def test_a_page_shows_what_a_node_says_as_text(tmp_path):
    platform = new_platform(tmp_path)
    evil = {"event": "refused", "node": 77, "reason": "<script>alert(1)</script>", "detail": "\x1b[2J<b>"}
    run_with(platform, "first", [asked(1), evil])
    shown = page(status_of(platform))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "\x1b" not in shown


def test_a_page_names_who_dropped_out(status):
    assert "west" in page(replace(status, tenants=status.tenants))
    assert '<td class="number">west</td>' in page(status)


def test_a_bar_is_as_high_as_its_share_of_the_highest():
    several = [Round(1, "sum", 3, seconds=2.0), Round(2, "sum", 3, seconds=4.0), Round(3, "sum", 3, seconds=0.001)]
    row = bars.rows(several)[0]
    assert [bar.height for bar in row.bars] == [36.0, 72.0, 2.0]
    assert [bar.y for bar in row.bars] == [36.0, 0.0, 70.0]
    assert [bar.x for bar in row.bars] == [0.0, 48.0, 96.0]
    assert row.most == "4.00 s"
    assert row.bars[1].told == "round 2, sum: 4.00 s"


def test_a_discarded_round_has_lost_everyone_and_one_under_way_has_no_bar():
    several = [
        Round(1, "sum", 3, outcome="discarded"),
        Round(2, "sum", 3, dropped=(2,)),
        Round(3, "sum", 3, outcome="under way"),
    ]
    lost = bars.rows(several)[-1]
    assert [bar.height for bar in lost.bars] == [72.0, 24.0]
    assert lost.bars[0].told == "round 1, sum: 3, discarded"
    assert bars.rows(several[-1:]) == []


def test_of_many_rounds_the_last_ones_are_drawn_within_the_picture():
    row = bars.rows([Round(number, "sum", 3, seconds=1.0) for number in range(1, 1001)])[0]
    assert len(row.bars) == bars.MOST
    assert row.bars[0].told.startswith(f"round {1001 - bars.MOST},")
    assert row.bars[-1].x + row.bars[-1].width <= bars.WIDTH


def test_epsilon_is_said_with_its_budget():
    assert (epsilon_words(None, 8.0), epsilon_words(2.50001, 8.0), epsilon_words(0.0)) == ("–", "2.5 of 8", "0")
