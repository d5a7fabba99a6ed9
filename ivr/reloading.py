"""Reads the lines of a running service again, and says what became of it.

Rules this module keeps:

- Calls that are up keep what they began with; new ones get what was read. A mistake changes
  nothing: the lines stay as they were, and the mistake is remembered until it is mended, so that
  ops see it where they look (`sansheng reload`, `live`, `doctor`), not only in the log.
- One at a time. Old back ends are closed once nobody asks them any more; nobody waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import structlog

from ivr.back_ends import LookUps
from ivr.document import BadFile
from ivr.hotlines import Hotlines
from ivr.server import Service

log = structlog.get_logger("serve")


class Reloading:
    """One service's. `read` reads the lines, and blocks; `taken` is told of lines that are in use
    from now on."""

    def __init__(
        self,
        service: Service,
        root: Path,
        read: Callable[[], Hotlines],
        taken: Callable[[Hotlines], Awaitable[None]],
    ) -> None:
        self.problems: tuple[str, ...] = ()
        """Why the last reading was not taken; empty if it was."""
        self.failed_at: datetime | None = None
        self._service, self._root = service, root
        self._read, self._taken = read, taken
        self._alone = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def again(self) -> tuple[str, ...]:
        """Read everything and take it into use; why that could not be done, or nothing."""
        clock = self._service.clock
        async with self._alone:
            try:
                loaded = await clock.in_executor(self._read)
                lookups = LookUps(loaded, clock, self._root)
            except BadFile as error:
                self.problems = tuple(map(str, error.problems))
                for problem in self.problems:
                    log.error("not reloaded", problem=problem)
            except Exception as error:
                self.problems = (f"{type(error).__name__}: {error}",)
                log.exception("not reloaded", problem=str(error))
            else:
                self.problems = ()
                before = self._service.lookups
                self._service.reload(loaded, lookups)
                await self._taken(loaded)
                log.info("reloaded", lines=sorted(loaded.lines))
                if isinstance(before, LookUps):
                    self._beside(asyncio.create_task(before.close()))
            self.failed_at = clock.utc() if self.problems else None
            return self.problems

    def _beside(self, task: asyncio.Task[None]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
