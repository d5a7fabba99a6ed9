"""A line for a fault, what its callers hear, and what is kept of them.

Rules this module keeps:

- Every test of a fault has a line of its own (`line`, a fixture that conftest.py hands out); where
  its back ends are, nobody answers unless the test does (`port`).
- Judged is what was heard and what was written down.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Stage
from places import ROOT, free_port

from ivr import scenario_file
from ivr.ear import Heard
from ivr.phone_call import PhoneCall
from ivr.store import Message

APOLOGY = 3.0
"""Seconds within which the caller of a service that died hears the apology."""
TAKEN_IN = 45.0
"""Seconds after a start in which what was left is taken in (a look every 30 s)."""

PROMPT, PAUSE, HOLD, SPEAKS, RINGS, LATER, QUIET = (f"1380000100{n}" for n in range(1, 8))
"""Callers: over a prompt, in a pause, on hold, leaving a message, while it rings, afterwards."""


@pytest.fixture
def port() -> int:
    """Where back ends answer, or do not."""
    return free_port(socket.SOCK_STREAM)


@pytest.fixture
def line(tmp_path: Path, port: int) -> Iterator[Stage]:
    with Stage(tmp_path, back_end=f"http://127.0.0.1:{port}", name="faults") as own:
        yield own


def hear(line: Stage, call: PhoneCall) -> list[Heard]:
    return line.ear.recognise(call.heard)


def names(heard: list[Heard], hotline: str = "") -> list[str]:
    """What was heard; of prompts that sound alike, this line's."""
    return [next((n for n in one.names if n.startswith(f"{hotline}.")), one.name) for one in heard]


def apology(line: Stage, hotline: str, call: PhoneCall) -> float:
    """When the maintenance apology of this line began, in monotonic seconds."""
    heard = hear(line, call)
    for one in heard:
        if f"{hotline}.maintenance.line" in one.names:
            return one.start
    raise AssertionError(f"the apology was never heard, but {names(heard)}")


async def messages(line: Stage, callers: set[str], within: float = TAKEN_IN) -> list[Message]:
    """Every message there is, once each of these callers has one."""
    async with asyncio.timeout(within):
        while True:
            found = await asyncio.to_thread(line.messages)
            if callers <= {message.caller for message in found}:
                return found
            await asyncio.sleep(0.2)


def silent_call(line: Stage, hotline: str) -> list[str]:
    """What a silent caller of this line hears."""
    file = ROOT / f"tests/scenarios/{hotline}-silent.yaml"
    return [f"{hotline}.{prompt}" for prompt in scenario_file.read(file, ROOT).hears]
