"""One call: events into the pure machine, its actions out into the world, all of it journalled.

Rules this module keeps:

- Everything that happens is an event in one inbox; events due at the same instant are taken in
  the order of `ivr.events.precedence`. Each is journalled, then its actions are journalled, then
  they are carried out.
- A feature code pressed in a conversation opens a second session on the caller's channel. The
  newest has the caller's ear; the one below waits in its conversation until the newest resumes.
- Timers run beside the caller's channel and answer with events, as do errands (`ivr.errands`).
- An error of ours never leaves a caller in silence: the session is closed without the mark that
  says the call was finished, and the dialplan takes over with its apology. The call's record says
  what went wrong.
- A call keeps what it began with: its line, and what that line says.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from ivr import actions, dialplan, store
from ivr.agi import Session
from ivr.call import Call, step
from ivr.channel import Channel, Part, Taken
from ivr.clock import Timer
from ivr.errands import Errands
from ivr.events import (
    EndAsked,
    Event,
    FeatureAsked,
    HungUp,
    Offered,
    Reached,
    Summoned,
    TimerFired,
    Voice,
    precedence,
)
from ivr.flow import Line
from ivr.house import House, Library, People
from ivr.journal import Entry
from ivr.replay import Fold
from ivr.store import StorageFailed

log = structlog.get_logger("call")


class Driver:
    """Drives one call on one AGI session: a caller's, begun by `Offered`, or that of one of our
    own people, begun by `Summoned`, or of one whom we call back, begun by `Reached`: then `people`
    holds the agent who was rung before."""

    def __init__(
        self,
        house: House,
        line: Line,
        library: Library,
        session: Session,
        row: store.Call,
        first: Offered | Summoned | Reached,
        people: People | None = None,
    ) -> None:
        self._house = house
        self._people = people or house.people
        self.line = line
        self.library = library
        self._session = session
        self._first = first
        self._call = Call()
        self._fold = Fold(row)
        self._began = house.clock.now()
        self._base = first.rung if isinstance(first, Offered) else 0.0
        self._seq = 0
        self._inbox: list[tuple[int, int, Event]] = []
        self._arrivals = 0
        self._draining = False
        self._timers: dict[int, Timer] = {}
        self._errands = Errands(house, self._people, line, lambda: self._fold.call, self.post)
        self._due: dict[int, float] = {}
        self._over = asyncio.Event()
        self._gone = False
        self._ended = False
        self._failed: Exception | None = None
        self.last_sign = house.clock.now()
        self.clock, self.sounds, self.spool = house.clock, house.sounds, house.spool
        self.threshold = house.threshold
        self.channel = Channel(session, self, self.post)
        self.channel.on_voice = self._voice
        self.on_note: Callable[[str, str], None] = lambda key, value: None
        self._visits: list[Channel] = []

    # -- what others may know and ask

    @property
    def row(self) -> store.Call:
        """The call's record so far."""
        return self._fold.call

    @property
    def ear(self) -> Channel:
        """The session that has the caller's ear now."""
        return self._visits[-1] if self._visits else self.channel

    @property
    def elapsed(self) -> float:
        """Seconds since the call began to ring."""
        return self._base + self.clock.now() - self._began

    @property
    def state(self) -> Call:
        """Where the machine is."""
        return self._call

    def end(self) -> None:
        """Ops ask for this call to be ended; the caller hears goodbye first."""
        self.post(EndAsked())

    async def run(self) -> None:
        """Carry the call to its end."""
        self.post(self._first)
        self._drain()
        speaking = asyncio.create_task(self.channel.run())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({speaking, over}, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done() and self._failed is None:  # what failed first is what is told
                speaking.result()
                self._drain()
            await self._finish(speaking)
        except asyncio.CancelledError:
            self._cut_short("the service was stopped")
            raise
        except Exception as error:
            self._cut_short(f"an error of ours: {type(error).__name__}")
            raise
        finally:
            self._ended = True
            for visit in self._visits:
                visit.stop()
            self._session.close()
            self._people.over(self._fold.call)
            speaking.cancel()
            over.cancel()
            self._errands.stop()
            await asyncio.gather(speaking, over, *self._errands.tasks, return_exceptions=True)
            for timer in self._timers.values():
                timer.cancel()

    async def interrupt(self, session: Session, feature: str) -> None:
        """The agent has pressed a feature code: be the caller's ear until the machine resumes
        the conversation."""
        visit = Channel(session, self, self.post)
        visit.on_voice = self._voice
        self._visits.append(visit)
        try:
            await visit.visit(FeatureAsked(feature))
        finally:
            self._visits.remove(visit)

    async def _finish(self, speaking: asyncio.Task[None]) -> None:
        """What is still under way when nobody listens any more: a hang-up of ours, a message."""
        while not self._call.over and (left := [t for t in self._errands.tasks if not t.done()]):
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            self._drain()
        if self._failed is not None:
            raise self._failed
        if not speaking.done() and not self._session.hung_up:
            await speaking
        if self.channel.overdue:
            self._cut_short("we were too late, and the dialplan took the call back")
        else:
            self._house.journal.append(self._fold.call)

    def _cut_short(self, why: str) -> None:
        """The call has not gone as it should have, by our fault; its record says so."""
        call = self._fold.call
        if call.ended_at is not None and not self.channel.overdue:
            return
        try:
            self._house.journal.append(
                replace(
                    call,
                    ended_at=call.ended_at or self.clock.utc(),
                    ended_by="us",
                    record={**call.record, "ended_by": "us"},
                    problem=why,
                )
            )
        except StorageFailed as error:
            log.error("the end of a call could not be written", call=call.id, why=str(error))

    # -- events in

    def post(self, event: Event) -> None:
        """Something happened. A call that has ended hears nothing more, and a caller who has
        left leaves once, whichever session says so first."""
        if self._ended or (isinstance(event, HungUp) and self._gone):
            return
        if isinstance(event, HungUp):
            self._gone = True
            if any(visit.late for visit in self._visits):  # whichever of the two says so first
                self.channel.overdue = True
        self._arrivals += 1
        heapq.heappush(self._inbox, (precedence(event), self._arrivals, event))
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._draining = False
        try:
            while self._inbox and self._failed is None:
                self._take(heapq.heappop(self._inbox)[2])
        except Exception as error:
            self._failed = error
            self._session.close()
            self.channel.stop()
            self._over.set()

    def _take(self, event: Event) -> None:
        self._write(event)
        before = self._fold.call
        self._call, wishes = step(self.line, self._call, event)
        for wish in wishes:
            self._write(wish)
        if self._fold.call != before:
            self._write(self._fold.call)
        for wish in wishes:
            self._carry_out(wish)
        if self._call.over:
            self._over.set()

    def _write(self, what: Event | actions.Action | store.Call) -> None:
        if isinstance(what, store.Call):
            self._house.journal.append(what)
            return
        self._seq += 1
        at = round(self.elapsed * 1000)
        entry = Entry(self._fold.call.id, self._seq, at, what)
        self._fold.take(entry)
        self._house.journal.append(entry)
        if self._house.on_entry is not None:
            try:
                self._house.on_entry(self, what)
            except Exception:
                log.exception("nobody can be shown what happens")

    # -- actions out

    def _carry_out(self, wish: actions.Action) -> None:
        people = self._people
        match wish:
            case actions.Foreground():
                if isinstance(wish, actions.Say):
                    self.last_sign = self.clock.now()
                self.ear.want(wish)
            case actions.SetTimer(id=number, seconds=seconds):
                self._due[number] = self.clock.now() + seconds
                self._timers[number] = self.clock.call_later(
                    seconds, lambda: self._timer_fired(number)
                )
            case actions.CancelTimer(id=number):
                self._due.pop(number, None)
                # it may have fired this very instant, and wait in the inbox
                if (timer := self._timers.pop(number, None)) is not None:
                    timer.cancel()
            case actions.LookUp() | actions.Keep() | actions.Survey() | actions.RingAgent():
                self._errands.begin(wish)
            case actions.CancelLookUp(id=number):
                self._errands.cancel(number)
            case actions.JoinLine():
                people.join(self._fold.call, self.line, wish, self.post)
            case actions.LeaveLine():
                people.leave(self._fold.call, self.line, wish)
            case actions.CancelRing(id=number):
                if number in self._errands:  # a call-back's agent was rung before its call began
                    self._errands.cancel(number)  # if it waits for the journal still
                people.cancel(self._fold.call, wish)
            case actions.Release():
                people.release(self._fold.call, self.line, wish)
            case actions.Note(key=key, value=value):
                self.on_note(key, value)
            case actions.Ignored():
                pass

    def _timer_fired(self, number: int) -> None:
        self._timers.pop(number, None)
        self._due.pop(number, None)
        self.post(TimerFired(number))

    def _voice(self) -> None:
        self.post(Voice())

    # -- what the channel needs

    def parts(self, prompt: str, slots: dict[str, str]) -> Sequence[Part]:
        return self.library.parts(self.line.name, prompt, slots)

    @property
    def bells(self) -> int:
        """Which connection to the manager carries the doorbell; 0: there is none now."""
        return self._house.bells

    @property
    def features(self) -> str:
        """What an agent may press in a conversation of this line, as Asterisk is told it."""
        return dialplan.allowed(self.line.name, self.line.staff.features)

    @property
    def own(self) -> str:
        """Where later sessions of this call come to us."""
        return self._house.own

    def rung(self) -> float:
        """How long the caller has heard it ringing, in seconds."""
        return self.elapsed

    def next_timer(self) -> float:
        """Seconds until the machine's next timer."""
        return max(0.0, min(self._due.values(), default=float("inf")) - self.clock.now())

    def recording_begins(self, name: str, what: str) -> None:
        """Written down first, so that a recording left by a crash still knows its call."""
        row = store.Recording(name, what, self.clock.utc(), self._fold.call.id)
        self._house.journal.append(row)

    async def take(self, what: str, slices: Sequence[str]) -> Taken:
        with self.clock.busy("a recording"):
            return await self._house.desk.take(self._fold.call, what, slices)

    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None:
        with self.clock.busy("a recording to be played"):
            return await self._house.lender.lend(recording, seconds)

    async def give_back(self, path: str) -> None:
        with self.clock.busy("a recording that was played"):
            await self._house.lender.give_back(path)

    def agent(self, leg: int) -> str:
        """What Asterisk calls the phone of the agent who was rung with this id."""
        return self._people.channel_of(self._fold.call, leg)

    def ring_doorbell(self, channel: str) -> None:
        self._house.ring_doorbell(channel)

    # -- what Asterisk's manager says of this channel

    def talking(self, started: bool, seconds: float = 0.0) -> None:
        """Talk detection on this channel."""
        if started:
            self.ear.hearing.started()
        else:
            self.ear.hearing.stopped(seconds)


def row(
    call_id: str,
    system: str,
    uniqueid: str,
    line: Line,
    offered: Offered,
    offered_at: datetime,
) -> store.Call:
    """The record of a call that has just begun."""
    return store.Call(
        id=call_id,
        system=system,
        uniqueid=uniqueid,
        hotline=line.name,
        number=offered.number,
        caller=offered.caller,
        offered_at=offered_at,
        version=line.version,
        rung_ms=round(offered.rung * 1000),
    )
