"""The walkthrough of docs/deploy.md, read from the page itself: the tenants that it makes answer the run that it gives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fedrec.client.app import app as client_app
from fedrec.client.ledger import Ledger
from fedrec.client.party import pin_roster
from fedrec.config import Config
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import read_config
from fedrec.deploy.request import Request
from fedrec.deploy.tenant.folder import REQUEST, Tenant
from fedrec.errors import RoundFailed
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.server.run import run
from fedrec.simulations.grid import InProcessGrid
from fedrec.strategies.secure_grid import SecureGrid
from tests.deploy.market import fedrec, new_tenant, write_catalogue
from tests.federation import exchange_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
RUN = re.search(r"```toml\n(# run\.toml\n.*?)```", PAGE, re.DOTALL)
OPTIONS = re.search(r"fedrec tenant init north --data events\.csv (.*)\n", PAGE)


def documented(folder: Path, text: str) -> Config:
    """A configuration as `fedrec platform run` reads it at a platform in `folder`."""
    market, run_toml = folder / "market", folder / "run.toml"
    fedrec("platform", "init", market, "--catalogue", write_catalogue(folder), "--address", "market.example:9093")
    run_toml.write_text(text)
    return read_config(Platform(market), run_toml)


def tenants(folder: Path, *options: str) -> list[Tenant]:
    """Three tenants that were made by these options and know each other."""
    made = [Tenant(new_tenant(folder, number, *options)) for number in range(3)]
    keys = [Request.read(tenant.folder / REQUEST).identity for tenant in made]
    roster = Roster(tuple(Member(n, key, f"tenant-{n}") for n, key in enumerate(keys, 1)))
    for tenant in made:
        pin_roster(tenant.folder, roster)
    return made


def carried_out(config: Config, made: list[Tenant], out: Path) -> dict[str, object]:
    """What the server keeps of a run in this process, under masks."""
    nodes = {100 + n: {"store": str(tenant.store.folder)} for n, tenant in enumerate(made)}
    exchange = exchange_of(InProcessGrid(client_app, nodes, {"out": str(out)}), config, out)
    pinned = made[0].pinned()
    assert pinned is not None
    events = exchange.events
    exchange.grid = SecureGrid(exchange.grid, pinned, listener=lambda event, fields: events.emit(event, **fields))
    run(exchange, made[0].store.dataset().catalogue, out)
    return dict(json.loads((out / "server.json").read_text()))


def test_the_documented_tenants_answer_the_documented_run(tmp_path: Path) -> None:
    """Without figures, and with the choice on the ledger of each."""
    assert RUN is not None
    assert OPTIONS is not None
    made = tenants(tmp_path, *OPTIONS[1].split())
    found = carried_out(documented(tmp_path, RUN[1]), made, tmp_path / "first")
    assert found["results"] == {}
    for tenant in made:
        whats = [one.what for one in Ledger(tenant.folder / "privacy").entries()]
        assert whats == ["round 1: item_counts, item_gram", "round 2: validation of 2 candidates"]


def test_without_its_section_on_privacy_they_refuse_it(tmp_path: Path) -> None:
    assert RUN is not None
    bare = re.sub(r"\[privacy\].*?(?=\[\[models)", "", RUN[1], flags=re.DOTALL)
    assert "epsilon" not in bare
    made = tenants(tmp_path, "--epsilon", "8", "--delta", "1e-6")
    with pytest.raises(RoundFailed, match="0 of 3 clients are left"):
        carried_out(documented(tmp_path, bare), made, tmp_path / "first")
    assert (tmp_path / "first" / "events.jsonl").read_text().count('"noise-required"') == 3
