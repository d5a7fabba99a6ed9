"""What is done beside a caller's channel: lookups, surveys, rings, and messages to be kept.

Rules this module keeps:

- Each is answered with an event, whatever goes wrong: the machine never waits in vain.
- What leaves the call (a message kept, a promise, a phone rung) is done only after the journal
  is committed.
- What was to be kept is kept, also if the caller hangs up that very moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import structlog

from ivr import actions, store
from ivr.events import AgentFailed, Event, LookupFailed, Stored, StoreFailed, Surveyed
from ivr.flow import Line
from ivr.house import House, People
from ivr.store import StorageFailed

SURVEY = 5.0
"""Seconds after which a caller is told that nobody is there, if the database does not say."""

log = structlog.get_logger("call")


class Errands:
    """The errands of one call, by the ids of the actions that asked for them.

    `call` gives the call's record so far; `post` takes each answer.
    """

    def __init__(
        self,
        house: House,
        people: People,
        line: Line,
        call: Callable[[], store.Call],
        post: Callable[[Event], None],
    ) -> None:
        self._house, self._people, self._line = house, people, line
        self._call, self._post = call, post
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._keeping: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._tasks

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """All that was begun, done or not."""
        return self._tasks.values()

    def begin(
        self, wish: actions.LookUp | actions.Keep | actions.Survey | actions.RingAgent
    ) -> None:
        """Do this, beside the call."""
        match wish:
            case actions.LookUp():
                work = self._look_up(wish)
            case actions.Keep():
                work = self._keep(wish)
                self._keeping.add(wish.id)
            case actions.Survey():
                work = self._survey(wish)
            case actions.RingAgent():
                work = self._ring(wish)
        self._tasks[wish.id] = asyncio.create_task(work)

    def cancel(self, number: int) -> None:
        """Its answer is not wanted any more."""
        self._tasks[number].cancel()

    def stop(self) -> None:
        """The call is over: cancel what is under way, but not what is being kept."""
        for number, task in self._tasks.items():
            if number not in self._keeping:
                task.cancel()

    async def _look_up(self, wish: actions.LookUp) -> None:
        try:
            event = await self._house.look_up(self._call(), self._line, wish)
        except Exception as error:
            log.exception("a lookup failed in a way of its own", lookup=wish.name)
            event = LookupFailed(wish.id, type(error).__name__)
        self._post(event)

    async def _survey(self, wish: actions.Survey) -> None:
        # what is found out later is no answer any more
        limit = self._house.clock.call_later(SURVEY, lambda: self._unknown(wish))
        try:
            event: Event = await self._people.survey(self._call(), self._line, wish)
        except Exception:
            log.exception("who is there cannot be found out", department=wish.department)
            event = Surveyed(wish.id, staffed=False)
        finally:
            limit.cancel()
        self._post(event)

    def _unknown(self, wish: actions.Survey) -> None:
        log.error("who is there cannot be found out in time", department=wish.department)
        self._post(Surveyed(wish.id, staffed=False))

    async def _ring(self, wish: actions.RingAgent) -> None:
        try:
            await self._house.journal.committed(self._call().id)
        except StorageFailed as error:
            log.error("nobody is rung: it cannot be journalled", why=str(error))
            self._post(AgentFailed(wish.id, "failed"))
        else:
            self._people.ring(self._call(), self._line, wish, self._post)

    async def _keep(self, wish: actions.Keep) -> None:
        call = self._call()
        with self._house.clock.busy("keeping"):
            try:
                await self._house.journal.committed(call.id)
                kept = await self._house.desk.keep(call, self._line, wish)
            except StorageFailed as error:
                log.error("a message could not be kept", call=call.id, why=str(error))
                self._post(StoreFailed(wish.id))
            except Exception:
                log.exception("a message could not be kept, by an error of ours", call=call.id)
                self._post(StoreFailed(wish.id))
            else:
                self._post(Stored(wish.id, kept.reference, kept.promised))
