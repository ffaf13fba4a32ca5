"""With noise of a known key, real processes release what one process does, bit for bit: sums, steps and ledgers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.replay import in_clear
from fedrec.client.guard import FOLDER, POLICY, create_guard, read_policy
from fedrec.client.ledger import Ledger
from fedrec.client.store import create_store
from fedrec.config import load
from fedrec.deploy.supervisor import Program
from fedrec.models import load as load_model
from fedrec.server.run import run as run_in_process
from tests.deploy import seeded
from tests.deploy.market import HISTORIES
from tests.deploy.real import PATIENCE_S, Market, started
from tests.deploy.seeded import known_noise
from tests.federation import exchange_of, grid_of, rows_of

pytestmark = pytest.mark.slow
MODELS = ("popularity", "ease", "mf")
RUN = """
[privacy]
epsilon = 8.0
delta = 1e-5
placement = "local"
sample_rate = 0.5
[training]
rounds = 2
[training.local]
loss = "bce"
negatives = 4
steps = 2
batch_size = 2
[[models]]
name = "popularity"
[[models]]
name = "ease"
l2 = 10.0
[[models]]
name = "mf"
dim = 4
max_length = 8
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    market = Market(tmp_path_factory.mktemp("noised"), 3, "--epsilon", "20", "--delta", "1e-5")
    for tenant in market.tenants:
        policy = tenant / FOLDER / POLICY
        policy.write_text(policy.read_text().replace('"distributed"', '"local"'))
    with started(market, with_known_noise):
        yield market


def with_known_noise(program: Program) -> Program:
    """The warm process, from which all answers are forked, under the key of `seeded`."""
    if program.name != "warm":
        return program
    python, flag, *module = program.arguments
    assert flag == "-m"
    return replace(program, arguments=(python, str(Path(seeded.__file__)), *module))


def test_noised_sums_and_steps_are_those_of_one_process(
    market: Market, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = market.begin("noised", RUN, "--nodes", 3, timeout_s=120)
    begun.follow(lambda event: None, PATIENCE_S)
    stores = [create_store(tmp_path / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(HISTORIES)]
    for store, tenant in zip(stores, market.tenants, strict=True):
        create_guard(store.folder, read_policy(tenant / FOLDER / POLICY))
    config = load(begun.folder / "config.toml")
    with known_noise():
        run_in_process(
            exchange_of(grid_of(stores), in_clear(config), tmp_path), stores[0].dataset().catalogue, tmp_path / "one"
        )
    assert "noise alone" not in caplog.text, "an answer that failed, which two sides may have in common"
    told = [json.loads((folder / "server.json").read_text()) for folder in (begun.folder, tmp_path / "one")]
    assert told[0] == told[1]
    for model in MODELS:
        real, one = (load_model(folder / "models" / model).weights for folder in (begun.folder, tmp_path / "one"))
        assert all(np.array_equal(real[name], value) for name, value in one.items()), model
    for store, tenant in zip(stores, market.tenants, strict=True):
        ledgers = [Ledger(folder / FOLDER).entries() for folder in (store.folder, tenant)]
        mine, theirs = ([(entry.what, entry.mechanisms) for entry in entries] for entries in ledgers)
        assert mine == theirs
        assert len(mine) == 3  # item counts and the Gram in one answer, two rounds of training


def test_the_noise_is_there() -> None:
    """The comparison would hold without noise, too: under the known key it is not 0, and under another one it differs."""
    from fedrec.privacy.noise import Keystream, gaussian

    with known_noise():
        known = [gaussian(Keystream(), 8, 1.0) for _ in range(2)]
    assert np.array_equal(*known)
    assert np.abs(known[0]).min() > 0
    assert not np.array_equal(known[0], gaussian(Keystream(), 8, 1.0))
