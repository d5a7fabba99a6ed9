"""Keeps promises to call back (回拨): whose turn it is, the agent first, then the person.

Rules this module keeps:

- A promise stands in the waiting line of its department like a caller: in the place that its
  caller left there, else from when it was made. When its turn comes an agent is claimed for it.
- How one attempt goes is `ivr.calling_back`.
- An attempt whose process died counts as made if the person may have been rung. If Asterisk still
  has its channel it is left alone until it is over. Nobody is rung twice for one attempt.
- Calls go out in the line's hours, not while the line is under maintenance, not to one who is
  still on the line with us, and to one person once at a time.
- A promise that is due soon, past its time or given up is said to ops: log, manager event, ticket.

Serves XJCA-6.3b, LAW-1, WRK-3.1, WRK-3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from ivr import attempts, promise_news, promises
from ivr.attempts import Attempt
from ivr.calling_back import Caller, result_of
from ivr.floor import DEAD
from ivr.journal import call_id
from ivr.promises import Promise
from ivr.store import StorageFailed, Store
from ivr.switchboard import Switchboard
from ivr.tables import calls, owners
from ivr.telling import tell

if TYPE_CHECKING:
    from ivr.server import Service

LOOK = 5.0
"""Seconds between two looks at what is promised."""

log = structlog.get_logger("callbacks")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has seen: attempts that nobody here makes, promises kept by people, and whether
    any promise may be tried now."""

    running: list[Attempt]
    answered: list[str]
    waiting: bool


