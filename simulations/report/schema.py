"""`report.json`: what a run did, in a form that programs can read.

The file names its schema version; a reader refuses a version it does not know. Everything in the report of a
real federation is a released sum; the per-tenant part exists only where the tenants' own results are at hand,
which is in a simulation or at the tenant itself.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCHEMA = "fedrec.report/1"


class Frozen(BaseModel):
    """Immutable, and closed against unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(Frozen):
    """A mean over `users`, with a bootstrap interval where one was computed."""

    mean: float
    users: float
    low: float | None = None
    high: float | None = None


class Result(Frozen):
    """One recommender under one arm: slice -> metric -> measure."""

    arm: str
    model: str
    slices: dict[str, dict[str, Measure]]


class ModelCard(Frozen):
    """A recommender with the hyper-parameters that were used, and how each candidate did on validation."""

    name: str
    title: str
    scope: str  # "federated" or "tenant": whether anything about it crosses the wire
    parameters: dict[str, float | int | str | bool | None]
    candidates: list[dict[str, float | int | str | bool | None]] = []
    margin: float | None = None  # where the scores have noise: differences below it chose nothing


class TenantResult(Frozen):
    """One recommender under one arm, on one tenant's own test users."""

    arm: str
    model: str
    metrics: dict[str, float]


class Tenant(Frozen):
    """One tenant's own view, read from its folder. It leaves the tenant only within sums over all tenants."""

    name: str
    users: int
    test_users: int
    events: int
    results: list[TenantResult]
    best_local: str | None  # best on the tenant's own validation: what it would use alone
    best_federated: str | None  # the federation's choice on validation
    gain: float | None  # relative change of the headline metric on test, `best_federated` to `best_local`
    best_personal: str | None = None  # the recommender that serves it by its own choice on validation
    served_by: str | None = None  # the arm that this one is of: "federated", "tuned", "fused" or "local"
    served: dict[str, float] = {}  # under arm `fused`: the share of its test users for whom each part weighs most


class Sent(Frozen):
    """One block that left each client, with the bound that a single user has on it."""

    block: str
    shape: list[int]
    bits: int  # of one number on the wire
    resolution: float
    user_l2: float


class Round(Frozen):
    """One exchange with all clients."""

    number: int
    phase: str  # "choose", "final" or "test"
    action: str  # what was asked: statistics or an arm to score
    clients: int
    failed: dict[str, str]  # node -> reason
    bytes_up: int  # per client, mean
    bytes_down: int  # per client, mean
    seconds: float
    model: str | None = None  # that was trained, where the round is one of training
    server_seconds: float | None = None  # of the server's own work, until the next round began
    client_seconds: float | None = None  # of all clients' work together, which only a simulation can measure
    sent: list[Sent] = []


class Curve(Frozen):
    """One training of a neural recommender, round by round."""

    arm: str  # "federated" or "pooled"
    training: str  # the name of its folder
    model: str
    phase: str  # "choose", on training rows only, or "final"
    rounds: list[int]  # without those that were discarded
    losses: list[float]  # the clients' mean
    validation: float | None = None  # headline metric on validation that it ended with, where that was measured


class Data(Frozen):
    """What was federated."""

    name: str
    users: int
    items: int
    events: int
    tenants: int
    split: str
    holdout: str
    users_left_out: int
    licence: str | None = None


class Seen(Frozen):
    """One coordinate of one tenant's first upload: what the server saw, what all tenants add up to, what was hidden."""

    item: str
    seen: int
    total: int
    own: int


class ServerView(Frozen):
    """What secure aggregation hides, shown on one tenant. Only a simulation knows `own`."""

    tenant: str
    rows: list[Seen]


class Fact(Frozen):
    """One line of the claim of differential privacy."""

    name: str
    text: str


class Privacy(Frozen):
    """Which steps of the release pipeline were on, in words that a privacy officer can check.

    A step counts as off unless the run says that it was on, so a forgotten flag never claims a protection.
    """

    noise: str
    masks: str
    statement: str
    noise_on: bool = False
    masks_on: bool = False
    epsilon: float | None = None  # of all that was released, for the tenant that spent most
    delta: float | None = None
    claim: list[Fact] = []  # unit, neighbours, accountant, sampling, users, trust and the rest, in words
    server_view: ServerView | None = None


class Report(Frozen):
    """The whole file."""

    schema_version: str = SCHEMA
    name: str
    created: str
    seed: int
    command: str
    versions: dict[str, str]
    headline: str  # the metric that rankings and gains refer to, e.g. "NDCG@10"
    data: Data
    arms: list[str]
    models: list[ModelCard]
    chosen: str | None = None  # the federated recommender that did best on validation, which a tenant gets
    evaluations: int = 0  # how often `fedrec tune` asked validation to find the configuration
    results: list[Result]
    tenants: list[Tenant]
    rounds: list[Round]
    training: list[Curve] = []
    privacy: Privacy
    seconds: dict[str, float]
    peak_memory_bytes: int
