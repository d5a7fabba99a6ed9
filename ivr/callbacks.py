"""Keeps promises to call back (回拨): whose turn it is, the agent first, then the person.

Rules this module keeps:

- A promise stands in the waiting line of its department like a caller: in the place that its
  caller left there, else from when it was made. When its turn comes an agent is claimed for it.
- An agent is rung first, hears the note and accepts. Then the attempt is written down as made,
  and only when that is committed is the person rung, by a channel whose id is the attempt's.
- The person hears who calls and says by key that it is the right one before anything else is
  said (`flows/callback.yaml`), and talks to the agent who waits.
- An attempt whose process died counts as made if the person may have been rung. If Asterisk still
  has its channel it is left alone until it is over. Nobody is rung twice for one attempt.
- Calls go out in the line's hours, not while the line is under maintenance, not to one who is
  still on the line with us, and to one person once at a time.
- A promise that is due soon, past its time or given up is said to ops: log, manager event, ticket.

Serves XJCA-6.3b, LAW-1, WRK-3.1, WRK-3.2.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from ivr import actions, driver, events, promises, store
from ivr.agi import Session
from ivr.callback_rules import Rules
from ivr.events import AgentAccepted, AgentAnswered, AgentFailed, AgentGone, Event, Reached, Values
from ivr.floor import DEAD
from ivr.flow import Line
from ivr.house import Post
from ivr.manager import ManagerError
from ivr.outgoing import UNSURE, Dialler
from ivr.promises import Attempt, Promise
from ivr.store import Message, StorageFailed, Store
from ivr.switchboard import Switchboard
from ivr.tables import calls, messages, owners
from ivr.tables import promises as rows
from ivr.turns import Claim

if TYPE_CHECKING:
    from ivr.server import Service

LOOK = 5.0
"""Seconds between two looks at what is promised."""
SOON = timedelta(seconds=20)
"""Until a promise is looked at again whose person is still on the line, or being called."""
LEG = 1
"""The id of the agent's leg in the call that follows."""
BRIEFED = ("kind", "caller", "contact", "item", "staff_number", "recording", "surname")
"""What the agent is told of the message."""

