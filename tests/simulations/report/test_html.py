"""What a reader finds on the page, and what must never be on it."""

import re
from html.parser import HTMLParser

import pytest

from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Privacy, Result

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags with attributes, visible text, and the first badly nested end tag."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.open, self.broken = [], [], [], None
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken = self.broken or tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page_of():
    return lambda report: Page(render(report))


@pytest.fixture(scope="module")
def html(report):
    return render(report)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.mark.parametrize(
    "said",
    [
        "Joining helps",
        "0.2071 with federated EASE against 0.1608 with EASE at each tenant alone (+28.8 %)",
        "18 of 20 measured tenants better off",
        "No noise was added and no masks were on",
        "This part is each tenant's own view",
        "33.4 MB",
        "Round 2, tenant-12: timed out after 30 s",
        "1,682 × 1,682",
        "Users with 10–49 earlier events",
        "Cold items, never seen in training",
        "gini@10",
        "chosen on validation",
        "fedrec simulate --preset marketplace --seed 1",
        "numpy 2.3.5",
        "stays at the tenant",
        "no test users",
        "Glossary",
    ],
)
def test_the_page_says_what_a_reader_needs(page, said):
    assert said in page.text


def test_every_tenant_has_a_row_with_its_full_name(page, report):
    assert all(tenant.name in page.text for tenant in report.tenants)


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert page.broken is None
    assert page.open == []
    assert len(ids) == len(set(ids))


def test_every_reference_points_into_the_page_itself(page, html):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    targets = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("href", "xlink:href", "src", "action")]
    targets += re.findall(r"url\(([^)]*)\)", html)
    assert targets
    assert {target for target in targets if target.removeprefix("#") not in ids} == set()
    assert all(target.startswith("#") for target in targets)


def test_the_page_names_no_address_but_those_in_the_report(report, make_report):
    unlicensed = make_report(data=report.data.model_copy(update={"licence": None}))
    assert re.findall(r"https?:", render(unlicensed)) == []


def test_the_page_has_no_script_and_forbids_loading_anything(page):
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_names_are_text_and_never_markup(html):
    assert "<script>" not in html
    assert "<b>disk full" not in html
    assert "&lt;script&gt;" in html


def test_a_hostile_name_cannot_leave_an_attribute_or_a_drawing(page_of, make_report, report):
    hostile = "\"'><svg onload=x></svg></text>-->\x1b[2J"
    tenants = [report.tenants[0].model_copy(update={"name": hostile}), *report.tenants[1:]]
    page = page_of(make_report(tenants=tenants, name=hostile, arms=[hostile]))
    assert page.broken is None
    assert not any("onload" in attrs for _, attrs in page.tags)
    assert "\x1b" not in page.text


def test_the_same_report_gives_the_same_bytes(html, report):
    assert render(report.model_copy(deep=True)) == html


def test_charts_follow_the_colours_of_the_page_and_have_words(page, html):
    charts = [attrs["aria-label"] for _, attrs in page.tags if attrs.get("role") == "img"]
    assert len(charts) == 6  # picture, models and gains, each wide and narrow
    assert all(len(words) > 100 for words in charts)
    assert "corner −6.2 %" in charts[-1]
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "var(--federated)" in drawings
    assert re.findall(r": (#[0-9a-f]{3,8})", drawings) == []


def test_tables_and_headings_can_be_navigated(page):
    assert len(page.all("h1")) == 1
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in attrs for attrs in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"models": [], "results": [], "tenants": [], "rounds": [], "arms": [], "chosen": None},
        {"models": []},
        {"tenants": []},
        {"rounds": []},
        {"seconds": {}, "versions": {}},
        {"headline": "Recall@20"},
        {"chosen": "gone"},
    ],
    ids=["empty", "models", "tenants", "rounds", "seconds", "headline", "chosen"],
)
def test_a_report_with_parts_missing_is_drawn_without_them(page_of, make_report, changes):
    page = page_of(make_report(**changes))
    assert page.broken is None
    assert "Glossary" in page.text


@pytest.mark.parametrize(("evaluations", "said"), [(1, "asked 1 time to find"), (1200, "asked 1,200 times to find")])
def test_a_configuration_that_was_tuned_says_how_often_validation_was_asked(page_of, make_report, evaluations, said):
    assert said in page_of(make_report(evaluations=evaluations)).text


@pytest.mark.parametrize("arm", ["floor", "local", "federated", "pooled"])
def test_a_missing_arm_is_left_out(page_of, make_report, report, arm):
    results = [result for result in report.results if result.arm != arm]
    page = page_of(make_report(results=results, arms=[a for a in report.arms if a != arm]))
    assert page.broken is None
    assert ("The pooled arm is not in this picture" in page.text) == (arm != "pooled")


def test_slices_and_metrics_that_are_missing_leave_no_hole(page_of, make_report, report):
    bare = [
        Result(arm=r.arm, model=r.model, slices={"all": {"NDCG@10": r.slices["all"]["NDCG@10"]}})
        for r in report.results
    ]
    page = page_of(make_report(results=bare))
    assert "NDCG@10 by slice: nothing to show in this run." in page.text
    assert "Beyond accuracy, on all test users: nothing to show in this run." in page.text


def test_thousands_of_tenants_are_cut_and_the_cut_is_said(page_of, make_report, report):
    tenants = [report.tenants[0].model_copy(update={"name": f"device-{n}"}) for n in range(1000)]
    assert "800 more tenants are in report.json." in page_of(make_report(tenants=tenants)).text


def test_tenants_results_are_said_to_be_private_only_where_masks_hid_them(page, page_of, make_report):
    masked = Privacy(noise="none", masks="pairwise", statement="ok", masks_on=True)
    assert "never left it" in page_of(make_report(privacy=masked)).text
    assert "never left it" not in page.text
    assert "the server received each tenant's test sums" in page.text


def test_protection_that_was_on_is_shown_without_a_warning(page_of, make_report):
    privacy = Privacy(noise="Gaussian, sigma 1.1", masks="pairwise", statement="ok", noise_on=True, masks_on=True)
    page = page_of(make_report(privacy=privacy))
    assert "On. Gaussian, sigma 1.1" in page.text
    assert "This run measures quality and cost, not privacy" not in page.text
