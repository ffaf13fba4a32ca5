"""What to expect of a private run before anything is spent: a public rule, from public numbers only.

What matters is users per noise: N users who each have a bound of 1, over the noise multiplier of the statistic that
personalises. The steps are those at which content-PCA was measured on ML-100K and ML-1M (benchmark `dp-statistics`);
for other data they say the order of magnitude, no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.privacy.accountant import multiplier_for
from fedrec.privacy.budget import OTHER_WEIGHT, WEIGHTS

STEPS: tuple[tuple[float, str], ...] = (
    (5000.0, "personal recommendations from what users have in common, near what is possible without noise"),
    (1000.0, "personal recommendations mostly from content and popularity, well above a popularity list"),
    (200.0, "little above a popularity list; content-PCA falls back to the list where it cannot tell"),
    (0.0, "a noisy popularity list; more users, or a larger epsilon, would be needed for more"),
)


@dataclass(frozen=True)
class Expectation:
    """The noise of a run of content-PCA. multiplier: of one release of all. counts, gram: noise per entry of the item
    counts and of the Gram, where one user counts for 1 altogether."""

    users: int
    epsilon: float
    delta: float
    multiplier: float
    counts: float
    gram: float

    @property
    def users_per_noise(self) -> float:
        """What the expectation goes by."""
        return self.users / self.gram

    @property
    def quality(self) -> str:
        """What to expect, in words."""
        return next(text for least, text in STEPS if self.users_per_noise >= least)


def expected(users: int, epsilon: float, delta: float) -> Expectation:
    """The expectation for so many users in all, if no noise is made beyond what is counted on."""
    multiplier = multiplier_for(epsilon, delta)
    light, heavy = WEIGHTS["item_counts"], OTHER_WEIGHT
    counts, gram = ((1 + heavy / light) ** 0.5 * multiplier, (1 + light / heavy) ** 0.5 * multiplier)
    return Expectation(users, epsilon, delta, multiplier, counts, gram)