log = structlog.get_logger("callbacks")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has seen: attempts that nobody here makes, promises kept by people, due soon or
    past their time, and whether any promise may be tried now."""

    running: list[Attempt]
    answered: list[str]
    soon: list[Promise]
    broken: list[Promise]
    waiting: bool


@dataclass(eq=False, slots=True)
class Running:
    """One attempt that this process makes. `news` is what happened to it; `driver` is the
    person's call, once they have picked up. `held`: the agent is ours still."""

    claim: Claim
    attempt: Attempt
    promise: Promise
    line: Line
    rules: Rules
    pseudo: store.Call
    held: bool = True
    driver: driver.Driver | None = None
    news: asyncio.Queue[Event | str] = field(default_factory=asyncio.Queue)

    def post(self, event: Event) -> None:
        """Something happened to the agent."""
        if self.driver is not None:
            self.driver.post(event)
        self.news.put_nowait(event)


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
        self.dialler = Dialler(service)
        self.owner = switchboard.agents.owner
        self._running: dict[str, Running] = {}
        self._placed: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        """From now on the switchboard's claims for call-backs come here, and what Asterisk says
        of calls out."""
        service, phones, caller_of = self._service, self._service.on_phones, self._service.caller_of

        def event(headers: Mapping[str, str]) -> None:
            phones(headers)
            self.dialler.event(headers)

        service.on_phones = event
        service.caller_of = lambda uniqueid: self._call_of(caller_of(uniqueid))
        service.other_scripts = {**service.other_scripts, "callback": self.reached}
        self._switchboard.callbacks = self.lines
        self._switchboard.on_callback = self.claimed

    def _call_of(self, claimed: str) -> str:
        """The call for which an agent was claimed: a call-back's goes by another name."""
        for one in self._running.values():
            if one.pseudo.id == claimed:
                return one.attempt.call_id
        return claimed

    @property
    def busy(self) -> int:
        """Attempts that this process makes now."""
        return len(self._running)

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
        """The lines that may call people back at this moment."""
        service, now = self._service, self._clock.utc()
        if service.draining or not service.bells:
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
        for attempt in seen.running:
            await self._recover(attempt)
        for name in seen.answered:
            log.info("people have kept a promise themselves", promise=name)
        for one in seen.soon:
            await self._announce("due_soon", one)
        for one in seen.broken:
            await self._announce("broken", one)
        if seen.waiting:
            self._switchboard.look()

    def _see(self, now: datetime, allowed: tuple[str, ...]) -> Seen:
        rules, database = self._service.hotlines.callbacks, self._store
        return Seen(
            running=[a for a in promises.running(database) if a.id not in self._running],
            answered=promises.answered(database, now),
            soon=promises.due_soon(database, {n: r.due_soon for n, r in rules.items()}, now),
            broken=promises.passed(database, now),
            waiting=self._line_up(allowed),
        )

    def _line_up(self, allowed: tuple[str, ...]) -> bool:
        """Give every promise that may be tried its place in a line; whether there is any."""
        found = False
        if not allowed:
            return False
        for one in promises.callable_now(self._store, self._clock.utc()):
            if one.hotline not in allowed or (one.kind == "query" and self._failing(one.hotline)):
                continue
            found = True
            if one.place not in self._placed:
                line = self._service.hotlines.lines[one.hotline]
                staff = line.staff
                department = (
                    one.owner if one.owner in staff.departments else staff.transfer.department
                )
                self._switchboard.agents.keep_place(
                    one.place, one.hotline, department, "", one.made_at
                )
                self._placed.add(one.place)
        return found

    async def _announce(self, what: str, one: Promise) -> None:
        told = promises.told(one)
        log.warning(SAYS[what], **told)
        bell = self._service.bell
        if bell is None or not bell.connected:
            return
        headers = {name.title(): value for name, value in told.items() if value}
        try:
            event = {"UserEvent": "SanshengPromise", "What": what, **headers}
            await bell.action("UserEvent", event)
        except ManagerError as error:
            log.warning("no event of a promise", promise=one.id, why=str(error))

    # -- after a crash

    async def _recover(self, attempt: Attempt) -> None:
        """An attempt of a process that has died, or one that was left alone."""
        if attempt.owner != self.owner:
            if not await self._clock.in_executor(self._take_over, attempt):
                return
            log.warning("an attempt of a process that died", attempt=attempt.id)
        if attempt.dialled_at is not None:
            up = await self.dialler.exists(attempt.channel_id)
            if up is None or up:
                return  # nobody can say yet, or it is up still
        result, talked = await self._clock.in_executor(self._journalled, attempt)
        await self._end(attempt, result, talked)

    def _take_over(self, attempt: Attempt) -> bool:
        with self._store.read() as connection:
            query = select(owners.c.seen_at).where(owners.c.name == attempt.owner)
            seen = connection.execute(query).scalar()
        if seen is not None and seen > self._clock.utc() - DEAD:
            return False
        return promises.adopt(self._store, attempt, self.owner)

    def _journalled(self, attempt: Attempt) -> tuple[str, float]:
        """What the record of the person's call says came of it, if there was one."""
        with self._store.read() as connection:
            query = select(calls.c.record).where(calls.c.id == attempt.call_id)
            record = connection.execute(query).scalar() or {}
        return _result(record, promises.UNKNOWN)

    async def _end(self, attempt: Attempt, result: str, talked: float) -> None:
        now = self._clock.utc()
        one = await self._clock.in_executor(self._ended, attempt, result, now, talked)
        if one is None:
            return
        log.info("a call-back", promise=one.id, result=result, state=one.state, tries=one.tries)
        if one.state == promises.GIVEN_UP:
            await self._announce("given_up", one)

    def _ended(self, attempt: Attempt, result: str, now: datetime, talked: float) -> Promise | None:
        """The attempt's end, and what becomes of the promise's place in the line."""
        with self._store.read() as connection:
            query = select(rows.c.hotline).where(rows.c.id == attempt.promise)
            hotline = connection.execute(query).scalar_one()
        rules = self._service.hotlines.callbacks.get(hotline, Rules())
        one = promises.end(self._store, attempt.id, result, now, rules, talked)
        if one is not None:
            self._place_after(one)
        return one

    def _place_after(self, one: Promise) -> None:
        agents = self._switchboard.agents
        if one.state in (promises.OPEN, promises.BROKEN):
            agents.postpone(one.place, one.next_at)
        else:
            self._placed.discard(one.place)
            agents.drop_place(one.place)

    # -- an agent is claimed

    def claimed(self, claim: Claim) -> None:
        """An agent is claimed for a call-back whose turn has come."""
        task = asyncio.create_task(self._guarded(self._make(claim)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StorageFailed as error:
            log.error("a call-back is left as it is: the database fails", why=str(error))
        except Exception:
            log.exception("a call-back went wrong, by an error of ours")

    async def _make(self, claim: Claim) -> None:
        """One attempt, from the claim to its end."""
        with self._clock.busy("a call-back begins"):
            running = await self._begin(claim)
        if running is None:
            return
        try:
            try:
                result, talked = await self._reach(running)
            finally:
                if running.held:
                    self._switchboard.cancel(running.pseudo, actions.CancelRing(LEG))
                    self._release(running, "free")
                self._switchboard.over(running.pseudo)
            if result:
                with self._clock.busy("a call-back ends"):
                    await self._end(running.attempt, result, talked)
        finally:
            del self._running[running.attempt.id]  # what is not ended now is looked at again

    async def _begin(self, claim: Claim) -> Running | None:
        line = self._service.hotlines.lines.get(claim.hotline)
        rules = self._service.hotlines.callbacks.get(claim.hotline)
        begun = None
        try:
            if line is not None and rules is not None:
                begun = await self._clock.in_executor(self._begun, claim, rules)
        finally:
            if begun is None:
                pseudo = self._pseudo(claim, "", "")
                wish = actions.Release(claim.staff_number, "free")
                if line is not None:
                    self._switchboard.release(pseudo, line, wish)
        if begun is None or line is None or rules is None:
            return None
        attempt, promise = begun
        pseudo = self._pseudo(claim, attempt.channel_id, promise.contact)
        # the agent's leg is a call of this line, perhaps the first since we run
        self._service.write_version(line, self._clock.utc())
        running = Running(claim, attempt, promise, line, rules, pseudo)
        self._running[attempt.id] = running
        return running

    def _pseudo(self, claim: Claim, channel_id: str, contact: str) -> store.Call:
        """The call for whose sake the agent is rung: there is none yet, the claim is its name."""
        system = self._service.system
        now = self._clock.utc()
        return store.Call(claim.call_id, system, channel_id, claim.hotline, "", contact, now)

    def _begun(self, claim: Claim, rules: Rules) -> tuple[Attempt, Promise] | None:
        """Begin an attempt for a place; None if its promise is not to be tried now."""
        now, agents = self._clock.utc(), self._switchboard.agents
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
        system, most = self._service.system, rules.attempts
        attempt = promises.begin(self._store, promise.id, self.owner, system, now, most)
        if attempt is None:
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
        self._switchboard.ring(one.pseudo, one.line, wish, one.post)
        while isinstance(said := await one.news.get(), AgentAnswered):
            pass
        if not isinstance(said, AgentAccepted):
            reason = said.reason if isinstance(said, AgentFailed) else "dropped"
            self._release(one, reason)
            return promises.NO_AGENT, 0.0
        with self._clock.busy("a call-back is written down"):
            agent, now = one.claim.staff_number, self._clock.utc()
            if not one.news.empty():
                return promises.NO_AGENT, 0.0
            if not await self._clock.in_executor(
                promises.dialling, self._store, one.attempt.id, agent, now
            ):
                return "", 0.0
        if not one.news.empty():
            return promises.NO_AGENT, 0.0
        return await self._dial(one)

    async def _dial(self, one: Running) -> tuple[str, float]:
        attempt, rules, sounds = one.attempt, one.rules, self._service.sounds
        variables = {"SANSHENG_ATTEMPT": attempt.id}
        sorry = self._service.hotlines.library.parts(one.line.name, "callback.sorry", {})
        if sorry:
            variables["SANSHENG_SORRY"] = str(sounds / sorry[0].path)
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
                    self._release(one, "dropped")
                    return promises.NO_AGENT, 0.0
                case events.HungUp():
                    assert one.driver is not None
                    return _result(one.driver.row.record, "failed")
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

    def _release(self, one: Running, outcome: str) -> None:
        if one.held:
            one.held = False
            wish = actions.Release(one.claim.staff_number, outcome)
            self._switchboard.release(one.pseudo, one.line, wish)

    # -- the person has picked up

    async def reached(self, session: Session) -> None:
        """The script `callback`: a person whom we call has picked up."""
        name = session.arguments[0] if session.arguments else ""
        one = self._running.get(name)
        if one is None:
            await self._stranger(session, name)
            return
        if one.driver is not None:
            return
        values = (("agent", one.claim.staff_number), ("contact", one.promise.contact))
        first = Reached(LEG, values)
        self.dialler.picked_up(one.attempt.channel_id)
        one.driver = self._driver(session, one.line, one.attempt, first, Held(one, self))
        try:
            await self._drive(one.driver)
        finally:
            one.news.put_nowait(events.HungUp())

    async def _stranger(self, session: Session, name: str) -> None:
        """The attempt is of a process that died, and its agent is gone: say sorry."""
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            log.warning("a call out that is none of ours")
            return
        running = await self._clock.in_executor(promises.running, self._store)
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
        for one in list(self._running.values()):
            if one.driver is None:
                one.news.put_nowait(AgentGone(one.claim.staff_number))
        if self._tasks:
            await asyncio.wait(self._tasks)


SAYS = {
    "due_soon": "a promise is due soon",
    "broken": "a promise is broken: its time has passed",
    "given_up": "a promise is given up: people must see to it",
}


@dataclass(frozen=True, slots=True)
class Held:
    """The people of a call-back's call: its agent was claimed and rung before it began."""

    one: Running
    of: Callbacks

    @property
    def _people(self) -> Switchboard:
        return self.of._switchboard

    async def survey(self, call: store.Call, line: Line, wish: actions.Survey) -> events.Surveyed:
        return await self._people.survey(call, line, wish)

    def join(self, call: store.Call, line: Line, wish: actions.JoinLine, post: Post) -> None:
        self._people.join(call, line, wish, post)

    def leave(self, call: store.Call, line: Line, wish: actions.LeaveLine) -> None:
        self._people.leave(call, line, wish)

    def ring(self, call: store.Call, line: Line, wish: actions.RingAgent, post: Post) -> None:
        self._people.ring(call, line, wish, post)

    def cancel(self, call: store.Call, wish: actions.CancelRing) -> None:
        self._people.cancel(self.one.pseudo, wish)

    def release(self, call: store.Call, line: Line, wish: actions.Release) -> None:
        self.of._release(self.one, wish.outcome)

    def channel_of(self, call: store.Call, leg: int) -> str:
        return self._people.channel_of(self.one.pseudo, leg)

    def waits_for(self, call: store.Call) -> str:
        return self._people.waits_for(self.one.pseudo)

    def over(self, call: store.Call) -> None:
        self._people.over(call)


def _result(record: Any, otherwise: str) -> tuple[str, float]:
    """What a call's record says came of the attempt, and the seconds talked."""
    said = str(record.get("result", ""))
    talked = str(record.get("talked", "0"))
    result = said if said in promises.RESULTS else otherwise
    return result, float(talked) if talked.isdigit() else 0.0
