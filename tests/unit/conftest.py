"""The command line; folders of recordings; and two processes with the agents of a shop and a bank,
in a database of the `databases` plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_work import BANK, SHOP, at
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
