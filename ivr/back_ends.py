"""The back ends of every line, asked for its calls.

Rules this module keeps:

- A call that outlives its line is answered: its lookup fails.
- After a reload the old back ends are closed only when nobody asks them any more.
- A back end that failed is not counted on for a while (XJCA-6.3b).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ivr import actions, lookup, lookup_settings, store
from ivr.clock import Clock
from ivr.events import Event, LookupFailed
from ivr.flow import Line
from ivr.hotlines import Hotlines

FAILING = 600.0
"""Seconds after which a back end that failed is believed to work again."""


class LookUps:
    """The back ends of every line."""

    def __init__(self, lines: Hotlines, clock: Clock, root: Path) -> None:
        self._asks = {
            name: lookup.Lookups(lookup_settings.parse(line.document), clock=clock, root=root)
            for name, line in lines.lines.items()
        }
        self._clock, self._failed_at = clock, dict[str, float]()
        self._asking = 0
        self._idle = asyncio.Event()

    async def __call__(self, call: store.Call, line: Line, wish: actions.LookUp) -> Event:
        if line.name not in self._asks:  # the line went with a reload, its calls have not yet
            return LookupFailed(wish.id, "there is no such line any more")
        self._asking += 1
        try:
            said = await self._asks[line.name].ask(wish)
        finally:
            self._asking -= 1
            self._idle.set()
        if isinstance(said, LookupFailed):
            self._failed_at[line.name] = self._clock.now()
        else:
            self._failed_at.pop(line.name, None)
        return said

    def failing(self, line: str) -> bool:
        """Whether the back end of a line failed when it was last asked, and that is not long ago:
        an answer that needs it is not to be given now (XJCA-6.3b)."""
        failed = self._failed_at.get(line)
        return failed is not None and self._clock.now() - failed < FAILING

    async def close(self) -> None:
        """Close what is open, when nobody asks any more."""
        while self._asking:
            self._idle.clear()
            await self._idle.wait()
        for one in self._asks.values():
            await one.close()
