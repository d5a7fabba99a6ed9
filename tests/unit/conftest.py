"""The command line, what a house keeps, and two processes with the agents of a shop and a bank;
houses and agents are in a database of the `databases` plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from at_work import BANK, SHOP, at
from house import House, Ops
from spooled import places
from typed import Sansheng

from ivr.agents import Agents
from ivr.store import Store


@pytest.fixture
def sansheng(capsys: pytest.CaptureFixture[str]) -> Sansheng:
    return Sansheng(capsys)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where calls record, and where recordings are kept."""
    return places(tmp_path)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    """On every database that we know."""
    return House(store, tmp_path)


@pytest.fixture
def small(sqlite_store: Store, tmp_path: Path) -> House:
    """On SQLite alone."""
    return House(sqlite_store, tmp_path)


@pytest.fixture
def ops(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ops]:
    """At a terminal of a hundred columns, where the service has told its environment."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("SANSHENG_RECORDINGS", str(tmp_path / "recordings"))
    monkeypatch.setenv("SANSHENG_SPOOL", str(tmp_path / "spool"))
    made = Ops(root, tmp_path, capsys)
    yield made
    made.house.store.close()


@pytest.fixture
def agents(store: Store) -> Agents:
    made = Agents(store, "one")
    made.sync({"shop": SHOP, "bank": BANK}, at(-60))
    return made


@pytest.fixture
def other(store: Store, agents: Agents) -> Agents:
    """The same in another process."""
    made = Agents(store, "two")
    made.sync({"shop": SHOP, "bank": BANK}, at(-60))
    return made
