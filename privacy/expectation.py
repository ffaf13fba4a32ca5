"""What to expect of a private run before anything is spent: a public rule, from public numbers only.

What matters is users per noise: N users who each have a bound of 1, over the noise multiplier of the statistic that
personalises. The steps are those at which content-PCA was measured on ML-100K and ML-1M (benchmark `dp-statistics`);
for other data they say the order of magnitude, no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.privacy.accountant import multiplier_for
from fedrec.privacy.budget import OTHER_WEIGHT, VALIDATION_WEIGHT, WEIGHTS

PERSONAL = 200.0
"""Users per noise below which a run that states its users asks for item counts only. Measured once, on validation of
ML-100K with eight seeds, not by a benchmark: with 180 content-PCA reached .0347, the popularity list .0355 with all of
the budget; with 255, .042 and .035."""
STEPS: tuple[tuple[float, str], ...] = (
    (5000.0, "personal recommendations from what users have in common, near what is possible without noise"),
    (1000.0, "personal recommendations mostly from content and popularity, well above a popularity list"),
    (PERSONAL, "little above a popularity list; content-PCA falls back to the list where it cannot tell"),
    (0.0, "a noisy popularity list, for which content-PCA leaves all of the budget if privacy.users says how many"),
)


@dataclass(frozen=True)
class Expectation:
    """The noise of a run of content-PCA. multiplier: of one release of all. counts, gram: noise per entry of the item
    counts and of the Gram, where one user counts for 1 altogether. validation: the noise multiplier of a comparison of
    candidates; None if there is none."""

    users: int
    epsilon: float
    delta: float
    multiplier: float
    counts: float
    gram: float
    validation: float | None = None

    @property
    def users_per_noise(self) -> float:
        """What the expectation goes by."""
        return self.users / self.gram

    def is_personal(self, excess: float) -> bool:
        """Whether more than item counts is worth asking for. excess: noise of the sum over what is counted on."""
        return self.users_per_noise >= PERSONAL * excess

    @property
    def quality(self) -> str:
        """What to expect, in words."""
        return next(text for least, text in STEPS if self.users_per_noise >= least)


def expected(users: int, epsilon: float, delta: float, chooses: bool = False) -> Expectation:
    """The expectation for so many users in all, if no noise is made beyond what is counted on. chooses: whether
    candidates are compared on validation, which leaves less for the sums."""
    multiplier = multiplier_for(epsilon, delta)
    weights = (WEIGHTS["item_counts"], OTHER_WEIGHT, *([VALIDATION_WEIGHT] if chooses else []))
    counts, gram, *validation = ((sum(weights) / weight) ** 0.5 * multiplier for weight in weights)
    return Expectation(users, epsilon, delta, multiplier, counts, gram, *validation)
