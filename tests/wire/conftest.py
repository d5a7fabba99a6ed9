"""The virtual clock of a test, and a script played against the fake Asterisk."""

from __future__ import annotations

import pytest
from faked import START, FakeSide
from transcript import Transcript, transcript

from ivr.clock import VirtualClock


@pytest.fixture
def clock():
    clock = VirtualClock(START, patience=5.0)
    yield clock
    clock.close()


@pytest.fixture
def play(clock):
    """Plays steps against the fake; the side is kept in `play.side`."""

    async def play(*steps, caller=(), answer=True, **options) -> Transcript:
        play.side = FakeSide(clock, **options)
        first = ["ANSWER"] if answer else []
        return await transcript(play.side, [*first, *steps], caller)

    return play
