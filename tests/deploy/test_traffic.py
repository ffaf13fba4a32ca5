"""All that goes between three tenants and their platform in a run, heard in clear, and damaged on the way.

Users' names, times and the order of their events are drawn at random, so that nothing is found by accident: a name has
64 random bits, a history of 24 events on six items 62, two times in a row more than 50. A false alarm: in the 20 MB that
go by, were they random, some of 18 spellings of names, of 45 of histories or of 621 of times would appear with a
probability below 2^25 x (63 / 2^62 + 621 / 2^50) < 2 x 10^-5. What tenants say in words is longer than all of these.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message

from benchmarks.replay import in_clear
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.required import REQUIRES
from fedrec.client.store import TEST_READ, create_store
from fedrec.config import load
from fedrec.deploy.flower import executable, settings
from fedrec.deploy.platform.folder import CA, CA_KEY
from fedrec.deploy.platform.folder import CONFIG as PLATFORM
from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.deploy.supervisor import Program, inherited
from fedrec.deploy.tenant.folder import NODE_KEY, Tenant
from fedrec.deploy.tenant.node import free_port
from fedrec.errors import RoundFailed
from fedrec.messages import WORDS
from fedrec.server.run import run as run_in_process
from tests.deploy import skewed
from tests.deploy.market import fedrec
from tests.deploy.middle import DOWN, UP, Middle
from tests.deploy.real import PATIENCE_S, Market, reachable, wait_until
from tests.federation import ITEMS, exchange_of, grid_of

pytestmark = pytest.mark.slow
USERS, EVENTS = 3, 24
REFUSED = b"HTTP/1.1 401 "
PULL, PUSH = "/v1/fleet/pull-object", "/v1/fleet/push-object"
BEHIND_S, AHEAD_S = -240.0, 3600.0
"""A SuperNode may be up to five minutes behind; what works on the rows may have any time."""
RUN = """
[[models]]
name = "popularity"
[[models]]
name = "ease"
"""
Rows = Mapping[str, tuple[list[str], list[int]]]


def rows_at_random(generator: np.random.Generator) -> Rows:
    """User -> items and times of the events, in their order."""
    times = (np.sort(generator.integers(1 << 30, 1 << 31, EVENTS)).tolist() for _ in range(USERS))
    items = (generator.choice(ITEMS, EVENTS).tolist() for _ in range(USERS))
    return {generator.bytes(8).hex(): row for row in zip(items, times, strict=True)}


def new_tenant(folder: Path, name: str, rows: Rows) -> Path:
    lines = [f"{user},{item},{time}" for user, row in rows.items() for item, time in zip(*row, strict=True)]
    (folder / f"{name}.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    fedrec("tenant", "init", folder / name, "--data", folder / f"{name}.csv", "--no-noise")
    return folder / name


def skewed_program(program: Program, seconds: float) -> Program:
    """The same program, on a machine with another time of day."""
    python = program.arguments if program.arguments[0] == sys.executable else (sys.executable, *program.arguments)
    return replace(program, arguments=(python[0], str(Path(skewed.__file__)), str(seconds), *python[1:]))


def up_skewed(market: Market, folder: Path) -> None:
    """As `fedrec tenant up`, on a machine whose clock is wrong."""
    wrong = {"warm": AHEAD_S, "supernode": BEHIND_S}
    market.up_changed(folder, lambda program: skewed_program(program, wrong[program.name]))


@pytest.fixture(scope="module")
def rows() -> list[Rows]:
    generator = np.random.default_rng(1)
    return [rows_at_random(generator) for _ in range(3)]


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Middle:
    return Middle(free_port(), free_port(), tmp_path_factory.mktemp("middle"))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, rows: list[Rows], middle: Middle) -> Iterator[Market]:
    """Tenants find the one in the middle where the platform says that it is; the platform itself listens elsewhere."""
    market = Market(tmp_path_factory.mktemp("traffic"), 0)
    market.tenants = [new_tenant(market.folder, f"tenant-{number}", one) for number, one in enumerate(rows)]
    path = market.platform.folder / PLATFORM
    told = path.read_text().replace(f"localhost:{market.port}", f"localhost:{middle.port}")
    path.write_text(told.replace(f"port = {market.port}", f"port = {middle.platform}"))
    ca_key, ca = (market.platform.folder / name for name in (CA_KEY, CA))
    try:
        market.up("platform", market.platform.folder)
        wait_until(lambda: reachable(market.platform), "the SuperLink")
        market.join()
        with middle.listening(ca_key.read_bytes(), ca.read_bytes()):
            up_skewed(market, market.tenants[2])
            for tenant in market.tenants[:2]:
                market.up("tenant", tenant)
            yield market
    finally:
        market.end()


def begun(market: Market, name: str, masks: bool) -> Run:
    return market.begin(name, RUN, evaluation="exclude_seen = false", timeout_s=40, secure_aggregation=masks)


def ended(run: Run, number: int) -> None:
    """Wait for the end of a round."""
    wait_until(lambda: (number, "round-end") in [(e.get("round"), e["event"]) for e in run.events()], f"round {number}")


def test_what_is_cut_short_on_the_way_is_sent_again(market: Market, middle: Middle) -> None:
    """Half of an instruction, then half of an upload, and the connection is gone: nobody drops out for that."""
    damaged = middle.damage(DOWN, PULL, cut=True)
    run = begun(market, "heard", masks=True)
    assert damaged.done.wait(PATIENCE_S)
    assert middle.damage(UP, PUSH, cut=True).done.wait(PATIENCE_S)
    ended(run, 1)
    assert {event["event"] for event in run.events()} & {"no-answer", "refused"} == set()


def test_what_is_changed_on_the_way_costs_the_round_and_not_the_result(
    market: Market, middle: Middle, tmp_path: Path
) -> None:
    """One byte of an answer is another one. Flower knows each object by its digest and takes none that differs, so
    there is no answer, and of three tenants nobody may be missing. All that the run comes to in the end is bit for bit
    what one process comes to. One tenant's clocks are wrong all the while, and it is in each sum."""
    run = existing_run(market.platform, "heard")
    assert middle.damage(UP, PUSH, cut=False).done.wait(PATIENCE_S)
    with pytest.raises(RoundFailed, match="takes it up again"):
        run.follow(lambda event: None, PATIENCE_S)
    fedrec("platform", "run", market.platform.folder, "--resume", "heard", "--detach")
    run.follow(lambda event: None, PATIENCE_S)
    spoken(run, market, tmp_path)
    assert [event["members"] for event in run.events() if event["event"] == "secure-sum"][-4:] == [[1, 2, 3]] * 4
    for name in ("server.json", *(str(path.relative_to(tmp_path / "server")) for path in weights(tmp_path / "server"))):
        assert (run.folder / name).read_bytes() == (tmp_path / "server" / name).read_bytes()


