"""Where a call's recordings and messages go: the spool, the store, and who is told.

Rules this module keeps:

- Everything here blocks on a disk, so it runs in the executor, never on the loop.
- A recording is known to the journal before it begins, so that one left by a crash still knows
  its call.
- Messages that callers left while the service was away are taken in exactly once.
- A recording that cannot be taken now (the database is locked, the disk is full) is tried again
  when its message is kept. If that fails, too, the caller is told that nothing was kept; the
  recording stays in the spool and becomes a message later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy import func, select, update

from ivr import floor, intake, messages, store, tables
from ivr.actions import Keep
from ivr.agi import Session
from ivr.channel import Taken
from ivr.clock import Clock
from ivr.directory import normal
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.hours import parse
from ivr.spool import Spool
from ivr.store import StorageFailed, Store
from ivr.tickets import Terms

FAMILY = "sansheng/fallback"
"""Where the dialplan writes what it knows of a message left without the service."""

DIED = "the service died while this call was up"
"""What the record of such a call says."""
KNOWN = 1.0
"""Seconds that the database may take to say whether a caller is known, while it rings."""
LEFT = "spool:"
"""How a recording is called that could not be taken yet. Only names of our own begin like this."""

DAMAGED = {"empty": "silent", "cut": "fine", "broken": "fine"}
"""What a caller is told of a recording that was damaged on our side."""

log = structlog.get_logger("desk")


class Desk:
    """Keeps what callers leave. `lines` gives the lines as they are at the moment, for what is
    taken in when its call is over; what a call keeps goes by the line that it began with."""

    def __init__(
        self,
        database: Store,
        spool: Spool,
        clock: Clock,
        lines: Callable[[], Hotlines] | None = None,
    ) -> None:
        self._store, self._spool, self._clock = database, spool, clock
        self._lines = lines
        self._left: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.waiting = False
        """Something was not finished at the last look, and will be soon."""

    async def close_calls(self, system: str, owner: str = "") -> bool:
        """Calls that were up when a service died are over; their records say so. Those of
        another that lives (one that is drained while we begin) are its own. True if there are
        such calls, or if it could not be done: it is to be tried again. `owner` is this process.
        """
        now = self._clock.utc()

        def work() -> tuple[int, bool]:
            calls = tables.calls.c
            last = (
                select(func.coalesce(func.max(tables.journal.c.at_ms), 0))
                .where(tables.journal.c.call_id == calls.id)
                .scalar_subquery()
            )
            up = calls.system == system, calls.ended_at.is_(None)
            query = select(calls.id, calls.offered_at, calls.ended_by, last.label("last")).where(
                *up,
                calls.owner.not_in(floor.alive(now)),
                (calls.owner == "") | (calls.owner != owner),
            )
            others = select(calls.id).where(*up, calls.owner != owner).limit(1)
            with self._store.write() as connection:
                rows = connection.execute(query).all()
                for row in rows:
                    ended_at = row.offered_at + timedelta(milliseconds=row.last)
                    connection.execute(
                        update(tables.calls)
                        .where(calls.id == row.id)
                        .values(ended_at=ended_at, ended_by=row.ended_by or "us", problem=DIED)
                    )
                return len(rows), connection.execute(others).scalar() is not None

        try:
            died, others = await self._clock.in_executor(work)
        except StorageFailed as error:
            log.error("calls of a service that died are not closed", why=str(error))
            return True
        if died:
            log.warning("a service died while calls were up", calls=died)
        return others

    async def knows(self, line: Line, caller: str, uniqueid: str) -> bool:
        """Whether this line was told in an earlier call who rings from this number; False if the
        database does not say so within `KNOWN` seconds: who is asked twice is served all the same.
        Lines that ask nobody who they are need not know."""
        number = normal(caller)
        if line.settings.get("intake") != "yes" or not number:
            return False
        asking = self._clock.in_executor(self._store.contact, line.name, number)
        asked, late = asyncio.create_task(asking), asyncio.create_task(self._clock.sleep(KNOWN))
        try:
            await asyncio.wait({asked, late}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result() is not None
            log.warning("whether a caller is known was not found out in time", line=line.name)
        except StorageFailed as error:
            log.warning("whether a caller is known cannot be found out", why=str(error))
        finally:
            asked.cancel()
            late.cancel()
        return False

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken:
        """Take a finished recording out of the spool. One that cannot be taken stays there."""

        def work() -> store.Recording:
            return self._spool.take(slices, call_id=call.id, what=what)

        try:
            row = await self._clock.in_executor(work)
        except (OSError, StorageFailed) as error:
            log.error("a recording stays in the spool", call=call.id, why=str(error))
            left = LEFT + slices[0]
            self._left[left] = (what, tuple(slices))
            return Taken(left, 0.0, "fine")
        # what a disk or a crash did to it is nothing to ask the caller about
        quality = DAMAGED.get(row.quality, row.quality) or "silent"
        return Taken(row.reference or "", row.seconds, quality)

    async def keep(self, call: store.Call, line: Line, wish: Keep) -> messages.Kept:
        """Keep what a call wishes. Raises StorageFailed, OSError."""
        # by the hours that the call began with, whatever has been reloaded since
        hours, now = parse(line.document), self._clock.utc()

        def work() -> messages.Kept:
            taken = tuple((name, self._again(call, value)) for name, value in wish.values)
            values = replace(wish, values=taken)
            rules, own = line.tickets, tuple(line.numbers)
            return messages.keep(self._store, call, values, hours, now, rules, own)

        return await self._clock.in_executor(work)

    def _again(self, call: store.Call, value: str) -> str:
        """A value to be kept; a recording that was left in the spool is taken now."""
        if value not in self._left:
            return value
        what, slices = self._left[value]
        row = self._spool.take(slices, call_id=call.id, what=what)
        del self._left[value]
        return row.reference or ""

    async def collect(self, session: Session) -> None:
        """Read the dialplan's notes over an AGI session of its own, and take their messages in."""
        while True:
            notes = await self._notes(session)
            taken = await self._clock.in_executor(self._intake().run, notes)
            for name in taken.done:
                await session.command("DATABASE DELTREE", f"{FAMILY}/{name}")
            self._tell(taken)
            if not taken.done:
                break
        await session.command("HANGUP")

    async def _notes(self, session: Session) -> dict[str, Mapping[str, str]]:
        # not GET VARIABLE, which cuts what it says after a thousand bytes, in the middle of a name
        listed = await session.command("GET FULL VARIABLE", f"${{DB_KEYS({FAMILY})}}")
        notes: dict[str, Mapping[str, str]] = {}
        for name in (listed.data or "").split(","):
            if not name:
                continue
            note = {}
            for key in ("system", "call", "hotline", "number", "caller", "began", "ended"):
                reply = await session.command("DATABASE GET", f"{FAMILY}/{name}", key)
                if reply.result == 1:
                    note[key] = reply.data or ""
            if note:
                notes[name] = note
        return notes

    async def tidy(self) -> None:
        """Take in what is left in the spool of calls that nobody works on any more."""
        taken = await self._clock.in_executor(self._intake().run, {})
        self._tell(taken)

    def _intake(self) -> intake.Intake:
        """An intake by the lines as they are now."""
        loaded = self._lines() if self._lines is not None else None

        def terms(hotline: str) -> Terms:
            if loaded is None or hotline not in loaded.lines:
                return Terms()
            return Terms(loaded.lines[hotline].tickets, loaded.hours[hotline])

        return intake.Intake(self._spool, terms)

    def _tell(self, taken: intake.Taken) -> None:
        self.waiting = taken.waiting > 0
        for message in taken.messages:
            log.info("a message was taken in", message=message)
