from __future__ import annotations

from dataclasses import replace

import pytest

from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.claim import Claim, plain_words
from fedrec.privacy.mechanisms import Gaussian, Mechanism, Skellam

DELTA = 1e-5
GAUSSIAN = Gaussian(1.0, 4.0)
SKELLAM = Skellam(3000.0, 1000.0, 4000.0**2)


def claim(*mechanisms: Mechanism, placement: str = "distributed", scored: bool = False) -> Claim:
    return Claim(mechanisms, 8.0, DELTA, placement, 3, 500, scored)  # type: ignore[arg-type]


def test_a_shopper_of_two_tenants_with_noise_of_their_own_is_charged_twice() -> None:
    found = claim(GAUSSIAN, placement="local").shopper_of(2)
    assert found == pytest.approx(epsilon_of([GAUSSIAN, GAUSSIAN], DELTA))


@pytest.mark.parametrize(("one", "placement"), [(SKELLAM, "distributed"), (GAUSSIAN, "central-for-comparison")])
def test_a_shopper_of_two_tenants_changes_one_sum_twice_as_much(one: Mechanism, placement: str) -> None:
    """Which costs more than two releases: four times the squared bound against two."""
    found = claim(one, placement=placement).shopper_of(2)
    assert found == pytest.approx(epsilon_of([one.repeated(2)], DELTA))
    assert found > epsilon_of([one, one], DELTA)


def test_integer_noise_of_an_earlier_run_is_shared_whatever_the_policy_says_now() -> None:
    found = claim(SKELLAM, GAUSSIAN, placement="local").shopper_of(2)
    assert found == pytest.approx(epsilon_of([SKELLAM.repeated(2), GAUSSIAN, GAUSSIAN], DELTA))


def test_the_claim_says_all_that_an_officer_has_to_know() -> None:
    names = [name for name, _ in claim(SKELLAM).rows()]
    assert names == [
        "Unit",
        "Neighbouring relation",
        "Epsilon",
        "Delta",
        "Accountant",
        "Releases",
        "Sampling",
        "Users",
        "A shopper of two tenants",
        "Noise",
        "Trust",
        "Metrics",
        "Choice",
    ]


def test_the_claim_says_how_settings_were_chosen() -> None:
    assert "Nothing was chosen" in claim(SKELLAM).choice
    chosen = replace(claim(SKELLAM, SKELLAM), validations=(5, 1)).choice
    assert chosen.startswith("6 candidates were compared on validation, in 2 releases: sums with noise")


def test_plain_words_name_the_odds_and_what_is_left_out() -> None:
    """Epsilon 1.0: odds of e = 2.718, so a fair guess becomes 73 % sure at most."""
    words = " ".join(plain_words(claim(Gaussian(1.0, 4.0453854), placement="local", scored=True)))
    assert "73.1" in words
    assert "outside of the claim" in words


def test_the_server_is_said_to_be_trusted_where_it_makes_the_noise() -> None:
    assert "nothing is claimed" in claim(GAUSSIAN, placement="central-for-comparison").trust
    assert "at least 3 tenants" in claim(SKELLAM).trust
