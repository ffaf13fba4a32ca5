"""Secure sums against plain ones, bit for bit, in random patterns of dropouts: a sum is exact, or none is opened."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal
from unittest.mock import patch

import numpy as np

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row, at_least, at_most
from benchmarks.secagg_federation import Federation, Silent, random_words, wrong_words
from fedrec.contribution import Words
from fedrec.errors import Refusal, RoundFailed
from fedrec.privacy.secagg import party, stages
from fedrec.privacy.secagg.graph import COMPLETE_UP_TO, Assumptions, Parameters, choose
from fedrec.privacy.secagg.keys import signed_by
from fedrec.privacy.secagg.round_messages import Task
from fedrec.rng import derive

log = logging.getLogger("benchmarks.secagg")
Outcome = Literal["exact", "wrong", "failed", "refused"]

PATTERNS, SHARD, ROUNDS = 10_000, 50, 8
SMALL = Task(3, 2, 1.0)
FEWEST, MOST = 3, 200
RATES = (0.0, 0.0, 0.0, 0.02, 0.05, 0.1, 0.2)
PROCESSES = 2


@dataclass(frozen=True)
class Shard:
    """So many patterns whose sum opened, drawn from a stream of their own."""

    seed: int
    number: int
    wanted: int


def rows(settings: Settings) -> Iterator[Row]:
    """First one sum of full length, then the patterns, in up to two processes; which of them has no influence."""
    seed = settings.seeds[0]
    yield _long_row(seed, settings.quick)
    wanted, size = (24, 8) if settings.quick else (PATTERNS, SHARD)
    counts: Counter[Outcome] = Counter()
    shards = [Shard(seed, number, size) for number in range(wanted // size)]
    for done, shard in enumerate(_outcomes(shards), start=1):
        counts.update(shard)
        log.info("shards=%d of=%d %s", done, len(shards), dict(counts))
    yield from _pattern_rows(counts, wanted, seed)


BENCHMARK = Benchmark(
    "secagg-exactness",
    "secure sums in 10,000 random dropout patterns, bit for bit; OMP_NUM_THREADS=1 takes twice as long",
    25,
    rows,
)


def outcomes(shard: Shard) -> Counter[Outcome]:
    """Cohorts drawn at random, a few rounds with each, until enough sums have been opened.

    Each signature is verified once instead of once by each client that sees it: it has no part in the sums, and would
    take more than half of the time.
    """
    rng = derive(shard.seed, "benchmarks", "secagg-exactness", shard.number)
    counts: Counter[Outcome] = Counter()
    once = functools.lru_cache(maxsize=1 << 17)(signed_by)
    with patch.object(party, "signed_by", once), patch.object(stages, "signed_by", once):
        while counts["exact"] + counts["wrong"] < shard.wanted:
            num_clients = int(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST + 1))))
            federation = Federation(num_clients, thin_graph, SMALL, stored=False)
            for _ in range(min(ROUNDS, shard.wanted - counts["exact"] - counts["wrong"])):
                counts[pattern(federation, rng)] += 1
    return counts


def pattern(federation: Federation, rng: np.random.Generator) -> Outcome:
    """One round, after an invitation where none is prepared, with dropouts at rates of their own in each phase."""
    silent = Silent(*(_some(federation, rng, float(rng.choice(RATES))) for _ in range(5)))
    returning = _some(federation, rng, 0.5)
    words = {node: random_words(rng, federation.task) for node in federation.nodes}
    try:
        if federation.server.prepared is None:
            federation.invite(silent)
        aggregate = federation.round(words.__getitem__, silent, returning)
    except RoundFailed:
        federation.server.prepared = None
        return "failed"
    except Refusal:
        federation.server.prepared = None
        return "refused"
    return "wrong" if wrong_words(federation, words.__getitem__, aggregate) else "exact"


def thin_graph(num_clients: int) -> Parameters:
    """Above the complete graphs 14 neighbours, with which few dropouts already leave some client at its threshold."""
    return Parameters(14, 9) if num_clients > COMPLETE_UP_TO else choose(num_clients, Assumptions())


def wrong_of_long_sum(num_coordinates: int, seed: int) -> int:
    """Wrong coordinates in a sum over 90 of 100 clients with 20 neighbours, nine tenths of it in 32-bit words."""
    task = Task(num_coordinates * 9 // 10, num_coordinates // 10, 1.0)
    federation = Federation(100, lambda _: Parameters(20, 12), task)
    gone = frozenset((derive(seed, "benchmarks", "secagg-gone").permutation(100)[:10] + 1).tolist())

    def words(node: int) -> Words:
        return random_words(derive(seed, "benchmarks", "secagg-words", node), task)

    federation.invite(Silent())
    return wrong_words(federation, words, federation.round(words, Silent(upload=gone)))


def _some(federation: Federation, rng: np.random.Generator, rate: float) -> frozenset[int]:
    return frozenset(node for node in federation.nodes if rng.random() < rate)


def _outcomes(shards: list[Shard]) -> Iterator[Counter[Outcome]]:
    with ProcessPoolExecutor(_processes(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(outcomes, shards)


def _processes() -> int:
    """Two, or one if this process is held to one thread or core."""
    held = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else PROCESSES
    return min(PROCESSES, cores, int(held) if held.isdecimal() else cores)


def _long_row(seed: int, quick: bool) -> Row:
    length = 10_000 if quick else 1_000_000
    return Row(
        f"wrong coordinates in a secure sum of {length:,}, n=100, k=20, 10 dropped",
        wrong_of_long_sum(length, seed),
        "coordinates",
        at_most(0),
        seeds=(seed,),
    )


def _pattern_rows(counts: Counter[Outcome], wanted: int, seed: int) -> Iterator[Row]:
    where = f"n in {FEWEST}..{MOST}, random dropouts in every phase"
    note = "n log-uniform; complete graphs up to 64 clients, above k=14, t=9; five coordinates; clients drop and "
    note += "return; each signature is verified once, not by everyone who sees it"
    yield Row(f"secure sums that are exact, {where}", counts["exact"], "sums", at_least(wanted), (seed,), note)
    yield Row(f"secure sums that are wrong, {where}", counts["wrong"], "sums", at_most(0), (seed,))
    yield Row("rounds below the threshold beside these, each a RoundFailed", counts["failed"], "rounds", None, (seed,))
    yield Row("honest servers refused by an honest client", counts["refused"], "rounds", at_most(0), (seed,))
