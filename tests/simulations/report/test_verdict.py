"""The sentences and numbers that the page and the terminal share."""

import pytest

from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Measure, Privacy, Result, Tenant, TenantResult
from fedrec.simulations.report.verdict import Outcome, protection, verdict


def scored(arm, model, mean, half_width=None):
    spread = {} if half_width is None else {"low": mean - half_width, "high": mean + half_width}
    return Result(arm=arm, model=model, slices={"all": {"NDCG@10": Measure(mean=mean, users=100.0, **spread)}})


@pytest.fixture
def judge(make_report):
    """The verdict on a report with these results only."""
    return lambda *results, **changes: verdict(make_report(results=list(results), tenants=[], rounds=[], **changes))


def test_a_clear_gain_names_both_recommenders_and_the_size_of_the_gain(judge):
    found = judge(scored("local", "item_knn", 0.20, 0.01), scored("federated", "ease", 0.25, 0.01))
    assert found.outcome is Outcome.HELPS
    assert "0.2500 with federated EASE against 0.2000 with Item-kNN" in found.sentence
    assert "(+25.0 %)" in found.sentence


def test_a_clear_loss_is_said_plainly(judge):
    found = judge(scored("local", "item_knn", 0.25, 0.01), scored("federated", "ease", 0.20, 0.01))
    assert found.outcome is Outcome.HURTS
    assert "worse recommendations" in found.sentence
    assert "−20.0 %" in found.sentence


def test_a_difference_within_its_uncertainty_is_not_called_a_gain(judge):
    # Half-widths .06 and .08 add up in squares to .10, more than the difference of .05.
    found = judge(scored("local", "item_knn", 0.20, 0.06), scored("federated", "ease", 0.25, 0.08))
    assert found.outcome is Outcome.UNCLEAR
    assert "within the uncertainty of this test" in found.sentence


def test_a_change_below_half_a_percent_is_no_gain_however_sure(judge):
    found = judge(scored("local", "item_knn", 0.2000, 1e-6), scored("federated", "ease", 0.2009, 1e-6))
    assert found.outcome is Outcome.UNCLEAR


def test_popularity_wins_where_no_personal_recommender_does_better(judge):
    found = judge(scored("floor", "popularity", 0.10), scored("local", "ease", 0.07), scored("federated", "ease", 0.09))
    assert found.outcome is Outcome.POPULARITY
    assert "0.1000; the best personal recommender, EASE (federated), reaches 0.0900" in found.sentence


def test_the_pooled_arm_cannot_save_personalisation_that_tenants_cannot_have(judge):
    found = judge(
        scored("floor", "popularity", 0.10), scored("federated", "ease", 0.09), scored("pooled", "ease", 0.12)
    )
    assert found.outcome is Outcome.POPULARITY


def test_a_federation_below_popularity_is_compared_with_the_local_recommender_that_beats_both(judge):
    found = judge(scored("floor", "popularity", 0.10), scored("local", "ease", 0.12), scored("federated", "ease", 0.09))
    assert found.outcome is Outcome.HURTS
    assert "Against a plain popularity list (0.1000) it is −10.0 %." in found.details


def test_the_choice_on_validation_is_judged_even_if_another_did_better_on_test(judge):
    results = [
        scored("local", "ease", 0.1),
        scored("federated", "ease", 0.2),
        scored("federated", "als", 0.3),
    ]
    assert "federated EASE" in judge(*results, chosen="ease").sentence
    assert "federated Implicit ALS" in judge(*results, chosen=None).sentence


def test_without_a_local_arm_no_gain_is_claimed(judge):
    found = judge(scored("federated", "ease", 0.2))
    assert found.outcome is Outcome.NOT_COMPARED
    assert "not known" in found.sentence


def test_without_a_federated_arm_the_best_of_the_rest_is_named(judge):
    found = judge(scored("local", "ease", 0.2), scored("local", "als", 0.1))
    assert found.outcome is Outcome.NOT_FEDERATED
    assert "EASE (local) with NDCG@10 0.2000" in found.sentence


def test_an_empty_report_says_that_nothing_was_measured(judge):
    found = judge()
    assert found.outcome is Outcome.NOTHING
    assert found.details == ()


@pytest.mark.parametrize(
    ("pooled", "said"),
    [
        (0.25, "That is 80 % of what pooling all rows in one place reaches (EASE, 0.2500)."),
        (0.20, "That equals pooling all rows in one place (EASE, 0.2000)."),
        (0.16, "Pooling all rows in one place does no better (EASE, 0.1600)."),
    ],
)
def test_the_distance_to_pooling_is_said(judge, pooled, said):
    results = [
        scored("local", "ease", 0.1),
        scored("federated", "ease", 0.2),
        scored("pooled", "ease", pooled),
    ]
    assert said in judge(*results).details


def test_a_missing_pooled_arm_is_said(judge):
    found = judge(scored("local", "ease", 0.1), scored("federated", "ease", 0.2))
    assert any("was not tried" in fact for fact in found.details)


def test_tenants_are_counted_and_the_worst_off_is_named(report):
    # Of 20 tenants with test users "wine" gains .2 %, "corner" loses 6.2 %, and 18 gain more than half a percent.
    assert standing.tally(report) == standing.Tally(better=18, same=1, worse=1, unmeasured=1)
    assert any("1 worse off (corner most, −6.2 %)" in fact for fact in verdict(report).details)


def test_failed_replies_are_told(report):
    assert "Failed replies, which were left out of their sums: 3, from 2 nodes." in verdict(report).details


def test_a_tenant_that_scores_nothing_alone_still_counts_as_better_off(make_report):
    scores = {("local", "ease"): 0.0, ("federated", "ease"): 0.1}
    results = [TenantResult(arm=arm, model=m, metrics={"NDCG@10": s}) for (arm, m), s in scores.items()]
    tenant = Tenant(
        name="a",
        users=5,
        test_users=5,
        events=9,
        results=results,
        best_local="ease",
        best_federated="ease",
        gain=None,
    )
    assert standing.tally(make_report(tenants=[tenant])).better == 1


@pytest.mark.parametrize(
    ("noise_on", "masks_on", "said"),
    [
        (False, False, "No noise was added and no masks were on"),
        (False, True, "no noise was added"),
        (True, False, "no masks were on"),
    ],
)
def test_a_protection_that_was_off_is_named(noise_on, masks_on, said):
    warning = protection(Privacy(noise="", masks="", statement="", noise_on=noise_on, masks_on=masks_on))
    assert warning is not None
    assert said in warning


def test_full_protection_needs_no_warning():
    assert protection(Privacy(noise="", masks="", statement="", noise_on=True, masks_on=True)) is None
