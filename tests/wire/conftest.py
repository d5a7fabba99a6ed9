"""The clocks and databases of tests, a script played against the fake Asterisk, and what is needed
to disturb the whole service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from disturbed import CALLS, moments
from faked import START, FakeSide
from meeting import Office, offices
from migrated import new
from promised import MONDAY
from transcript import Transcript, transcript

from ivr import logs
from ivr.clock import VirtualClock
from ivr.hotlines import Hotlines
from ivr.store import Store


@pytest.fixture
def clock():
    clock = VirtualClock(START, patience=5.0)
    yield clock
    clock.close()


@pytest.fixture
def monday() -> Iterator[VirtualClock]:
    """A clock that begins when people are at work and promises are kept."""
    clock = VirtualClock(MONDAY, patience=10.0)
    yield clock
    clock.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database with its tables."""
    opened = new(tmp_path / "test.db")
    yield opened
    opened.close()


@pytest.fixture
def office(lines: Hotlines) -> Callable[..., AbstractAsyncContextManager[Office]]:
    """Opens an office with these phones, and closes it."""
    return offices(lines)


@pytest.fixture
def play(clock):
    """Plays steps against the fake; the side is kept in `play.side`."""

    async def play(*steps, caller=(), answer=True, **options) -> Transcript:
        play.side = FakeSide(clock, **options)
        first = ["ANSWER"] if answer else []
        return await transcript(play.side, [*first, *steps], caller)

    return play


@pytest.fixture
def service_logs() -> None:
    """As the service writes them, whatever another test has set."""
    logs.configure(level="warning")


@pytest.fixture(scope="session")
def every_moment(lines: Hotlines) -> dict[str, list[float]]:
    """Every moment of each of these calls at which something can go wrong."""
    return {name: asyncio.run(moments(lines, name)) for name in CALLS}
