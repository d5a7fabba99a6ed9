"""The switchboard: our own people as calls ask for them (`ivr.house.People`).

Rules this module keeps:

- Who waits, who is claimed and who is next stands in the database (`ivr.agents`); phones are rung
  by `ivr.legs`. Here the two are brought together, for the calls of this process.
- All changes go through one queue, in the order in which calls asked for them. Whatever changed,
  it is looked at once more whose turn it is; else once a second as long as anybody waits or talks,
  and never when nobody does.
- What a call gives back is given back, however long the database fails.
- A claim that the call never heard of, because it left that very moment, is given back here. What
  a call still holds when it is over is given back, too, and logged: it is an error of ours, but
  for a call that was ended because the service ends.
- Where phones cannot be rung (no manager), nobody is staffed, and callers are told so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from ivr import store
from ivr.actions import CancelRing, JoinLine, LeaveLine, Release, RingAgent, Survey
from ivr.agents import Agents, NotClaimed
from ivr.agi import Session
from ivr.clock import Timer
from ivr.events import AgentFailed, Claimed, Placed, Surveyed, Unstaffed
from ivr.flow import Line
from ivr.house import Post
from ivr.legs import Leg, Legs, own_phone
from ivr.notes import Notes
from ivr.presence import Presence
from ivr.queueing import Claim, Matched, place_id
from ivr.staff import Transfer
from ivr.store import StorageFailed

if TYPE_CHECKING:
    from ivr.server import Service

LOOK = 1.0
"""Seconds between two looks at whose turn it is."""

log = structlog.get_logger("people")


@dataclass(eq=False, slots=True)
class Joined:
    """One caller's place in a line. `claim` is an agent of whom the call has been told, and who
    it has not taken up yet."""

    call: store.Call
    line: Line
    wish: JoinLine
    post: Post
    claim: Claim | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A change in the database, and what follows from it."""

    work: Callable[[], Any]
    then: Callable[[Any], None]
    failed: Callable[[], None] | None
    """What to do if the database fails; None: try again until it does not."""