def weights(folder: Path) -> list[Path]:
    return sorted((folder / "models").rglob("*.safetensors"))


def spoken(run: Run, market: Market, folder: Path) -> list[bytes]:
    """The run again in one process below `folder`; the words of each tenant's answers without masks, as they would lie
    on the wire. Left out is what has less than four different values: zeros are no one's secret, and are everywhere."""
    config = load(run.folder / "config.toml")
    stores = [create_store(folder / path.name, Tenant(path).store.dataset()) for path in market.tenants]
    found: list[np.ndarray] = []

    def heard(message: Message) -> bool:
        record = message.content.get(WORDS)
        found.extend(array.numpy() for array in record.values()) if isinstance(record, ArrayRecord) else None
        return False

    run_in_process(
        exchange_of(grid_of(stores, heard), in_clear(config), folder), stores[0].dataset().catalogue, folder / "server"
    )
    return [array.tobytes() for array in found if len(np.unique(array)) > 3]


def test_nothing_private_goes_by(market: Market, middle: Middle, rows: list[Rows], tmp_path: Path) -> None:
    """Neither compressed nor in chunks, so that what goes by is what was meant."""
    run, text = existing_run(market.platform, "heard"), middle.text(UP, DOWN)
    assert run.is_finished, "needs the run of the tests before"
    for head in (b"content-encoding:", b"transfer-encoding:"):
        assert head not in text.lower()
    for control in (b"fedrec.secagg", b"fedrec.body", b"train.contribute", b"evaluate.score", b"popularity"):
        assert control in text, f"{control!r} is in every run, and was not heard: this test hears nothing"
    private = [*itertools.chain.from_iterable(map(encodings, rows)), *spoken(run, market, tmp_path)]
    assert len(private) > 3 * USERS * 3 * EVENTS
    assert not [secret for secret in private if secret in text]


def encodings(rows: Rows) -> list[bytes]:
    """Users, their times, and their items in order, in each form that a program would be likely to send them in."""
    found = [user.encode() for user in rows] + [bytes.fromhex(user) for user in rows]
    for items, times in rows.values():
        positions = np.array([ITEMS.index(item) for item in items])
        found += [positions.astype(kind).tobytes() for kind in (np.uint8, np.int32, np.int64)]
        found += ["".join(items).encode(), ",".join(items).encode()]
        pairs = list(itertools.pairwise(times))
        found += [np.array(pair, kind).tobytes() for pair in pairs for kind in (np.int32, np.int64, np.float64)]
        found += [str(time).encode() for time in times]
    return found


def test_without_masks_the_same_search_finds_what_tenants_say(
    market: Market, middle: Middle, rows: list[Rows], tmp_path: Path
) -> None:
    """The control: tenants who have thrown away their identities, and that they insist on masks, answer in clear. Every
    word of their first answers is found then; names, times and histories are not, as they never leave."""
    for tenant in market.tenants:
        os.rename(tenant / MASKS, tenant / f"{MASKS}.off")
        for path in (tenant / REQUIRES, tenant / TEST_READ):
            path.unlink(missing_ok=True)
    before = len(middle.text(UP))
    run = begun(market, "clear", masks=False)
    ended(run, 1)
    text = middle.text(UP)
    assert len(text) > before
    assert all(word in text for word in spoken(run, market, tmp_path)[: len(market.tenants)])
    assert not [secret for secret in itertools.chain.from_iterable(map(encodings, rows)) if secret in text]


def test_a_node_whose_clock_is_an_hour_off_is_refused(market: Market, middle: Middle) -> None:
    """Its signature is over a moment that is not now. Flower's SuperNode ends then, without a word of why. Only for it
    does the clock count: what works on the rows may have any, as one of the tenants above shows."""
    arguments = ("--superlink", f"localhost:{middle.port}", "--root-certificates", str(market.platform.folder / CA))
    own = ("--auth-supernode-private-key", str(market.tenants[0] / NODE_KEY), "--port", str(free_port()))
    wrong = (sys.executable, str(Path(skewed.__file__)), str(AHEAD_S), executable("flower-supernode"))
    before = middle.text(DOWN).count(REFUSED)
    with (market.folder / "attempt.log").open("w+b") as log:  # a pipe would wait for what the node has started, too
        process = subprocess.Popen(
            (*wrong, *arguments, *own, "--host", "127.0.0.1", "--max-retries", "0"),
            env=inherited() | settings(market.folder / "attempt"),
            stdout=log,
            stderr=log,
        )
        process.wait(PATIENCE_S)
    assert "SuperNode ID" not in (market.folder / "attempt.log").read_text()
    assert middle.text(DOWN).count(REFUSED) > before
