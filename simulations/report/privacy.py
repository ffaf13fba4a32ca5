"""The claim of differential privacy in a report, from the tenants' own ledgers and not from what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedrec.client.guard import claim_of
from fedrec.client.store import TenantStore
from fedrec.config import Config
from fedrec.simulations.report.schema import Fact, Privacy

NOISED = (
    "Every sum carries noise, made before anyone but its tenant could read it, and each tenant's ledger counted it "
    "before it left. What is claimed of that, and what is not, is below."
)
COMPARISON = (
    "The server added the noise to sums that it had seen without: this is for comparison only, and against the server "
    "no differential privacy is claimed."
)


def noised(privacy: Privacy, config: Config, stores: Sequence[TenantStore]) -> Privacy:
    """`privacy` with the claim of a run with noise; as it is without noise, or if nothing was released."""
    if config.privacy is None:
        return privacy
    users = sum(store.dataset().num_users for store in stores)
    scored = config.privacy.evaluation == "simulation"
    claims = [replace(claim_of(store), users=users, scored=scored) for store in stores]
    worst = max(claims, key=lambda claim: claim.running)
    if not worst.mechanisms:
        return privacy
    trusted = config.privacy.placement == "central-for-comparison"
    return privacy.model_copy(
        update={
            "noise": f"{worst.mechanisms[0].kind.capitalize()} noise, {config.privacy.placement}; epsilon "
            f"{worst.figure.epsilon:.3g} at delta {worst.delta:g} for each user",
            "noise_on": not trusted,
            "statement": COMPARISON if trusted else NOISED,
            "epsilon": worst.figure.epsilon,
            "delta": worst.delta,
            "claim": [Fact(name=name, text=text) for name, text in worst.rows()],
            "server_view": None,  # words with noise are no counts that a reader could compare
        }
    )
