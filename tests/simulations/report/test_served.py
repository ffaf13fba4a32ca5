"""Which part of a fusion serves whom, as the verdict and the page say it."""

from __future__ import annotations

from fedrec.simulations.report import served
from fedrec.simulations.report.schema import Measure, Result

SHARES = {"collaborative": 0.75, "second": 0.0, "own": 0.0, "content": 0.25, "popularity": 0.0}
FUSED = Result(
    arm="fused",
    model="ease",
    slices={"served": {part: Measure(mean=share, users=100 * share) for part, share in SHARES.items()}},
)


def test_parts_that_lead_for_nobody_are_not_mentioned(make_report):
    said = served.sentence(make_report(results=[FUSED]))
    assert (
        said
        == "Fused lists are led for 75 % of users by recommenders of all tenants, for 25 % of users by likeness of content."
    )


def test_a_report_without_a_fusion_says_nothing_of_one(make_report):
    assert served.sentence(make_report(results=[])) is None
    assert served.table(make_report(results=[])).rows == ()


def test_the_table_begins_with_all_tenants_together(make_report):
    table = served.table(make_report(results=[FUSED]))
    assert len(table.columns) == 6
    assert len(table.rows) == 1