class Callbacks:
    """Makes the call-backs of one process. `carrier` is the endpoint by which calls go out, where a
    line names none; `failing` says whether a line's back end is known not to work."""

    def __init__(
        self,
        service: Service,
        database: Store,
        switchboard: Switchboard,
        carrier: str = "",
        failing: Callable[[str], bool] = lambda line: False,
    ) -> None:
        self._service, self._store, self._switchboard = service, database, switchboard
        self._clock, self._carrier, self._failing = service.clock, carrier, failing
        self.caller = Caller(service, database, switchboard, carrier, self._open)
        self.dialler = self.caller.dialler
        self.owner = switchboard.agents.owner

    def connect(self) -> None:
        """From now on the switchboard's claims for call-backs come here, and what Asterisk says
        of calls out."""
        service, phones, caller_of = self._service, self._service.on_phones, self._service.caller_of

        def event(headers: Mapping[str, str]) -> None:
            phones(headers)
            self.dialler.event(headers)

        service.on_phones = event
        service.caller_of = lambda uniqueid: self._call_of(caller_of(uniqueid))
        service.other_scripts = {**service.other_scripts, "callback": self.caller.reached}
        service.pending = lambda: len(self.caller.tasks)
        self._switchboard.callbacks = self.lines
        self._switchboard.on_callback = self.caller.claimed

    def _call_of(self, claimed: str) -> str:
        """The call for which an agent was claimed: a call-back's goes by another name."""
        for one in self.caller.running.values():
            if one.pseudo.id == claimed:
                return one.attempt.call_id
        return claimed

    @property
    def busy(self) -> int:
        """Attempts that this process makes now."""
        return len(self.caller.running)

    # -- looking

    async def run(self) -> None:
        """Look until cancelled, whatever fails meanwhile."""
        while True:
            try:
                await self.look()
            except StorageFailed as error:
                log.warning("promises cannot be seen to; trying again", why=str(error))
            except Exception:
                log.exception("promises cannot be seen to, by an error of ours; trying again")
            await self._clock.sleep(LOOK)

    def lines(self) -> tuple[str, ...]:
        """The lines for which an attempt may begin at this moment."""
        return () if self._service.draining else self._open()

    def _open(self) -> tuple[str, ...]:
        """The lines that may call people at this moment."""
        service, now = self._service, self._clock.utc()
        if not service.bells:
            return ()
        return tuple(
            name
            for name, rules in service.hotlines.callbacks.items()
            if (rules.through or self._carrier)
            and name not in service.maintenance
            and rules.hours.is_open(now)
        )

    async def look(self) -> None:
        """One look at all that is promised. Raises StorageFailed."""
        seen = await self._clock.in_executor(self._see, self._clock.utc(), self.lines())
        for name in seen.answered:
            log.info("people have kept a promise themselves", promise=name)
        await self._announce()
        for attempt in seen.running:
            await self._recovered(attempt)
        if seen.waiting:
            self._switchboard.look()

    def _see(self, now: datetime, allowed: tuple[str, ...]) -> Seen:
        database = self._store
        promises.passed(database, now)
        return Seen(
            running=[one for one in attempts.running(database) if not self.caller.makes(one)],
            answered=promises.answered(database, now),
            waiting=self._line_up(allowed),
        )

    def _line_up(self, allowed: tuple[str, ...]) -> bool:
        """Give every promise that may be tried its place in a line; whether there is any."""
        if not allowed:
            return False
        now, failing = self._clock.utc(), tuple(filter(self._failing, allowed))
        for one in attempts.unplaced(self._store, now, allowed, failing):
            staff = self._service.hotlines.lines[one.hotline].staff
            known = one.owner in staff.departments
            department = one.owner if known else staff.transfer.department
            self._switchboard.agents.keep_place(one.place, one.hotline, department, "", one.made_at)
        return attempts.waiting(self._store, now, allowed, failing)

    async def _announce(self) -> None:
        """Say what is to be said, and mark it as said after that. Raises StorageFailed."""
        ahead = {name: rules.due_soon for name, rules in self._service.hotlines.callbacks.items()}
        while found := await self._clock.in_executor(
            promise_news.claim, self._store, ahead, self._clock.utc()
        ):
            for news in found:
                await self._say(news.what, news.promise)
                now = self._clock.utc()
                await self._clock.in_executor(promise_news.said, self._store, news, now)

    async def _say(self, what: str, one: Promise) -> None:
        told = promises.told(one)
        log.warning(SAYS[what], **told)
        await tell(self._service.bell, "SanshengPromise", {"what": what, **told})

    async def close(self) -> None:
        """Nobody is called any more: calls that ring are ended, and written down."""
        await self.caller.close()

    # -- after a crash

    async def _recovered(self, attempt: Attempt) -> None:
        """See to an attempt that nobody here makes; whatever fails is tried at the next look."""
        try:
            await self._recover(attempt)
        except StorageFailed as error:
            log.warning("an attempt cannot be seen to; trying again", why=str(error))
        except Exception:
            log.exception("an attempt cannot be seen to, by an error of ours; trying again")

    async def _recover(self, attempt: Attempt) -> None:
        """An attempt of a process that has died, or one that was left alone."""
        if self.caller.makes(attempt):
            return  # begun just now, by us
        if attempt.owner != self.owner:
            if not await self._clock.in_executor(self._take_over, attempt):
                return
            log.warning("an attempt of a process that died", attempt=attempt.id)
        if attempt.dialled_at is not None:
            up = await self.dialler.exists(attempt.channel_id)
            if up is None or up:
                return  # nobody can say yet, or it is up still
        result, talked = await self._clock.in_executor(self._journalled, attempt)
        await self.caller.end(attempt, result, talked)

    def _take_over(self, attempt: Attempt) -> bool:
        """Make an attempt of a process that died one of ours: if our Asterisk has its call, if
        any, or it is so old that none can be left."""
        old = attempt.made_at < self._clock.utc() - attempts.LONGEST
        if attempt.call_id != call_id(self._service.system, attempt.channel_id) and not old:
            return False
        with self._store.read() as connection:
            query = select(owners.c.seen_at).where(owners.c.name == attempt.owner)
            seen = connection.execute(query).scalar()
        if seen is not None and seen > self._clock.utc() - DEAD:
            return False
        return attempts.adopt(self._store, attempt, self.owner)

    def _journalled(self, attempt: Attempt) -> tuple[str, float]:
        """What the record of the person's call says came of it, if there was one."""
        with self._store.read() as connection:
            query = select(calls.c.record).where(calls.c.id == attempt.call_id)
            record = connection.execute(query).scalar() or {}
        return result_of(record, attempts.UNKNOWN)


SAYS = {
    promise_news.DUE_SOON: "a promise is due soon",
    promise_news.LATE: "a promise is broken: its time has passed",
    promise_news.LEFT: "a promise is given up: people must see to it",
}
