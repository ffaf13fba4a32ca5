"""What training costs: an epoch of SASRec beside a plain PyTorch loop, and the memory of ten tenants in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.demo import cost_of, fedrec_command
from benchmarks.federation import scratch
from benchmarks.figures import Row, at_most
from benchmarks.neural import recipe
from benchmarks.plain_sasrec import PlainSASRec, epoch, padded_batches
from benchmarks.timing import median, spread
from fedrec.client.training import LocalRows, train
from fedrec.config import Config, to_toml
from fedrec.data import Histories, leave_last_out
from fedrec.models.neural import SASRec
from fedrec.models.neural.plan import LocalTraining
from fedrec.simulations.tenancy import load_dataset

REPEATS = 3
BATCH_SIZE = 128


def rows(settings: Settings) -> Iterator[Row]:
    """Two runs as processes of their own, while this one is small; then epochs in turns, in processor time."""
    torch.set_num_threads(1)
    pooled = recipe("sasrec", settings, pooled=True)
    peaks = {}
    for name, config in (("pooled", pooled), ("10 tenants", recipe("sasrec", settings))):
        peaks[name] = _peak(config)
        yield Row(f"ML-1M, SASRec, {name}: peak memory", peaks[name] / 1e9, "GB", note="whole process, one round")
    ratio = peaks["10 tenants"] / peaks["pooled"]
    yield Row("ML-1M, SASRec: memory of 10 tenants against pooled", ratio, "x", at_most(1.5))
    histories = leave_last_out(load_dataset(pooled.data, 0).histories()).fit
    ours, plain = _ours(histories), _plain(histories)
    repeats = range(1 if settings.quick else REPEATS)
    turns = [(_cpu_seconds(ours), _cpu_seconds(plain)) for _ in repeats]
    title = "ML-1M, pooled SASRec"
    for name, column in (("this package", 0), ("plain PyTorch", 1)):
        taken = [turn[column] for turn in turns]
        yield Row(f"{title}: epoch, {name}", median(taken), "s", note=_one_thread(taken))
    ratios = [own / other for own, other in turns]
    yield Row(f"{title}: epoch against plain PyTorch", median(ratios), "x", at_most(1.1), note=spread(ratios))


BENCHMARK = Benchmark("training-cost", "SASRec on ML-1M: epoch against plain PyTorch, memory of 10 tenants", 10, rows)


def _ours(histories: Histories) -> Callable[[], object]:
    model, plan = SASRec(), LocalTraining(batch_size=BATCH_SIZE)
    network = model.build(histories.num_items, 0, seed=0)
    return lambda: train(network, model, LocalRows(histories), plan)


def _plain(histories: Histories) -> Callable[[], object]:
    model = SASRec()
    network = PlainSASRec(model, histories.num_items)
    batches = list(padded_batches(histories, model.max_length, BATCH_SIZE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    return lambda: epoch(network, optimizer, batches)


def _cpu_seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _one_thread(taken: list[float]) -> str:
    return "; ".join(filter(None, ("processor time, one thread", spread(taken))))


def _peak(config: Config) -> int:
    """Bytes that `fedrec simulate` holds at most in a run of one round of one epoch."""
    local = {key: value for key, value in config.training.local.items() if key != "epochs"}
    short = config.model_copy(update={"training": config.training.model_copy(update={"rounds": 1, "local": local})})
    with scratch() as folder:
        source = folder / "short.toml"
        source.write_text(to_toml(short), encoding="utf-8")
        command = [fedrec_command(), "simulate", str(source), "--out", str(folder / "run")]
        return cost_of(command, folder / "output.txt").peak_bytes
