"""What secure aggregation costs, beside Flower's SecAgg+, and what it refuses.

CPU seconds, of all threads, of one steady round: all its messages, with the shares and adverts of later rounds on
board. Of the client the median; of the server everything that it receives, checks and opens, without Python's collector
walking through the clients' memory, which only a benchmark has beside the server's. Flower's server is timed likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks import secagg_flower
from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Bar, Row, at_least, at_most
from benchmarks.secagg_deviations import deviations
from benchmarks.secagg_federation import Federation, Silent, random_words, wrong_words
from benchmarks.secagg_flower import FlowerCost, cpu_seconds
from benchmarks.secagg_grid import round_costs
from benchmarks.timing import median, spread
from fedrec.contribution import Contribution, Layout
from fedrec.errors import FedrecError
from fedrec.privacy.fixed_point import bits_for, clipped_block, plan
from fedrec.privacy.secagg.graph import Assumptions, Parameters, choose
from fedrec.privacy.secagg.round_messages import Task
from fedrec.rng import derive

BYTES_PER_COORDINATE = 4
OVERHEAD_BYTES = 8_000
DEFAULT = choose(100, Assumptions())


@dataclass(frozen=True)
class Case:
    """A line of the table. `dropped` clients share and do not upload; the other clients open the sum."""

    title: str
    num_clients: int
    parameters: Parameters
    length: int
    dropped: int = 0
    client_bar: Bar | None = None
    server_bar: Bar | None = None
    bytes_bar: Bar | None = None
    repeats: int = 5


SPARSE = Case(
    "n=100, k=20, d=1e6",
    100,
    Parameters(20, 14),
    1_000_000,
    client_bar=at_most(0.045),
    server_bar=at_most(0.25),
    bytes_bar=at_most(OVERHEAD_BYTES),
)
CASES = (
    SPARSE,
    Case("n=100, k=20, d=1e6, 10 % dropped", 100, Parameters(20, 12), 1_000_000, 10, server_bar=at_most(0.55)),
    Case(f"n=100, k={DEFAULT.degree} (our default), d=1e6", 100, DEFAULT, 1_000_000, repeats=3),
    Case("n=100, complete, d=1e6", 100, Parameters(99, 66), 1_000_000, client_bar=at_most(0.20), repeats=3),
    Case(
        "n=1000, k=50, d=1e5, 5 % dropped",
        1000,
        Parameters(50, 31),
        100_000,
        50,
        client_bar=at_most(0.030),
        server_bar=at_most(0.60),
        repeats=3,
    ),
)


@dataclass(frozen=True)
class Cost:
    """Of each repetition: the median client's and the server's CPU seconds; the most that a client sent in one."""

    client_s: list[float]
    server_s: list[float]
    client_bytes: int


def rows(settings: Settings) -> Iterator[Row]:
    """Our costs, Flower's beside them, the scripted deviations, and the wrapper for Flower's grid."""
    cases = tuple(map(_small, CASES)) if settings.quick else CASES
    for case in cases:
        yield from _case_rows(case, cost_of(case))
    yield from _flower_rows(cases[0])
    yield from _deviation_rows()
    yield from _grid_rows(settings.quick)


BENCHMARK = Benchmark(
    "secagg", "CPU of secure aggregation beside Flower's SecAgg+, bytes, refused deviations, the grid wrapper", 5, rows
)


def cost_of(case: Case) -> Cost:
    """A federation that is invited afresh for each repetition, so that each round starts with everyone.

    Raises:
        FedrecError: a sum is not exact.
    """
    federation = Federation(case.num_clients, lambda _: case.parameters, Task(case.length, 0, 1.0))
    words = random_words(derive(0, "benchmarks", "secagg"), federation.task)
    client_s, server_s, sent = [], [], 0
    for repeat in range(case.repeats):
        gone = derive(repeat, "benchmarks", "secagg", "gone").permutation(case.num_clients)[: case.dropped] + 1
        federation.invite(Silent())
        federation.forget_costs()
        aggregate = federation.round(lambda node: words, Silent(upload=frozenset(gone.tolist())))
        if len(aggregate.alive) != case.num_clients - case.dropped:
            raise FedrecError(f"{case.title}: {len(aggregate.alive)} clients in the sum.")
        if wrong_words(federation, lambda node: words, aggregate):
            raise FedrecError(f"{case.title}: the sum is wrong.")
        client_s.append(median([federation.client_s[node] for node in aggregate.alive]))
        server_s.append(sum(federation.server_s.values()))
        sent = max(sent, *federation.client_bytes.values())
    return Cost(client_s, server_s, sent)


def rounding_seconds(update: NDArray[np.float32], max_clients: int, repeats: int) -> tuple[float, float]:
    """CPU seconds to put a client's update into words, rounded at random, and to read the sum out of words."""
    norm = float(np.linalg.norm(update)) + 1
    block = clipped_block("update", update.shape, norm, bits_for(max_clients))
    encoding = plan(Layout((block,)), max_clients, 1)
    rng = np.random.default_rng()

    def encode() -> None:
        values = {"update": update.astype(np.float64)}
        encoding.encode(Contribution(encoding.layout, values, num_users=1), rng)

    words = encoding.encode_values({"update": update.astype(np.float64)})
    in_s = median([cpu_seconds(encode) for _ in range(repeats)])
    return in_s, median([cpu_seconds(lambda: encoding.decode(words)) for _ in range(repeats)])


