"""A call without Asterisk: a scenario run through the pure machine, in no time at all.

Rules this module keeps:

- Time is a number that jumps to the next thing that happens; nothing waits. The caller is the
  same `ScriptedCaller` that the wire and the live runs use.
- Events due at the same instant are taken in the order of `ivr.events.precedence`.
- People are `ivr.standins`; an agent's leg is a call of its own in the same time.
- What comes out is what a journal would hold, so that the same monitors and the same
  comparisons serve all levels.
- Lengths and times are in seconds from the moment the call reached us.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ivr import actions, events
from ivr.call import Call, step
from ivr.events import Event, precedence
from ivr.flow import Line
from ivr.lengths import BEEP, DEBOUNCE, SHORTEST
from ivr.record import noted
from ivr.scenario import Act, HangUpAct, Hum, OpsHangUp, Press, Scenario, Speak
from ivr.scripted_caller import ScriptedCaller
from ivr.standins import Leg, StandIns

Seconds = Callable[[str, Mapping[str, str]], float]
"""How long a prompt with these slots takes, in seconds."""

UNKNOWN_RECORDING = 3.0
"""How long somebody else's recording is."""
LONGEST = 7200.0
"""A call longer than this goes round in a circle."""


class Endless(Exception):
    """The simulated call does not end."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event or action, and when."""

    at: float
    what: Event | actions.Action


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went: the prompts in the order they began, what was noted, who ended it, and what
    happened on the legs of the agents who picked up."""

    hears: tuple[str, ...]
    record: Mapping[str, str]
    ends: str
    moments: tuple[Moment, ...]
    seconds: float
    legs: tuple[tuple[Moment, ...], ...] = ()


def outcome(moments: tuple[Moment, ...], legs: tuple[tuple[Moment, ...], ...] = ()) -> Outcome:
    """What a call came to, from its events and actions."""
    hears = tuple(m.what.prompt for m in moments if isinstance(m.what, actions.Say))
    record: dict[str, str] = {}
    ends = ""
    for moment in moments:
        match moment.what:
            case actions.Note(key=key, value=value):
                record = noted(record, key, value)
            case events.HungUp():
                ends = ends or "caller"
            case actions.HangUp():
                ends = ends or "us"
    last = moments[-1].at if moments else 0.0
    return Outcome(hears, record, ends, moments, last, legs)


def run(scenario: Scenario, line: Line, seconds: Seconds, offered: events.Offered) -> Outcome:
    """Run one scenario through the machine. Raises Endless."""
    return _World(scenario, line, seconds, offered).run()


@dataclass(slots=True)
class _Time:
    """What is due, and now; one for a call and all its legs."""

    now: float = 0.0
    due: list[tuple[float, int, int, Callable[[], None]]] = field(default_factory=list)
    order: int = 0

    def later(self, wait: float, do: Callable[[], None], rank: int = 99) -> None:
        self.order += 1
        heapq.heappush(self.due, (round(self.now + wait, 6), rank, self.order, do))

    def go_on(self) -> None:
        """On to the next thing that is due, which is done."""
        self.now, _, _, do = heapq.heappop(self.due)
        do()


@dataclass(slots=True)
class _Sounding:
    """What has the caller's ear now, and since when."""

    action: actions.Foreground
    since: float


