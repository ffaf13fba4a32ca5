"""What is claimed of a run, in full and in plain words: for whom, how much, under which assumptions, trusting whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.config_privacy import Placement
from fedrec.privacy.accountant import Figure, epsilon_of, reported
from fedrec.privacy.mechanisms import NEIGHBOURS, UNIT, Gaussian, Mechanism, Sampled, SampledGaussian

SAMPLING = "none: every user of a tenant is in every release"
SAMPLED = (
    "none for sums: every user of a tenant is in each; in a step of training each user is with chance {rate:g}, "
    "independently of all others, and nobody but the tenant's own process knows who was"
)
DRAWN = (
    "none for sums: everyone is in each; each device is in a round of training with chance {rate:g} and pays for all "
    "rounds at that chance. That counts only against those who do not see who was drawn: not against the server, which "
    "draws, and not against who watches its network. Against them nothing is claimed by it"
)
TRUST: dict[Placement, str] = {
    "distributed": "The server and whoever reads its network or disk need not be trusted, as long as it cannot open "
    "the masks (docs/secagg.md) and at least {sharers} tenants of every sum run honest code and keep their noise to "
    "themselves. A tenant is trusted with its own users' rows, which it has anyway.",
    "local": "Nobody but the tenant itself, which has its users' rows anyway: its words are private before they leave.",
    "central-for-comparison": "The server is trusted with every sum before its noise. This is for comparison only: "
    "against the server, nothing is claimed.",
}
SCORED = (
    "Metrics of the test were added up without noise, which only a simulation does: they, and the intervals around "
    "them, are outside of the claim. Nothing was chosen by them."
)
NOT_SCORED = "No metrics of the test left a tenant."
CHOSEN = (
    "{candidates} were compared on validation, {times}: sums with noise like all others, which the ledger counted and "
    "epsilon holds."
)
NOT_CHOSEN = "Nothing was chosen on validation: each recommender has the settings of the configuration."


@dataclass(frozen=True)
class Claim:
    """The claim about one tenant's users. mechanisms: all that its ledger holds. budget: the epsilon it insists on.
    users: of all tenants, or of the one. scored: whether metrics were added up without noise. drawn_by_server: whether
    the server draws who is in a step, and is believed. validations: of how many candidates each was that it holds."""

    mechanisms: tuple[Mechanism, ...]
    budget: float
    delta: float
    placement: Placement
    sharers: int
    users: int
    scored: bool
    drawn_by_server: bool = False
    validations: tuple[int, ...] = ()

    @property
    def figure(self) -> Figure:
        """The reported epsilon."""
        return reported(self.mechanisms, self.delta)

    @property
    def running(self) -> float:
        """The epsilon of the running check, which is the one that is held against the budget."""
        return epsilon_of(self.mechanisms, self.delta)

    def shopper_of(self, tenants: int) -> float:
        """Epsilon for a shopper of so many tenants, by the running check.

        Where the noise is in the sum, she changes it by as many bounds; where each tenant has noise of its own, her
        releases add up.
        """
        return epsilon_of([part for one in self.mechanisms for part in self._of_shopper(one, tenants)], self.delta)

    def _of_shopper(self, one: Mechanism, tenants: int) -> list[Mechanism]:
        if isinstance(one, SampledGaussian) or (self.placement == "local" and isinstance(one, Gaussian)):
            return [one] * tenants  # each tenant has noise of its own
        return [one.repeated(tenants)]

    @property
    def sampling(self) -> str:
        """Who is in a release."""
        rates = [one.rate for one in self.mechanisms if isinstance(one, Sampled)]
        if not rates:
            return SAMPLING
        return (DRAWN if self.drawn_by_server else SAMPLED).format(rate=max(rates))

    @property
    def releases(self) -> str:
        """How much was released."""
        steps = sum(one.steps for one in self.mechanisms if isinstance(one, Sampled))
        blocks = sum(not isinstance(one, Sampled) for one in self.mechanisms)
        return f"{blocks} noised blocks" + (f" and {steps} noised steps of training" if steps else "")

    @property
    def trust(self) -> str:
        """Whom one has to trust with what."""
        return TRUST[self.placement].format(sharers=self.sharers)

    @property
    def evaluation(self) -> str:
        """What became of metrics."""
        return SCORED if self.scored else NOT_SCORED

    @property
    def choice(self) -> str:
        """How the settings of recommenders were chosen."""
        if not self.validations:
            return NOT_CHOSEN
        candidates, times = sum(self.validations), len(self.validations)
        return CHOSEN.format(
            candidates="1 candidate" if candidates == 1 else f"{candidates} candidates",
            times="in 1 release" if times == 1 else f"in {times} releases",
        )

    def rows(self) -> list[tuple[str, str]]:
        """The claim as pairs of a heading and a text."""
        figure = self.figure
        return [
            ("Unit", f"one {UNIT}: all rows of one shopper at one tenant"),
            ("Neighbouring relation", NEIGHBOURS),
            ("Epsilon", f"{figure.epsilon:.3g} of a budget of {self.budget:g} (running check {self.running:.3g})"),
            ("Delta", f"{self.delta:g}"),
            ("Accountant", _accountant(figure)),
            ("Releases", self.releases),
            ("Sampling", self.sampling),
            ("Users", f"{self.users:,}"),
            ("A shopper of two tenants", f"epsilon {self.shopper_of(2):.3g}; of three {self.shopper_of(3):.3g}"),
            ("Noise", self.placement),
            ("Trust", self.trust),
            ("Metrics", self.evaluation),
            ("Choice", self.choice),
        ]


def plain_words(claim: Claim) -> list[str]:
    """The claim for someone who has never heard of epsilon."""
    most = claim.running
    return [
        f"Protected is each {UNIT}: everything one shopper ever did at one tenant, not only single purchases.",
        "Whatever anyone concludes from what was released, they would conclude almost as surely if that shopper had "
        "never been a customer.",
        f"'Almost' is measured by epsilon, here {claim.figure.epsilon:.3g}: {_meaning(most)}",
        f"With a chance of up to {claim.delta:g} that promise may fail for a shopper; it should be well below one in "
        f"the number of users, which is {claim.users:,}.",
        f"The budget is {claim.budget:g}. The tenant's own ledger counts every release before it leaves, and the "
        "tenant refuses once the budget is spent, whatever the server says.",
        claim.trust,
        f"A shopper of two tenants is in the data twice; for her epsilon is {claim.shopper_of(2):.3g}.",
        claim.evaluation,
        claim.choice,
    ]


def of_releases(releases: Sequence[Sequence[Mechanism]]) -> tuple[Mechanism, ...]:
    """The mechanisms of several releases, one after another."""
    return tuple(mechanism for release in releases for mechanism in release)


def _accountant(figure: Figure) -> str:
    if figure.accountant == "PLD":
        return "privacy loss distribution (dp-accounting); the running check is by Renyi differential privacy"
    return "Renyi differential privacy; no tighter accountant is known for Skellam noise on vectors"


def _meaning(epsilon: float) -> str:
    """What an epsilon does to the best guess about a person: odds change by at most e^epsilon."""
    odds = math.exp(min(epsilon, 700.0))
    sure = odds / (1 + odds)
    text = f"a fair guess (50 %) whether a given shopper is in the data can become at most {100 * sure:.4g} % sure."
    if epsilon > 10:
        return text + " That is a weak promise against an attacker who knows everything else."
    return text
