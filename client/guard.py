"""What a tenant insists on before anything of its users' leaves: from its own files, never from the server's word.

    <store>/privacy/policy.toml    the tenant's limits, see `PrivacyPolicy`
    <store>/privacy/ledger.*       what was released, see `client/ledger.py`

A tenant that has this folder releases noised sums only, each recorded before it leaves, until its budget is spent. What
a server asks with less noise, another placement or fewer honest tenants than the policy allows is refused: the answer
is never a weaker one. The sizes of the noise follow from the bounds of this tenant's own code.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fedrec.client.ledger import Entry, Ledger, budget_spent, create_ledger
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.party import POLICY as MASKS_POLICY
from fedrec.client.party import read_policy as read_masks_policy
from fedrec.client.required import check_not_required, require
from fedrec.client.store import TenantStore
from fedrec.config_privacy import Placement
from fedrec.errors import ConfigError, Refusal
from fedrec.files import write_text
from fedrec.messages import NoiseTerms, Phase
from fedrec.privacy.accountant import epsilon_of, multiplier_for
from fedrec.privacy.claim import Claim, of_releases
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.mechanisms import Mechanism
from fedrec.privacy.release import Release
from fedrec.strategies.validation import NoisedBody

FOLDER, POLICY = "privacy", "policy.toml"


@dataclass(frozen=True)
class PrivacyPolicy:
    """A tenant's own limits.

    epsilon, delta: what all releases of all runs together may cost one user. placement: where noise must be made.
    colluding: tenants that it reckons with as helping the server; their noise does not count. epsilon_per_release: the
    most that one release may cost; by default all. max_users: the tenant's public statement of how many users it has at
    most; a server that plans for fewer is refused before any row is read, so that no refusal tells their number.
    trusts_sampling: for a device, takes the server's word that it is drawn by chance.
    evaluation: "simulation" lets metrics of the test leave without noise, which is for simulations only; candidates are
    compared on validation with noise, a release like others, under either.
    """

    epsilon: float
    delta: float
    placement: Placement = "distributed"
    colluding: int = 1
    epsilon_per_release: float | None = None
    max_users: int = 1_000_000
    trusts_sampling: bool = False
    evaluation: Literal["none", "simulation"] = "none"

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta", "epsilon_per_release"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
                raise ConfigError(f"Expected {name}={value!r} to be a number > 0.")
        for name, least in (("colluding", 0), ("max_users", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigError(f"Expected {name}={value!r} to be a whole number >= {least}.")
        if not isinstance(self.trusts_sampling, bool):
            raise ConfigError(f"Expected trusts_sampling={self.trusts_sampling!r} to be true or false.")
        if self.placement not in ("distributed", "local", "central-for-comparison"):
            raise ConfigError(f"Expected placement={self.placement!r} to be distributed, local or ...-for-comparison.")
        if self.evaluation not in ("none", "simulation"):
            raise ConfigError(f"Expected evaluation={self.evaluation!r} to be none or simulation.")
        _ = self.least_multiplier

    @property
    def least_multiplier(self) -> float:
        """The least noise multiplier of any release."""
        return multiplier_for(min(self.epsilon, self.epsilon_per_release or self.epsilon), self.delta)


@dataclass(frozen=True)
class Guard:
    """A tenant's policy with its ledger. masks: the tenant's folder of secure sums."""

    policy: PrivacyPolicy
    ledger: Ledger
    masks: Path

    @property
    def honest(self) -> int:
        """Honest tenants that are sure to be in every sum: the fewest that its secure sums may hold, less colluding."""
        return read_masks_policy(self.masks / MASKS_POLICY).min_cohort - self.policy.colluding

    def check(self, body: NoisedBody) -> None:
        """Refuses an instruction whose terms are weaker than the policy. Reads no row."""
        terms = body.noise
        if terms is None:
            raise Refusal("noise-required", "this tenant releases noised sums only")
        if terms.placement != self.policy.placement:
            raise Refusal("wrong-placement", f"noise {terms.placement}, the policy asks for {self.policy.placement}")
        if body.capacity.max_users < self.policy.max_users:
            raise Refusal(
                "capacity-too-small", f"planned for {body.capacity.max_users} users, not {self.policy.max_users}"
            )
        self._check_multipliers(terms)
        if terms.placement == "distributed":
            self._check_sharers(terms.sharers)

    def check_steps(self, terms: StepTerms | None) -> None:
        """Refuses a round of training whose steps have no noise, or that would cost too much. Reads no row."""
        if terms is None:
            raise Refusal("noise-required", "this tenant trains with noised steps only")
        if self.policy.placement != "local":
            detail = f"steps have noise of their own (local), the policy asks for {self.policy.placement}"
            raise Refusal("wrong-placement", detail)
        self._check_round((terms.mechanism,))

    def check_shared(self, release: Release, terms: SumTerms, due: tuple[Mechanism, ...]) -> None:
        """Refuses a round of training to whose sum this tenant adds a share of the noise only, if the policy wants all,
        or counts on fewer honest tenants; or if what is `due` for it is too much. Reads no row."""
        if release.noise is None:
            raise Refusal("noise-required", "this tenant trains with noised steps only")
        if self.policy.placement != "distributed":
            detail = f"clients share the noise of a step (distributed), the policy asks for {self.policy.placement}"
            raise Refusal("wrong-placement", detail)
        self._check_sharers(terms.sharers)
        if terms.devices is not None:
            self._check_device(terms.rate)
        self._check_round(due)

    def record_steps(self, due: Callable[[Sequence[Entry]], tuple[Mechanism, ...]], what: str) -> None:
        """Put a round of training on the disk before its first step: whatever becomes of it, it is paid for.

        due: what it costs after all that is on the ledger; asked while nobody else can write there.
        """
        self._record(due, what)

    def check_budget(self, mechanisms: tuple[Mechanism, ...]) -> None:
        """Refuses what would exceed the budget. Asked before any work is done; `record` asks again."""
        if self.ledger.would_exceed(mechanisms, self.policy.epsilon, self.policy.delta):
            raise budget_spent(self.policy.epsilon, self.policy.delta)

    def record(self, release: Release, what: str) -> None:
        """Put a release on the disk before it leaves. Raises Refusal if it has no noise, costs more than the policy
        allows for one answer, or would exceed the budget."""
        if release.noise is None:
            raise Refusal("noise-required", "this tenant releases noised sums only")
        self._check_round(release.noise.mechanisms)
        mechanisms = release.noise.mechanisms
        self._record(lambda entries: mechanisms, what)

    def _record(self, due: Callable[[Sequence[Entry]], tuple[Mechanism, ...]], what: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self.ledger.add(lambda entries: Entry(what, due(entries), at), self.policy.epsilon, self.policy.delta)

    def check_unnoised(self, kind: str, phase: Phase) -> None:
        """Refuses whatever has no noise, by the type of its message. In a simulation metrics of the test may leave,
        outside of any claim; none by which something is chosen: validation has noise, see `client/validating.py`."""
        if not kind.startswith("evaluate."):
            raise Refusal("noise-required", f"answers to {kind} have no noise; this tenant sends none")
        if phase == "choose" or self.policy.evaluation != "simulation":
            raise Refusal("metrics-not-private", "metric sums have no noise; this tenant does not release them")

    def _check_device(self, rate: float) -> None:
        if self.policy.max_users != 1:
            raise Refusal("not-a-device", f"the policy is one of up to {self.policy.max_users} users, not of one")
        if rate < 1 and not self.policy.trusts_sampling:
            raise Refusal("sampling-not-trusted", "this device pays for each round as if all knew that it was in it")

    def _check_round(self, mechanisms: tuple[Mechanism, ...]) -> None:
        """Refuses an answer that costs more than a release may, all that is in it together, or than is left."""
        cost = epsilon_of(mechanisms, self.policy.delta)
        most = min(self.policy.epsilon, self.policy.epsilon_per_release or self.policy.epsilon)
        if not cost <= most:
            raise Refusal("too-little-noise", f"the round costs epsilon={cost:.4g}, the policy allows {most:.4g}")
        self.check_budget(mechanisms)

    def _check_multipliers(self, terms: NoiseTerms) -> None:
        least, given = self.policy.least_multiplier, min(terms.multipliers)
        if not given >= least:
            raise Refusal("too-little-noise", f"noise multiplier {given:.4g}, the policy asks for {least:.4g} or more")

    def _check_sharers(self, sharers: int) -> None:
        if not self.masks.exists():
            raise Refusal("masks-required", "shares of noise hide a tenant only under masks, which it has no keys for")
        if sharers > self.honest:
            detail = f"noise of {sharers} honest tenants; the policies vouch for {self.honest}"
            raise Refusal("too-few-honest", detail)


def guard_of(store: TenantStore) -> Guard | None:
    """The tenant's guard; None if it never had a folder for one. Raises ConfigError if its policy is missing or
    damaged, Refusal if the folder is gone."""
    folder = store.folder / FOLDER
    if not folder.exists():
        check_not_required(store.folder, "noise", FOLDER)
        return None
    require(store.folder, "noise")
    return Guard(read_policy(folder / POLICY), Ledger(folder), store.folder / MASKS)


def claim_of(store: TenantStore) -> Claim:
    """What the tenant's own files say of its users' privacy. Raises ConfigError or Refusal if they are damaged."""
    guard = guard_of(store)
    if guard is None:
        raise ConfigError(f"{store.folder} has no privacy policy and ledger.")
    policy = guard.policy
    return Claim(
        mechanisms=of_releases([entry.mechanisms for entry in guard.ledger.entries()]),
        budget=policy.epsilon,
        delta=policy.delta,
        placement=policy.placement,
        sharers=guard.honest if policy.placement == "distributed" else 1,
        users=store.dataset().num_users,
        scored=policy.evaluation == "simulation",
        drawn_by_server=policy.trusts_sampling,
        validations=tuple(found for entry in guard.ledger.entries() if (found := candidates_in(entry.what))),
    )


def validation_of(candidates: int) -> str:
    """A validation in the words of the ledger."""
    return f"validation of {candidates} candidate{'s' if candidates > 1 else ''}"


def candidates_in(what: str) -> int:
    """Of how many candidates a line of the ledger is a validation; 0 if it is none."""
    found = re.search(r": validation of (\d+) candidates?$", what)
    return int(found[1]) if found else 0


def create_guard(store: Path, policy: PrivacyPolicy) -> None:
    """Write a policy, and an empty ledger beside it. Raises ConfigError if the tenant has a ledger."""
    require(store, "noise")
    create_ledger(store / FOLDER)
    shutil.rmtree(store / "private", ignore_errors=True)  # weights of rounds without noise would go on in those with it
    values = {key: value for key, value in dataclasses.asdict(policy).items() if value is not None}
    write_text(store / FOLDER / POLICY, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def read_policy(path: Path) -> PrivacyPolicy:
    """The policy in a TOML file. Raises ConfigError if it is missing, or has an unknown key or value."""
    try:
        return PrivacyPolicy(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read the privacy policy {path}: {error}.") from error
    except (tomllib.TOMLDecodeError, TypeError, RecursionError) as error:
        known = ", ".join(field.name for field in dataclasses.fields(PrivacyPolicy))
        raise ConfigError(f"{path} is not a privacy policy: {error}; known keys: {known}.") from error