class Switchboard:
    """The people of one service. `on_callback` is told of claims for call-backs, whose lines are
    `callbacks()`."""

    def __init__(self, service: Service, agents: Agents, *, look: float = LOOK) -> None:
        self.agents = agents
        self._every = look
        self.legs = Legs(service, self._accepted)
        self.presence = Presence(service, agents, self._do, self.look)
        self._notes = Notes(service)
        self.callbacks: Callable[[], Collection[str]] = tuple
        self.on_callback: Callable[[Claim], None] | None = None
        self._service = service
        self._clock = service.clock
        self._places: dict[str, Joined] = {}
        self._claims: dict[str, Claim] = {}
        self._rung: dict[tuple[str, int], Leg] = {}
        self._left: set[tuple[str, str]] = set()  # given back here; the call may hear of it yet
        self._jobs: deque[Job] = deque()
        self._working: asyncio.Task[None] | None = None
        self._looking = False
        self._next: Timer | None = None
        self._closed = False

    def connect(self) -> None:
        """From now on the service's calls reach people, and the scripts of people are known."""
        service = self._service
        service.people = self
        service.on_phones = self._phone_event
        service.caller_of = self._caller_of
        service.other_scripts = {
            **service.other_scripts,
            "leg": self.legs.briefed,
            "feature": service.feature,
            "agent": self.own_phone,
        }

    def _phone_event(self, event: Mapping[str, str]) -> None:
        self.legs.event(event)
        self.presence.event(event)

    def _caller_of(self, uniqueid: str) -> str:
        leg = self.legs.of(uniqueid)
        return leg.call.id if leg is not None else ""

    # -- what calls ask for

    async def survey(self, call: store.Call, line: Line, wish: Survey) -> Surveyed:
        """How it looks at a department. Raises StorageFailed."""
        if not self._service.bells:
            log.warning("nobody can be rung without the manager", call=call.id)
            return Surveyed(wish.id, staffed=False)
        asked = (line.name, wish.department, wish.staff_number, self._clock.utc(), self.callbacks())
        found = await self._clock.in_executor(self.agents.survey, *asked)
        return Surveyed(wish.id, found.staffed, found.ahead, found.minutes)

    def join(self, call: store.Call, line: Line, wish: JoinLine, post: Post) -> None:
        if not self._service.bells:
            post(Unstaffed(wish.id))
            return
        name = place_id(call.id, wish.id)
        self._places[name] = Joined(call, line, wish, post)
        now = self._clock.utc()

        def work() -> None:
            department, one = wish.department, wish.staff_number
            self.agents.join(call.id, wish.id, line.name, department, one, now)

        def failed() -> None:
            if self._places.pop(name, None) is not None:
                post(Unstaffed(wish.id))

        self._do(work, lambda _: self.look(), failed)

    def leave(self, call: store.Call, line: Line, wish: LeaveLine) -> None:
        name = place_id(call.id, wish.id)
        joined = self._places.pop(name, None)
        if joined is not None and joined.claim is not None:
            self._left.add((call.id, joined.claim.staff_number))
            self._give_back(joined.claim, line, "free")
        self._do(lambda: self.agents.leave(name, wish.ticket), lambda _: self.look())

    def ring(self, call: store.Call, line: Line, wish: RingAgent, post: Post) -> None:
        claim = self._take_up(call, wish.agent) or self._claims.get(call.id)
        if claim is None or claim.staff_number != wish.agent:
            log.error("an agent is to be rung who is not claimed", call=call.id, agent=wish.agent)
            post(AgentFailed(wish.id, "failed"))
            return
        self._claims[call.id] = claim
        display = self._notes.display(line, wish.note)
        leg = self.legs.ring(call, line, claim.phone, wish, display, post)
        self._rung[call.id, wish.id] = leg

    def cancel(self, call: store.Call, wish: CancelRing) -> None:
        leg = self._rung.pop((call.id, wish.id), None)
        if leg is not None:
            self.legs.cancel(leg)

    def release(self, call: store.Call, line: Line, wish: Release) -> None:
        claim = self._take_up(call, wish.agent) or self._claims.get(call.id)
        if claim is None or claim.staff_number != wish.agent:
            if (call.id, wish.agent) in self._left:
                return
            log.error("an agent is released who is not claimed", call=call.id, agent=wish.agent)
            return
        self._claims.pop(call.id, None)
        self.legs.done(call, wish.agent, partial(self._give_back, claim, line, wish.outcome))

    def channel_of(self, call: store.Call, leg: int) -> str:
        found = self._rung.get((call.id, leg))
        return found.uniqueid if found is not None else ""

    def waits_for(self, call: store.Call) -> str:
        for (call_id, _), leg in self._rung.items():
            if call_id == call.id and not leg.over:
                agent = leg.wish.agent
                if leg.accepted:
                    return f"the end of the talk with {agent}"
                return f"{agent}, who hears the note" if leg.session else f"the phone of {agent}"
        for joined in self._places.values():
            if joined.call.id == call.id:
                return f"a person, {joined.ahead} ahead"
        return ""

    def over(self, call: store.Call) -> None:
        """The call is over; what it has not given back is given back now."""
        self._left = {one for one in self._left if one[0] != call.id}
        forgotten: list[str] = []
        for key in [key for key in self._rung if key[0] == call.id]:
            leg = self._rung.pop(key)
            if not (leg.over or leg.done) and (leg.accepted or not leg.told):
                forgotten.append(f"the phone {leg.phone}")
                self.legs.cancel(leg)
        for name in [n for n, joined in self._places.items() if joined.call.id == call.id]:
            forgotten.append(f"the place {name}")
            joined = self._places[name]
            self.leave(call, joined.line, LeaveLine(joined.wish.id))
        claim = self._claims.pop(call.id, None)
        if claim is not None:
            forgotten.append(f"the agent {claim.staff_number}")
            now = self._clock.utc()
            self._do(lambda: self.agents.over(call.id, now), lambda _: self.look())
        if forgotten and self._service.ending:
            log.info("a call was ended and gives back", call=call.id, what=forgotten)
        elif forgotten:
            log.error("a call has ended and still held", call=call.id, what=forgotten)

    def _take_up(self, call: store.Call, agent: str) -> Claim | None:
        """The claim that this call was told of; from now on the call knows of it."""
        for joined in self._places.values():
            claim = joined.claim
            if joined.call.id == call.id and claim is not None and claim.staff_number == agent:
                joined.claim = None
                return claim
        return None

    def _give_back(self, claim: Claim, line: Line | None, outcome: str) -> None:
        now = self._clock.utc()

        def work() -> str:
            number = claim.staff_number
            transfer = line.staff.transfer if line is not None else Transfer()
            try:
                return self.agents.release(claim.call_id, number, outcome, transfer, now)
            except NotClaimed as why:
                log.warning("a claim was gone before it was given back", why=str(why))
                return ""

        self._do(work, lambda _: self.look())

    def decline(self, claim: Claim) -> None:
        """Give back an agent for whom nothing follows after all; the line may be gone."""
        self._claims.pop(claim.call_id, None)
        self._give_back(claim, self._service.hotlines.lines.get(claim.hotline), "free")

    # -- whose turn it is

    def look(self) -> None:
        """Something has changed: see whose turn it is."""
        if self._looking or self._closed:
            return
        self._looking = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

        def work() -> Matched:
            self._looking = False
            return self.agents.match(self._clock.utc(), self.callbacks())

        self._do(work, self._matched, self._later)

    def _matched(self, found: Matched) -> None:
        for claim in found.claims:
            joined = self._places.get(claim.place)
            if joined is not None:
                joined.claim = claim
                joined.post(Claimed(joined.wish.id, claim.staff_number))
            elif claim.ticket is not None and self.on_callback is not None:
                self._claims[claim.call_id] = claim
                self.on_callback(claim)
            else:  # the caller has left meanwhile, and perhaps the line has gone with a reload
                self.decline(claim)
        for name, standing in found.moved:
            if (joined := self._places.get(name)) is not None:
                joined.ahead = standing.ahead
                joined.post(Placed(joined.wish.id, standing.ahead, standing.minutes))
        for name in found.unstaffed:
            if (joined := self._places.pop(name, None)) is not None:
                joined.post(Unstaffed(joined.wish.id))
        self._later()

    def _later(self) -> None:
        """Look again in a while, as long as this process holds anything."""
        if self._next is None and not self._closed and (self._places or self._claims):
            self._next = self._clock.call_later(self._every, self._again)

    def _again(self) -> None:
        self._next = None
        self.look()

    # -- one change after another

    def _do(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        failed: Callable[[], None] | None = None,
    ) -> None:
        self._jobs.append(Job(work, then, failed))
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def _work(self) -> None:
        with self._clock.busy("people"):
            while self._jobs:
                job = self._jobs.popleft()
                try:
                    job.then(await self._clock.in_executor(job.work))
                except StorageFailed as error:
                    log.error("the database of our people fails", why=str(error))
                    if job.failed is not None:
                        job.failed()
                    elif not self._closed:
                        self._clock.call_later(LOOK, partial(self._do, job.work, job.then))
                except Exception:
                    log.exception("a change among our people went wrong, by an error of ours")
                    if job.failed is not None:
                        job.failed()
            self._working = None

    async def settled(self) -> None:
        """Wait until all that was asked for so far has been done."""
        while self._working is not None:
            await asyncio.wait([self._working])

    async def close(self) -> None:
        """Do what is left and stop."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
        self.legs.close()
        await self.settled()
        await self._notes.close()

    # -- who works here

    def sync(self, lines: Mapping[str, Line]) -> None:
        """The lines have been read, at the start or again: who works for them now."""
        people = {name: line.staff for name, line in lines.items()}
        now = self._clock.utc()
        self._do(lambda: self.agents.sync(people, now), lambda _: self.look())

    async def own_phone(self, session: Session) -> None:
        """The script `agent`: one of our own people dials to be rung (示闲), or not (示忙)."""
        wish = session.arguments[0] if session.arguments else ""
        phone = own_phone(session.environment.get("channel", ""))
        line = self._line_of(phone)
        if line is None or wish not in ("ready", "busy"):
            log.warning("a phone that is nobody's would take calls", phone=phone[:40])
            return
        change = self.agents.set_ready if wish == "ready" else self.agents.set_busy
        now = self._clock.utc()
        try:
            state = await self._clock.in_executor(change, phone, "asked for on the phone", now)
        except KeyError:  # the files were read this moment, and are not in the database yet
            await self.settled()
            state = await self._clock.in_executor(change, phone, "asked for on the phone", now)
        log.info("an agent's own phone was heard", phone=phone, wish=wish, state=state)
        self.look()
        await session.command("ANSWER")
        # in a call it holds only after it: that it was heard is all that is said
        said = f"agent.{wish}" if state == wish else "beep"
        for part in self._service.hotlines.library.parts(line.name, said):
            await session.command("STREAM FILE", str(self._service.sounds / part.path), "", 0)
        await session.command("HANGUP")

    def _line_of(self, phone: str) -> Line | None:
        for line in self._service.hotlines.lines.values():
            if any(agent.phone == phone for agent in line.staff.agents.values()):
                return line
        return None

    # -- an agent has accepted

    def _accepted(self, leg: Leg) -> None:
        now = self._clock.utc()

        def work() -> None:
            try:
                self.agents.talking(leg.call.id, now)
            except NotClaimed as why:
                log.warning("an agent talks who is not claimed any more", why=str(why))

        self._do(work, lambda _: None)
        self._notes.tell(leg)
