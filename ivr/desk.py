"""Where a call's recordings and messages go: the spool, the store, and who is told.

Rules this module keeps:

- Everything here blocks on a disk, so it runs in the executor, never on the loop.
- A recording is known to the journal before it begins, so that one left by a crash still knows
  its call.
- Messages that callers left while the service was away are taken in exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from ivr import messages, store
from ivr.actions import Keep
from ivr.agi import Session
from ivr.channel import Taken
from ivr.clock import Clock
from ivr.flow import Line
from ivr.hours import Hours
from ivr.intake import Intake
from ivr.spool import Spool
from ivr.store import StorageFailed, Store

FAMILY = "sansheng/fallback"
"""Where the dialplan writes what it knows of a message left without the service."""

log = structlog.get_logger("desk")


class Desk:
    """Keeps what callers leave. `hours` gives the working time of a line."""

    def __init__(
        self, database: Store, spool: Spool, clock: Clock, hours: Callable[[str], Hours]
    ) -> None:
        self._store, self._spool, self._clock, self._hours = database, spool, clock, hours

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken:
        """Take a finished recording out of the spool. One that cannot be taken stays there and
        becomes a message later."""

        def work() -> store.Recording:
            return self._spool.take(slices, call_id=call.id, what=what)

        try:
            row = await self._clock.in_executor(work)
        except (OSError, StorageFailed) as error:
            log.error("a recording stays in the spool", call=call.id, why=str(error))
            return Taken("", 0.0, "silent")
        return Taken(row.reference or "", row.seconds, row.quality or "silent")

    async def keep(self, call: store.Call, line: Line, wish: Keep) -> str:
        """Keep what a call wishes; returns its reference. Raises StorageFailed."""
        return await self._clock.in_executor(
            messages.keep, self._store, call, wish, self._hours(line.name), self._clock.utc()
        )

    async def collect(self, session: Session) -> None:
        """Read the dialplan's notes over an AGI session of its own, and take their messages in."""
        while notes := await self._notes(session):
            taken = await self._clock.in_executor(Intake(self._spool).run, notes)
            for name in taken.done:
                await session.command("DATABASE DELTREE", f"{FAMILY}/{name}")
            self._tell(taken.messages)
            if not taken.done:
                break
        await session.command("HANGUP")

    async def _notes(self, session: Session) -> dict[str, Mapping[str, str]]:
        listed = await session.command("GET VARIABLE", f"DB_KEYS({FAMILY})")
        notes: dict[str, Mapping[str, str]] = {}
        for name in (listed.data or "").split(","):
            if not name:
                continue
            note = {}
            for key in ("system", "call", "hotline", "number", "caller", "began", "ended"):
                reply = await session.command("DATABASE GET", f"{FAMILY}/{name}", key)
                if reply.result == 1:
                    note[key] = reply.data or ""
            notes[name] = note
        return notes

    async def tidy(self) -> None:
        """Take in what is left in the spool of calls that nobody works on any more."""
        taken = await self._clock.in_executor(Intake(self._spool).run, {})
        self._tell(taken.messages)

    def _tell(self, taken: Sequence[str]) -> None:
        for message in taken:
            log.info("a message was taken in", message=message)