def _case_rows(case: Case, cost: Cost) -> Iterator[Row]:
    note = spread(cost.client_s)
    yield Row(f"secure aggregation, client CPU: {case.title}", median(cost.client_s), "s", case.client_bar, note=note)
    note = spread(cost.server_s)
    yield Row(f"secure aggregation, server CPU: {case.title}", median(cost.server_s), "s", case.server_bar, note=note)
    if not case.dropped:
        overhead = cost.client_bytes - BYTES_PER_COORDINATE * case.length
        note = "upload, signature and shares of one round together"
        figure = f"secure aggregation, sent beyond 4 bytes per coordinate: {case.title}"
        yield Row(figure, overhead, "bytes", case.bytes_bar, note=note)


def _flower_rows(case: Case) -> Iterator[Row]:
    """Flower's costs, and ours as they were just before and just after."""
    update = derive(0, "benchmarks", "secagg-update").normal(size=case.length).astype(np.float32)
    repeats = min(case.repeats, 3)
    before = cost_of(replace(case, repeats=repeats))
    parameters = case.parameters
    theirs = secagg_flower.measure(case.num_clients, parameters.degree, parameters.threshold, update, repeats)
    after = cost_of(replace(case, repeats=repeats))
    ours = Cost(before.client_s + after.client_s, before.server_s + after.server_s, after.client_bytes)
    yield from _their_rows(case, theirs)
    yield from _ratio_rows(case, ours, theirs, update)


def _their_rows(case: Case, theirs: FlowerCost) -> Iterator[Row]:
    stages = ", ".join(f"{name} {seconds:.2g}" for name, seconds in theirs.server_s.items())
    yield Row(
        f"Flower's SecAgg+, client CPU: {case.title}",
        theirs.median_client_s,
        "s",
        note="all of its client mod in a round's four stages, without the app that it wraps",
    )
    yield Row(
        f"Flower's SecAgg+, server CPU: {case.title}",
        theirs.whole_server_s,
        "s",
        note=f"its workflow without waiting and without the strategy's averaging: {stages}",
    )
    yield Row(
        f"Flower's SecAgg+, sent beyond 4 bytes per coordinate: {case.title}",
        theirs.vector_bytes - BYTES_PER_COORDINATE * case.length,
        "bytes",
        note="its masked vector alone",
    )


def _ratio_rows(case: Case, ours: Cost, theirs: FlowerCost, update: NDArray[np.float32]) -> Iterator[Row]:
    their_rounding = secagg_flower.rounding_seconds(update, 7)
    encoding_s, decoding_s = rounding_seconds(update, case.num_clients, 7)
    client_s, server_s, shrunk = median(ours.client_s), median(ours.server_s), case.repeats == 1
    client_bar, server_bar = (None, None) if shrunk else (at_least(6), at_least(30))
    yield Row(
        f"client CPU, Flower's SecAgg+ over ours: {case.title}",
        theirs.median_client_s / (client_s + encoding_s),
        "x",
        client_bar,
        note=f"from floats to the last message on both sides; ours {client_s:.3g} s, and {encoding_s:.2g} s to round",
    )
    yield Row(
        f"client CPU without rounding, Flower's SecAgg+ over ours: {case.title}",
        (theirs.median_client_s - their_rounding) / client_s,
        "x",
        client_bar,
        note=f"from integers on; rounding takes {their_rounding:.2g} s of Flower's time",
    )
    yield Row(
        f"server CPU, Flower's SecAgg+ over ours: {case.title}",
        theirs.whole_server_s / (server_s + decoding_s),
        "x",
        server_bar,
        note=f"from the first message to the mean as floats on both sides; ours {server_s + decoding_s:.3g} s",
    )


def _deviation_rows() -> Iterator[Row]:
    found = deviations()
    yield Row(
        "scripted deviations of the server, each refused with its typed reason",
        len(found.refused),
        "deviations",
        at_least(12),
        note=f"of {len(found.scripted)} test functions; {len(found.reasons)} different reasons",
    )
    yield Row("scripted deviations that are not refused", len(found.scripted - found.refused), "deviations", at_most(0))


def _grid_rows(quick: bool) -> Iterator[Row]:
    num_clients, length, rounds = (21, 1_000, 1) if quick else (21, 1_000_000, 5)
    size = f"n={num_clients}, d={length:.0e}".replace("e+0", "e")
    for name, cost in zip(("plain", "secure"), round_costs(num_clients, length, rounds), strict=True):
        yield Row(
            f"a {name} round of Flower's FedAvg, CPU: {size}",
            cost.cpu_s,
            "s",
            note=f"median of {rounds}; all clients and the server in one process, messages not serialized",
        )
        yield Row(f"a {name} round of Flower's FedAvg, sent by a client: {size}", cost.bytes_up / 1e6, "MB")
        yield Row(f"a {name} round of Flower's FedAvg, sent to a client: {size}", cost.bytes_down / 1e6, "MB")
        yield Row(f"a {name} round of Flower's FedAvg, messages to a client: {size}", cost.messages, "messages")


def _small(case: Case) -> Case:
    """The same shape with little data, and without bars."""
    num_clients = min(case.num_clients, 70)
    degree = num_clients - 1 if case.parameters.degree == case.num_clients - 1 else 12
    return replace(
        case,
        title=f"{case.title} (shrunk)",
        num_clients=num_clients,
        parameters=Parameters(degree, degree * 2 // 3),
        length=1_000,
        dropped=min(case.dropped, 1),
        client_bar=None,
        server_bar=None,
        bytes_bar=None,
        repeats=1,
    )
