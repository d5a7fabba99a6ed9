"""Waiting, in live tests: for a moment, and for what tells nobody when it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(found: Callable[[], T], within: float = 5.0, what: str = "") -> T:
    """What `found` gives, once that is something. Raises AssertionError, with `what` was waited
    for, if it still is nothing after `within` seconds."""
    deadline = time.monotonic() + within
    while not (one := found()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or found}"
        await asyncio.sleep(0.05)
    return one


async def at(moment: float) -> None:
    """Wait until this monotonic second."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
