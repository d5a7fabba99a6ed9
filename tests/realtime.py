"""Waiting for what no clock of ours moves: sockets, threads and other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(true: Callable[[], object], within: float = 10.0) -> None:
    """Let the loop run until this is so. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  # what we wait for sets no event of ours
            await asyncio.sleep(0.001)
