"""What the person at a telephone in the terminal sees.

Rules this module keeps:

- What is shown of a call comes from the service's own `watch` stream, with the real times.
- Where the service is out of reach (another machine) nothing is made up. One that was there and
  has gone is looked for until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ivr import control

AGAIN = 1.0
"""Seconds after which a service that has gone is looked for again."""


class Screen:
    """Seconds since it was opened, who, what; one line each."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began = time.monotonic()

    def show(self, who: str, what: str) -> None:
        """One line; `what` may carry rich's markup."""
        passed = time.monotonic() - self._began
        self._out.print(f"{passed:7.1f}  {who:<5} {what}", highlight=False, soft_wrap=True)

    def ring(self) -> None:
        """The terminal's bell, if a person sits there."""
        if self._out.is_terminal:
            self._out.bell()


@contextlib.asynccontextmanager
async def watched(
    socket: Path, show: Callable[[Mapping[str, Any]], None], *, again: float = AGAIN
) -> AsyncIterator[bool]:
    """Give everything that the service does in calls to `show`, also after it was started anew;
    False if there is none to be watched. A service that has gone is looked for every `again`
    seconds."""
    events = control.ask(socket, {"ask": "watch"})
    try:
        await anext(events)  # says that it watches
    except (control.NoService, StopAsyncIteration, OSError):
        yield False
        return

    async def follow() -> None:
        seen = events
        while True:
            with contextlib.suppress(control.NoService, OSError, ValueError):
                async for event in seen:
                    if event["what"] != "watching":
                        show(event)
            await asyncio.sleep(again)
            seen = control.ask(socket, {"ask": "watch"})

    following = asyncio.create_task(follow())
    try:
        yield True
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