@dataclass(slots=True)
class _World:
    scenario: Scenario
    line: Line
    seconds: Seconds
    first: events.Offered | events.Summoned
    time: _Time = field(default_factory=_Time)
    recordings: dict[str, float] = field(default_factory=dict)
    over: Callable[[str], None] | None = None
    call: Call = field(default_factory=Call)
    moments: list[Moment] = field(default_factory=list)
    legs: list[list[Moment]] = field(default_factory=list)
    sounding: _Sounding | None = None
    voice_until: float = -1.0
    voiced: float = 0.0
    quality: str = "fine"
    script: ScriptedCaller = field(init=False)
    people: StandIns = field(init=False)

    def __post_init__(self) -> None:
        world = self.scenario.world
        self.script = ScriptedCaller(self.scenario.caller)
        self.people = StandIns(self.line, world.agents, world.ahead, self)

    def run(self) -> Outcome:
        self.happen(self.first)
        while not self.call.over:
            if not self.time.due or self.now > LONGEST:
                raise Endless(f"{self.scenario.name} at {self.now:.1f} s: {self.call.where}")
            self.time.go_on()
        return outcome(tuple(self.moments), tuple(map(tuple, self.legs)))

    # -- time

    @property
    def now(self) -> float:
        return self.time.now

    def later(self, wait: float, do: Callable[[], None], rank: int = 99) -> None:
        self.time.later(wait, do, rank)

    def event_later(self, wait: float, event: Event) -> None:
        self.later(wait, lambda: self.happen(event), precedence(event))

    def happen(self, event: Event) -> None:
        if self.call.over:
            return
        self.moments.append(Moment(self.now, event))
        self.call, wishes = step(self.line, self.call, event)
        self.moments += [Moment(self.now, wish) for wish in wishes]
        for wish in wishes:
            self.carry_out(wish)
        if self.call.over and self.over is not None:
            self.over(outcome(tuple(self.moments)).record.get("verdict", ""))

    # -- what the machine wants

    def carry_out(self, wish: actions.Action) -> None:
        match wish:
            case actions.Foreground():
                self.stop_sounding()
                self.sounding = _Sounding(wish, self.now)
                self.begin(wish)
            case actions.SetTimer(id=number, seconds=length):
                self.answer_later(length, number, events.TimerFired(number))
            case actions.LookUp(id=number):
                self.look_up(number)
            case actions.Keep(id=number):
                failed = self.scenario.world.store_fails
                self.event_later(
                    0, events.StoreFailed(number) if failed else events.Stored(number, "1")
                )
            case _:
                self.people.carry_out(wish)

    def stop_sounding(self) -> None:
        before, self.sounding = self.sounding, None
        if before is not None and isinstance(before.action, actions.Say):
            self.act(self.script.ended(before.action.prompt, self.now))

    def begin(self, wish: actions.Foreground) -> None:
        match wish:
            case actions.Ring(id=number, until=until):
                rung = max(until, self.scenario.world.rung)
                wait = rung - self.scenario.world.rung
                self.answer_later(wait, number, events.Rung(number, rung))
            case actions.PickUp(id=number):
                rung = round(self.scenario.world.rung + self.now, 6)
                self.answer_later(0, number, events.Answered(number, rung))
            case actions.Say(id=number, prompt=prompt, slots=slots):
                self.later(0, lambda: self.act(self.script.began(prompt, self.now)), -1)
                self.later(self.seconds(prompt, dict(slots)), lambda: self.said(number))
            case actions.Listen(id=number, seconds=length):
                self.later(length, lambda: self.silence(number))
            case actions.HearOut(id=number, quiet=quiet, limit=limit):
                self.later(0, lambda: self.heard_out(number, quiet, self.now + limit))
            case actions.Record():
                self.voiced = 0.0
                self.later(BEEP + wish.quiet, lambda: self.quiet_in_recording(wish))
                self.later(BEEP + wish.limit, lambda: self.recorded(wish, "limit"))
            case actions.PlayRecording(id=number, recording=name, seconds=most):
                length = self.recordings.get(name, UNKNOWN_RECORDING)
                self.later(min(length, most), lambda: self.said(number))
            case actions.Bridge() | actions.Resume():
                self.people.carry_out(wish)
            case actions.Music() | actions.HangUp() | actions.HandOver():
                pass

    def answer_later(self, wait: float, number: int, event: events.Answer) -> None:
        def answer() -> None:
            if number == self.call.foreground or number in self.call.awaited:
                self.happen(event)

        self.later(wait, answer)

    def said(self, number: int) -> None:
        if number == self.call.foreground:
            self.stop_sounding()
            self.happen(events.Said(number))

    def silence(self, number: int) -> None:
        if number != self.call.foreground:
            return
        if self.now < self.voice_until:
            # a sound has begun and is not judged yet
            self.later(0.05, lambda: self.silence(number))
        else:
            self.happen(events.Silence(number))

    def heard_out(self, number: int, quiet: float, until: float) -> None:
        """Answer once the caller has been quiet for long enough; one who goes on is waited for."""
        if number != self.call.foreground:
            return
        left = min(until, self.voice_until + quiet) - self.now
        if left > 0.0005:
            self.later(left, lambda: self.heard_out(number, quiet, until))
        else:
            self.happen(events.HeardOut(number))

    def look_up(self, number: int) -> None:
        world = self.scenario.world.lookup
        event: events.Answer
        if world is None:
            event = events.LookupFailed(number, "this world has no back end")
        elif world.fails:
            event = events.LookupFailed(number, "the back end fails")
        elif world.answer is None:
            event = events.NotFound(number)
        else:
            event = events.Found(number, world.answer)
        self.answer_later(world.after if world else 0.0, number, event)

    # -- recording

    def recording(self) -> actions.Record | None:
        if self.sounding is not None and isinstance(self.sounding.action, actions.Record):
            return self.sounding.action
        return None

    def quiet_in_recording(self, wish: actions.Record) -> None:
        if self.recording() is not wish:
            return
        left = self.voice_until + wish.quiet - self.now
        if left > 0.0005:
            self.later(left, lambda: self.quiet_in_recording(wish))
        else:
            self.recorded(wish, "silence")

    def recorded(self, wish: actions.Record, ended_by: str) -> None:
        if self.recording() is not wish or self.sounding is None:
            return
        length = round(self.now - self.sounding.since - BEEP, 2)
        silent = self.voiced < 0.3
        self.recordings[f"recording-{wish.id}"] = length
        self.happen(
            events.Recorded(
                wish.id,
                "" if silent else f"recording-{wish.id}",
                length,
                "silent" if silent else self.quality,
                ended_by,
            )
        )

    # -- the legs of agents

    def brief(self, note: events.Values, over: Callable[[str], None]) -> Leg:
        """Begin the leg of an agent who has picked up."""
        leg = _World(
            self.scenario,
            self.line,
            self.seconds,
            events.Summoned(note),
            self.time,
            self.recordings,
            over,
        )
        leg.script = ScriptedCaller(())
        self.legs.append(leg.moments)
        leg.happen(leg.first)
        return leg

    def press(self, key: str) -> None:
        self.do(Press(key))

    def hang_up(self) -> None:
        self.do(HangUpAct())

    # -- what the caller does

    def act(self, acts: list[tuple[float, Act]]) -> None:
        for wait, what in acts:
            rank = 0 if isinstance(what, HangUpAct) else 5
            self.later(wait, lambda what=what: self.do(what), rank)  # type: ignore[misc]

    def do(self, act: Act) -> None:
        if self.call.over:
            return
        recording = self.recording()
        match act:
            case Press(keys=key):
                if recording is None:
                    self.happen(events.Key(key))
                elif key == "#":
                    self.recorded(recording, "key")
            case Speak(seconds=length, quality=quality):
                self.quality = quality
                self.voice_until = self.now + length
                self.voiced += length
                if length >= SHORTEST and recording is None:
                    self.later(DEBOUNCE, self.voice)
            case Hum():
                self.happen(events.Noise())
            case HangUpAct():
                if recording is not None:
                    self.recorded(recording, "hangup")
                self.happen(events.HungUp())
            case OpsHangUp():
                self.happen(events.EndAsked())

    def voice(self) -> None:
        if self.recording() is None:
            self.happen(events.Voice())
