"""Carries out one attempt to call somebody back (回拨): the agent first, then the person.

Rules this module keeps:

- An agent is rung first, hears the note and accepts. Then the attempt is written down as made,
  and only when that is committed is the person rung, by a channel whose id is the attempt's.
- The person hears who calls and says by key that it is the right one before anything else is
  said (`flows/callback.yaml`), and talks to the agent who waits.
- Nobody is rung twice for one attempt. What is not ended here is left to `ivr.callbacks`, which
  looks at it again.

Serves XJCA-6.3b, LAW-1, WRK-3.1, WRK-3.2.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Collection, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from ivr import actions, attempts, driver, events, promises, store
from ivr.agi import Session
from ivr.attempts import Attempt
from ivr.callback_people import LEG, Held, Running
from ivr.callback_rules import Rules
from ivr.events import AgentAccepted, AgentAnswered, AgentFailed, AgentGone, Reached, Values
from ivr.flow import Line
from ivr.outgoing import UNSURE, Dialler
from ivr.promises import Promise
from ivr.queueing import Claim
from ivr.store import Message, StorageFailed, Store
from ivr.switchboard import Switchboard
from ivr.tables import calls, messages
from ivr.tables import promises as rows

if TYPE_CHECKING:
    from ivr.server import Service

SOON = timedelta(seconds=20)
"""Until a promise is looked at again whose person is still on the line, or being called."""
BRIEFED = ("kind", "caller", "contact", "item", "staff_number", "recording", "surname")
"""What the agent is told of the message."""

log = structlog.get_logger("callbacks")


class Caller:
    """Makes the attempts of one process. `carrier` is the endpoint by which calls go out, where a
    line names none; `lines` gives the lines that may call at this moment."""

    def __init__(
        self,
        service: Service,
        database: Store,
        switchboard: Switchboard,
        carrier: str,
        lines: Callable[[], Collection[str]],
    ) -> None:
        self._service, self._store, self.switchboard = service, database, switchboard
        self._clock, self._carrier, self._lines = service.clock, carrier, lines
        self.dialler = Dialler(service)
        self.owner = switchboard.agents.owner
        self.running: dict[str, Running] = {}
        self._beginning: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def makes(self, attempt: Attempt) -> bool:
        """Whether this process makes this attempt now."""
        return attempt.id in self.running or attempt.id in self._beginning

    async def end(self, attempt: Attempt, result: str, talked: float) -> None:
        """An attempt is over. Raises StorageFailed."""
        now = self._clock.utc()
        one = await self._clock.in_executor(self._ended, attempt, result, now, talked)
        if one is not None:
            tries = one.tries
            log.info("a call-back", promise=one.id, result=result, state=one.state, tries=tries)

    def _ended(self, attempt: Attempt, result: str, now: datetime, talked: float) -> Promise | None:
        """The attempt's end, and what becomes of the promise's place in the line."""
        with self._store.read() as connection:
            query = select(rows.c.hotline).where(rows.c.id == attempt.promise)
            hotline = connection.execute(query).scalar_one()
        rules = self._service.hotlines.callbacks.get(hotline, Rules())
        one = attempts.end(self._store, attempt.id, result, now, rules, talked)
        if one is not None:
            self._place_after(one)
        return one

    def _place_after(self, one: Promise) -> None:
        agents = self.switchboard.agents
        if one.state in (promises.OPEN, promises.BROKEN):
            agents.postpone(one.place, one.next_at)
        else:
            agents.drop_place(one.place)

    # -- an agent is claimed

    def claimed(self, claim: Claim) -> None:
        """An agent is claimed for a call-back whose turn has come."""
        task = asyncio.create_task(self._guarded(self._make(claim)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StorageFailed as error:
            log.error("a call-back is left as it is: the database fails", why=str(error))
        except Exception:
            log.exception("a call-back went wrong, by an error of ours")

    async def _make(self, claim: Claim) -> None:
        """One attempt, from the claim to its end."""
        name = secrets.token_hex(8)
        self._beginning.add(name)  # known as ours before it is a row that others may find
        try:
            with self._clock.busy("a call-back begins"):
                running = await self._begin(claim, name)
        finally:
            self._beginning.discard(name)
        if running is None:
            return
        try:
            try:
                result, talked = await self._reach(running)
            finally:
                if running.held:
                    self.switchboard.cancel(running.pseudo, actions.CancelRing(LEG))
                    running.release(self.switchboard, "free")
                self.switchboard.over(running.pseudo)
            if result:
                with self._clock.busy("a call-back ends"):
                    await self.end(running.attempt, result, talked)
        finally:
            del self.running[running.attempt.id]  # what is not ended now is looked at again

    async def _begin(self, claim: Claim, name: str) -> Running | None:
        """What is to be carried out for this claim; None if nothing is now. Whatever goes wrong,
        an agent for whom nothing follows is given back."""
        running = None
        try:
            running = await self._prepared(claim, name)
        finally:
            if running is None:
                self.switchboard.decline(claim)
        return running

    async def _prepared(self, claim: Claim, name: str) -> Running | None:
        service, now = self._service, self._clock.utc()
        line = service.hotlines.lines.get(claim.hotline)
        rules = service.hotlines.callbacks.get(claim.hotline)
        if line is None or rules is None:  # it went with a reload
            postpone = self.switchboard.agents.postpone
            await self._clock.in_executor(postpone, str(claim.ticket), now + SOON)
            return None
        begun = await self._clock.in_executor(self._begun, claim, rules, name)
        if begun is None:
            return None
        attempt, promise = begun
        # the agent's leg is a call of this line, perhaps the first since we run
        service.write_version(line, self._clock.utc())
        pseudo = self._pseudo(claim, attempt.channel_id, promise.contact)
        running = Running(claim, attempt, promise, line, rules, pseudo)
        self.running[attempt.id] = running
        return running

    def _pseudo(self, claim: Claim, channel_id: str, contact: str) -> store.Call:
        """The call for whose sake the agent is rung: there is none yet, the claim is its name."""
        system = self._service.system
        now = self._clock.utc()
        return store.Call(claim.call_id, system, channel_id, claim.hotline, "", contact, now)

    def _begun(self, claim: Claim, rules: Rules, name: str) -> tuple[Attempt, Promise] | None:
        """Begin an attempt for a place; None if its promise is not to be tried now."""
        now, agents = self._clock.utc(), self.switchboard.agents
        place = str(claim.ticket)
        with self._store.read() as connection:
            found = connection.execute(select(rows).where(rows.c.place == place)).one_or_none()
            of = (
                select(messages.c.call_id).where(messages.c.id == place).scalar_subquery()
                if found is None
                else found.call_id
            )
            up = connection.execute(
                select(calls.c.id).where(calls.c.id == of, calls.c.ended_at.is_(None))
            ).scalar()
            if up is None and found is not None:
                up = attempts.on_the_line(connection, found.contact, now) or None
        if up is not None:  # whoever is to be called back is still on the line with us
            agents.postpone(place, now + SOON)
            return None
        if found is None:  # the caller left the line, and no contact either
            agents.drop_place(place)
            return None
        promise = Promise(**found._mapping)
        if promise.state not in (promises.OPEN, promises.BROKEN) or promise.next_at > now:
            self._place_after(promise)
            return None
        with self._store.read() as connection:
            avoid = promises.complained_of(connection, promise.message_id)
        if avoid == claim.staff_number:  # the place is one that the caller left, for anybody
            agents.postpone(place, now, avoid)
            return None
        system, most = self._service.system, rules.attempts
        attempt = attempts.begin(self._store, promise.id, self.owner, system, now, most, name)
        if attempt is None:
            with self._store.read() as connection:
                found = connection.execute(select(rows).where(rows.c.place == place)).one()
            if found.state == promises.GIVEN_UP:
                agents.drop_place(place)
            else:
                agents.postpone(place, now + SOON)
            return None
        return attempt, promise

    # -- the agent, then the person

    async def _reach(self, one: Running) -> tuple[str, float]:
        """What came of it, and how long they talked; "" if nobody can say yet."""
        with self._clock.busy("a call-back's note"):
            note = await self._clock.in_executor(self._note, one)
        seconds = one.line.staff.transfer.ring
        wish = actions.RingAgent(LEG, one.claim.staff_number, note, one.promise.message_id, seconds)
        self.switchboard.ring(one.pseudo, one.line, wish, one.post)
        while isinstance(said := await one.news.get(), AgentAnswered):
            pass
        if not isinstance(said, AgentAccepted):
            reason = said.reason if isinstance(said, AgentFailed) else "dropped"
            one.release(self.switchboard, reason)
            return attempts.NO_AGENT, 0.0
        with self._clock.busy("a call-back is written down"):
            agent, now = one.claim.staff_number, self._clock.utc()
            if not one.news.empty():
                return attempts.NO_AGENT, 0.0
            if not await self._clock.in_executor(
                attempts.dialling, self._store, one.attempt.id, agent, now, lambda: self._may(one)
            ):
                return attempts.HELD_BACK, 0.0
        if not one.news.empty():
            return attempts.NO_AGENT, 0.0
        return await self._dial(one)

    def _may(self, one: Running) -> bool:
        """Whether its line may still call at this moment."""
        return one.line.name in self._lines()

    async def _dial(self, one: Running) -> tuple[str, float]:
        attempt, rules, sounds = one.attempt, one.rules, self._service.sounds
        variables = {"SANSHENG_ATTEMPT": attempt.id}
        sorry = self._service.hotlines.library.parts(one.line.name, "callback.sorry", {})
        if sorry:
            variables["SANSHENG_SORRY"] = str(sounds / sorry[0].path)
        goodbye = self._service.hotlines.library.parts(one.line.name, "callback.goodbye", {})
        if goodbye:
            variables["SANSHENG_GOODBYE"] = str(sounds / goodbye[0].path)
        await self.dialler.ring(
            one.promise.contact,
            rules.through or self._carrier,
            rules.shows,
            attempt.channel_id,
            rules.ring,
            variables,
            one.news.put_nowait,
        )
        while True:
            match await one.news.get():
                case AgentGone() if one.driver is None:
                    await self.dialler.hang_up(attempt.channel_id)
                    one.release(self.switchboard, "dropped")
                    return attempts.NO_AGENT, 0.0
                case events.HungUp():
                    assert one.driver is not None
                    return result_of(one.driver.row.record, "failed")
                case str() if one.driver is not None:
                    pass  # the call's own record says more
                case "":
                    return "refused", 0.0
                case str(reason) if reason == UNSURE:
                    return "", 0.0
                case str(reason):
                    return reason, 0.0
                case _:
                    pass

    def _note(self, one: Running) -> Values:
        """What the agent is told: of the message, and that this is a call-back."""
        with self._store.read() as connection:
            row = connection.execute(
                select(messages).where(messages.c.id == one.promise.message_id)
            ).one()
        left = Message(**row._mapping)
        known = {
            "kind": left.kind,
            "caller": left.caller,
            "contact": left.contact,
            "item": left.item,
            "staff_number": left.staff_number,
            "recording": left.recording,
            "surname": left.surname_recording,
        }
        if f"briefing.kind.{left.kind}" not in one.line.prompts:
            known["kind"] = "message"
        told = tuple((name, known[name]) for name in BRIEFED if known[name])
        return (("callback", "yes"), *told)

    # -- the person has picked up

    async def reached(self, session: Session) -> None:
        """The script `callback`: a person whom we call has picked up."""
        name = session.arguments[0] if session.arguments else ""
        one = self.running.get(name)
        if one is None:
            await self._stranger(session, name)
            return
        if one.driver is not None:
            return
        values = (("agent", one.claim.staff_number), ("contact", one.promise.contact))
        first = Reached(LEG, values)
        self.dialler.picked_up(one.attempt.channel_id)
        people = Held(one, self.switchboard)
        one.driver = self._driver(session, one.line, one.attempt, first, people)
        try:
            await self._drive(one.driver)
        finally:
            one.news.put_nowait(events.HungUp())

    async def _stranger(self, session: Session, name: str) -> None:
        """The attempt is of a process that died, and its agent is gone: say sorry."""
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            log.warning("a call out that is none of ours")
            return
        running = await self._clock.in_executor(attempts.running, self._store)
        attempt = next((each for each in running if each.id == name), None)
        if attempt is None:
            return
        hotline = await self._clock.in_executor(self._hotline, attempt)
        line = self._service.hotlines.lines.get(hotline)
        if line is not None:
            first = Reached(0, (("contact", attempt.contact),))
            await self._drive(self._driver(session, line, attempt, first, None))

    def _hotline(self, attempt: Attempt) -> str:
        with self._store.read() as connection:
            query = select(rows.c.hotline).where(rows.c.id == attempt.promise)
            return str(connection.execute(query).scalar_one())

    def _driver(
        self, session: Session, line: Line, attempt: Attempt, first: Reached, people: Held | None
    ) -> driver.Driver:
        service = self._service
        service.write_version(line, self._clock.utc())
        row = store.Call(
            id=attempt.call_id,
            system=service.system,
            uniqueid=attempt.channel_id,
            hotline=line.name,
            number=service.hotlines.callbacks[line.name].shows,
            caller=attempt.contact,
            offered_at=self._clock.utc(),
            version=line.version,
        )
        service.journal.append(row)
        library = service.hotlines.library
        return driver.Driver(service, line, library, session, row, first, people)

    async def _drive(self, call: driver.Driver) -> None:
        name = call.channel.name
        self._service.drivers[name] = call
        try:
            await call.run()
        finally:
            self._service.drivers.pop(name, None)

    async def close(self) -> None:
        """Nobody is called any more: calls that ring are ended, and written down."""
        for one in list(self.running.values()):
            if one.driver is None:
                one.news.put_nowait(AgentGone(one.claim.staff_number))
        if self.tasks:
            await asyncio.wait(self.tasks)


def result_of(record: Any, otherwise: str) -> tuple[str, float]:
    """What a call's record says came of the attempt, and the seconds talked. Who has talked to us
    was reached, whatever they left afterwards and however that ended."""
    said, talked = str(record.get("result", "")), str(record.get("talked", ""))
    result = attempts.CONNECTED if talked else otherwise
    return said if said in attempts.RESULTS else result, float(talked) if talked.isdigit() else 0.0
