"""What the page, the terminal and the verdict say of the arm that serves each tenant."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fedrec.simulations.report import standing
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Tenant, TenantResult
from fedrec.simulations.report.terminal import summary
from fedrec.simulations.report.verdict import verdict


def tenant(name, served_by, alone=0.2, federated=0.25, tuned=0.3):
    """Of ten test users; alone it would use item_knn, the federation's recommender is ease."""
    scores = {("local", "item_knn"): alone, ("federated", "ease"): federated, ("tuned", "ease"): tuned}
    return Tenant(
        name=name,
        users=12,
        test_users=10,
        events=99,
        results=[TenantResult(arm=arm, model=m, metrics={"NDCG@10": value}) for (arm, m), value in scores.items()],
        best_local="item_knn",
        best_federated="ease",
        gain=federated / alone - 1 if alone else None,
        best_personal="item_knn" if served_by == "local" else "ease",
        served_by=served_by,
    )


@pytest.fixture
def said(make_report):
    """The verdict's sentence on the tenants' own choices."""
    return lambda *tenants: next(
        (fact for fact in verdict(make_report(tenants=list(tenants))).details if fact.startswith("Each tenant")), None
    )


def test_the_choices_are_counted_and_their_mean_is_compared(said):
    assert said(tenant("a", "federated"), tenant("b", "tuned"), tenant("c", "local")) == (
        "Each tenant with what did best on its own validation (1 federated, 1 tuned, 1 its own): "
        "NDCG@10 0.2500 (0.2000 alone, 0.2500 together), none of 3 measured tenants worse off than alone."
    )


def test_the_tenant_that_is_worst_off_against_alone_is_named(said):
    found = said(tenant("a", "federated", federated=0.15), tenant("b", "tuned", tuned=0.19), tenant("c", "local"))
    assert "2 of 3 measured tenants worse off than alone (a most, −25.0 %)" in found


def test_where_no_tenant_chose_nothing_is_said(said, report):
    assert said(tenant("a", None)) is None
    assert not [fact for fact in verdict(report).details if fact.startswith("Each tenant with")]


def test_the_change_is_against_what_the_tenant_would_use_alone(make_report):
    tenants = {one: tenant(one, one) for one in ("federated", "tuned", "local")}
    report = make_report(tenants=list(tenants.values()))
    changes = {one: standing.personal_gain(report, tenants[one]) for one in tenants}
    assert changes == pytest.approx({"federated": 0.25, "tuned": 0.5, "local": 0.0})
    nothing = tenant("zero", "tuned", alone=0.0)
    assert standing.personal_gain(make_report(tenants=[nothing]), nothing) == float("inf")
    assert standing.personal_gain(report, tenant("none", None)) is None


def shown(report, width=80):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(summary(report))
    return console.file.getvalue()


def test_a_terminal_of_80_columns_shows_the_choice_and_cuts_no_number(make_report):
    arms = ["floor", "local", "federated", "tuned", "personal", "pooled"]
    report = make_report(tenants=[tenant("a shop with a long name", "federated"), tenant("b", "tuned")], arms=arms)
    assert any("a shop with a" in line and "federated 0.2500" in line for line in shown(report).splitlines())
    results = [
        result.model_copy(update={"arm": arm}) for result in report.results for arm in arms if result.arm == "local"
    ]
    text = shown(report.model_copy(update={"results": results}))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    table = next(line.split() for line in lines if line.strip().startswith("b "))
    assert table == ["b", "12", "0.2000", "0.2500", "+25.0", "%", "tuned", "0.3000"]
    head = next(line.split() for line in lines if line.split()[:1] == ["recommender"])
    assert head == ["recommender", *arms[1:]]
    ease = next(line.split() for line in lines if line.strip().startswith("EASE"))
    assert ease == ["EASE", "(chosen)", *["*0.1608"] * 5]


def test_tenants_that_are_not_shown_are_counted(make_report):
    many = [tenant(f"shop {number}", "tuned", federated=0.2 + number / 100) for number in range(1, 13)]
    unmeasured = tenant("new", None).model_copy(update={"results": [], "gain": None, "test_users": 0})
    text = shown(make_report(tenants=[*many, unmeasured]))
    assert "… and 5 more" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_page_has_a_column_for_the_choice_and_one_for_what_it_changes(make_report):
    page = render(make_report(tenants=[tenant("a", "tuned")]))
    assert "EASE, tuned" in page
    assert "personal, against alone" in page
    assert "+50.0 %" in page
    assert "personal, against alone" not in render(make_report(tenants=[tenant("a", None)]))
