"""What a running service says it does, for live tests that act at a moment of a call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Self

from harness import Stage


class Watch:
    """What the service says it does; only to know when to act, never to judge by."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.rows: list[tuple[float, dict[str, Any]]] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(5):
            while not self.rows:
                await self._more()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._reading

    async def _read(self) -> None:
        async for row in self._stage.watch():
            self.rows.append((time.monotonic(), row))
            self._news.set()

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def until(
        self, caller: str, what: str, prompt: str = "", within: float = 30.0, times: int = 1
    ) -> float:
        """When this call did this for the first (second, …) time, in monotonic seconds."""
        place = seen = 0
        async with asyncio.timeout(within):
            while True:
                for when, row in self.rows[place:]:
                    place += 1
                    if (row.get("caller"), row["what"]) != (caller, what):
                        continue
                    if not prompt or row.get("prompt") == prompt:
                        seen += 1
                        if seen == times:
                            return when
                await self._more()
