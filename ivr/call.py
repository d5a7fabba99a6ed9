"""The pure call machine: `step(line, state, event) -> (state, actions)`.

Rules this module keeps:

- Pure: no clock, no socket, no file, no randomness. `step` copies and never mutates; the same
  line, state and event always give the same result, so that a journal can be replayed.
- A call is a stack of frames, one per flow that is running. An event goes to the activity of the
  top frame's state. A trigger that the top frame does not handle goes to the frames below; the
  frames above the one that takes it are dropped. What nobody takes is ignored, and the journal
  says so.
- Triggers wait in a queue and are fired one after another, never from a callback
  (run to completion).
- Every action that is answered has a new id; an answer whose id is no longer awaited is ignored.
  One that is answered several times stays awaited until its last answer; an agent who has
  accepted stays held, and so does their leg, until they are given back.
- The leg of an agent who is rung is a small call of its own, with a flow of its own.
- One thing at a time is done with the caller's ear and mouth: a new foreground action takes the
  place of the one before, whose answer is then no longer awaited.
- The state holds no times: timers are ids, and whoever drives the call keeps the clock.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace

from ivr import actions
from ivr.actions import Action
from ivr.activity import Memory
from ivr.events import (
    AgentAccepted,
    AgentGone,
    Answer,
    Answered,
    Claimed,
    EndAsked,
    Event,
    HungUp,
    Offered,
    Progress,
    Reached,
    Summoned,
    Values,
)
from ivr.flow import CALLBACK, LEG, START, Flow, Line

MOST_TRIGGERS = 200
"""Triggers in one step; a flow that fires more goes round in a circle (our bug)."""


class FlowLoop(Exception):
    """A flow goes round in a circle without anything happening."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One running flow: where it is, and what the activity there remembers."""

    flow: str
    state: str
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The whole state of a call. Hashable and small.

    `pending` is a key that was pressed over a prompt and is the first digit of the next answer.
    `foreground` is the id of the action that has the caller's ear; `awaited` are the other ids
    whose answers still matter. `leg` is the ring by which an agent's phone is held, 0 for none.
    `gone`: the caller has hung up. `over`: nothing more will happen.
    """

    frames: tuple[Frame, ...] = ()
    slots: Values = ()
    pending: str = ""
    saying: bool = False
    foreground: int = 0
    awaited: tuple[int, ...] = ()
    last_id: int = 0
    leg: int = 0
    gone: bool = False
    over: bool = False

    def slot(self, name: str) -> str:
        """The value of a slot, empty if it has none."""
        return dict(self.slots).get(name, "")

    @property
    def where(self) -> str:
        """Where the call is, for people: `query.waiting > hold.asking`."""
        return " > ".join(f"{frame.flow}.{frame.state}" for frame in self.frames)


def step(line: Line, call: Call, event: Event) -> tuple[Call, tuple[Action, ...]]:
    """What follows when `event` happens to `call`. Raises FlowLoop (a bug in a flow)."""
    turn = _Turn(line, call)
    turn.take(event)
    turn.run()
    return turn.freeze(), tuple(turn.actions)


class _Frame:
    """A frame while a step is under way. `transitions` moves its `state`."""

    __slots__ = ("flow", "memory", "state")

    def __init__(self, flow: Flow, state: str, memory: Memory | None = None) -> None:
        self.flow, self.state, self.memory = flow, state, memory


_SLOT = re.compile(r"\{([a-z0-9_.]+)\}")


class _Turn:
    """One step under way: the working copy of a call, and what activities may ask of it."""

    def __init__(self, line: Line, call: Call) -> None:
        self.line = line
        self.before = call
        self.actions: list[Action] = []
        self.frames = [_Frame(line.flows[f.flow], f.state, f.memory) for f in call.frames]
        self.slots = dict(call.slots)
        self.written = False
        self.pending = call.pending
        self.saying = call.saying
        self.foreground = call.foreground
        self.awaited = set(call.awaited)
        self.last_id = call.last_id
        self.leg = call.leg
        self.staff = line.staff
        self.numbers = line.numbers
        self.gone = call.gone
        self.over = call.over
        self.queue: deque[str] = deque()

    def freeze(self) -> Call:
        return Call(
            frames=tuple(Frame(f.flow.name, f.state, f.memory) for f in self.frames),
            slots=tuple(sorted(item for item in self.slots.items() if item[1]))
            if self.written
            else self.before.slots,
            pending=self.pending,
            saying=self.saying,
            foreground=self.foreground,
            awaited=tuple(sorted(self.awaited)),
            last_id=self.last_id,
            leg=self.leg,
            gone=self.gone,
            over=self.over,
        )

    # -- what happened

    def take(self, event: Event) -> None:
        """Let one event happen."""
        if isinstance(event, Offered):
            self.offered(event)
        elif isinstance(event, Summoned):
            self.summoned(event)
        elif isinstance(event, Reached):
            self.reached(event)
        elif isinstance(event, Claimed) and event.id not in self.awaited:
            # claimed for us at the moment we left the line, or ended
            self.release(event.agent, "free")
        elif self.over or not self.frames:
            self.ignore("the call is over")
        elif isinstance(event, HungUp):
            self.hung_up()
        elif isinstance(event, EndAsked):
            self.fire("end_asked")
        elif isinstance(event, Answer) and not self.expects(event):
            self.ignore("late")
        else:
            if isinstance(event, AgentGone) and event.agent == self.slot("agent"):
                # whatever we are doing: there is nobody to bridge to any more
                self.forget(self.leg)
            if isinstance(event, Answered):
                late = event.rung >= self.line.late_at
                self.set("late", "yes" if late else "")
            self.perform(event)

    def offered(self, event: Offered) -> None:
        if self.frames:
            self.ignore("offered twice")
            return
        self.written = True
        self.slots.update(
            number=event.number,
            caller=event.caller,
            addressee=event.addressee,
            role=event.role,
            open="yes" if event.open else "",
            maintenance="yes" if event.maintenance else "",
            entry=self.line.numbers.get(event.number, ""),
            goodbye="closing.goodbye",
        )
        self.begin(START)

    def summoned(self, event: Summoned) -> None:
        if self.frames:
            self.ignore("summoned twice")
            return
        self.written = True
        self.slots.update(event.values)
        self.begin(LEG)

    def reached(self, event: Reached) -> None:
        if self.frames:
            self.ignore("reached twice")
            return
        self.written = True
        self.slots.update(event.values)
        if event.leg:
            # rung before this call began, and held by it from now on
            self.leg = self.last_id = event.leg
            self.awaited.add(event.leg)
        self.begin(CALLBACK)

    def expects(self, event: Answer) -> bool:
        if event.id == self.foreground:
            self.foreground = 0
            self.awaited.discard(event.id)
            return True
        if event.id not in self.awaited:
            return False
        if not isinstance(event, Progress | AgentAccepted):
            self.forget(event.id)
        return True

    def hung_up(self) -> None:
        self.gone = True
        self.foreground = 0
        self.saying = False
        self.note("ended_by", "agent" if self.frames[0].flow.name == LEG else "caller")
        self.fire("hung_up")

    def perform(self, event: Event) -> None:
        frame = self.frames[-1]
        activity = frame.flow.states[frame.state].activity
        if activity is None:
            self.ignore("unhandled")
            return
        memory = activity.handle(self, frame.memory, event)
        frame.memory = memory

    # -- triggers

    def run(self) -> None:
        """Fire what waits, until nothing does."""
        fired = 0
        while self.queue and not self.over:
            fired += 1
            if fired > MOST_TRIGGERS:
                raise FlowLoop(" > ".join(f"{f.flow.name}.{f.state}" for f in self.frames))
            self.fire_now(self.queue.popleft())

    def fire_now(self, trigger: str) -> None:
        for depth in range(len(self.frames) - 1, -1, -1):
            frame = self.frames[depth]
            if not frame.flow.handles(frame.state, trigger):
                continue
            source, memory = frame.state, frame.memory
            if not frame.flow.machine.events[trigger].trigger(frame, self):
                continue
            for upper in reversed(self.frames[depth + 1 :]):
                self.leave(upper.flow, upper.state, upper.memory)
            del self.frames[depth + 1 :]
            self.leave(frame.flow, source, memory)
            self.queue.clear()
            self.enter(frame)
            return
        if trigger == "hung_up":
            frame = self.frames[-1]
            activity = frame.flow.states[frame.state].activity
            if activity is None or activity.on_the_line:
                self.finish()
            # else something is being kept, and what comes of it is still noted
        else:
            self.ignore(f"nobody takes '{trigger}'")

    def leave(self, flow: Flow, state: str, memory: Memory | None) -> None:
        activity = flow.states[state].activity
        # a state that needs the caller is never begun for one who is gone, and remembers nothing
        if activity is not None and memory is not None:
            activity.leave(self, memory)

    def begin(self, name: str) -> None:
        flow = self.line.flows[name]
        frame = _Frame(flow, flow.initial)
        self.frames.append(frame)
        self.enter(frame)

    def enter(self, frame: _Frame) -> None:
        state = frame.flow.states[frame.state]
        frame.memory = None
        if state.invoke is not None:
            for name, value in state.invoke.values:
                self.set(name, self.fill(value))
            self.begin(state.invoke.flow)
        elif state.activity is None:
            self.frames.pop()
            self.queue.append(state.name)
        elif self.gone and state.activity.on_the_line:
            self.finish()
        else:
            frame.memory = state.activity.enter(self)

    def finish(self) -> None:
        """Nothing more will happen to this call."""
        for frame in reversed(self.frames):
            self.leave(frame.flow, frame.state, frame.memory)
        self.over = True
        self.foreground = 0
        self.awaited.clear()

    # -- what activities may ask

    def slot(self, name: str) -> str:
        return self.slots.get(name, "")

    def fill(self, template: str) -> str:
        """A text with its `{slots}` filled in; `{lookup.minutes}` is the likely wait."""
        if "{" not in template:
            return template
        return _SLOT.sub(self._value, template)

    def _value(self, match: re.Match[str]) -> str:
        name, _, attribute = match[1].partition(".")
        if attribute == "minutes":
            return str(self.line.lookups[self.slot(name)].minutes)
        return self.slot(name)

    def set(self, name: str, value: str) -> None:
        self.slots[name] = value
        self.written = True

    def note(self, name: str, value: str) -> None:
        self.actions.append(actions.Note(name, value))

    def fire(self, trigger: str) -> None:
        self.queue.append(trigger)

    def handles(self, trigger: str) -> bool:
        return any(frame.flow.handles(frame.state, trigger) for frame in self.frames)

    def take_pending(self) -> str:
        pending, self.pending = self.pending, ""
        return pending

    def leave_pending(self, digit: str) -> None:
        self.pending = digit

    def ignore(self, why: str) -> None:
        self.actions.append(actions.Ignored(why))

    def _next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def _foreground(self, action: actions.Foreground) -> None:
        self.foreground = action.id
        self.saying = isinstance(action, actions.Say)
        self.actions.append(action)

    def ring(self) -> None:
        self._foreground(actions.Ring(self._next_id(), self.line.answer_at))

    def pick_up(self) -> None:
        self._foreground(actions.PickUp(self._next_id()))

    def say(self, prompt: str, *, voice: bool) -> None:
        name = self.fill(prompt)
        filled = tuple((slot, self.slot(slot)) for slot in self.line.prompts.get(name, ()))
        self._foreground(actions.Say(self._next_id(), name, filled, voice=voice))

    def listen(self, length: float) -> None:
        self._foreground(actions.Listen(self._next_id(), length))

    def hear_out(self) -> None:
        self._foreground(actions.HearOut(self._next_id()))

    def music(self, name: str) -> None:
        self._foreground(actions.Music(self._next_id(), name))

    def record(self, what: str, limit: float, quiet: float) -> None:
        self._foreground(actions.Record(self._next_id(), what, limit, quiet))

    def hang_up(self) -> None:
        self.actions.append(actions.HangUp(self._next_id()))
        self.finish()

    def set_timer(self, name: str, length: float) -> int:
        number = self._next_id()
        self.awaited.add(number)
        self.actions.append(actions.SetTimer(number, name, length))
        return number

    def forget(self, number: int) -> None:
        """Nothing that answers this id matters any more."""
        self.awaited.discard(number)
        if number == self.leg:
            self.leg = 0

    def cancel_timer(self, number: int) -> None:
        if number in self.awaited:
            self.forget(number)
            self.actions.append(actions.CancelTimer(number))

    def look_up(self, name: str) -> int:
        number = self._next_id()
        self.awaited.add(number)
        asked = tuple((key, self.slot(slot)) for key, slot in self.line.lookups[name].arguments)
        self.actions.append(actions.LookUp(number, name, asked))
        return number

    def cancel_look_up(self, number: int) -> None:
        if number in self.awaited:
            self.forget(number)
            self.actions.append(actions.CancelLookUp(number))

    def lookup_limit(self, name: str) -> float:
        return self.line.lookups[name].limit

    def keep(self, kind: str, values: Values, within: str) -> int:
        number = self._next_id()
        self.awaited.add(number)
        promise = self.line.tickets.promise(kind, within) if within else ""
        self.actions.append(actions.Keep(number, kind, values, promise))
        return number

    # -- people

    def _ask_for(self, action: actions.Survey | actions.JoinLine | actions.RingAgent) -> int:
        self.awaited.add(action.id)
        self.actions.append(action)
        return action.id

    def survey(self, department: str, staff_number: str) -> int:
        return self._ask_for(actions.Survey(self._next_id(), department, staff_number))

    def join_line(self, department: str, staff_number: str) -> int:
        return self._ask_for(actions.JoinLine(self._next_id(), department, staff_number))

    def leave_line(self, number: int, ticket: str) -> None:
        if number in self.awaited:
            self.forget(number)
            self.actions.append(actions.LeaveLine(number, ticket))

    def ring_agent(self, agent: str, note: Values, reference: str, length: float) -> int:
        ring = actions.RingAgent(self._next_id(), agent, note, reference, length)
        self.leg = self._ask_for(ring)
        return self.leg

    def cancel_ring(self, number: int) -> None:
        if number in self.awaited:
            self.forget(number)
            self.actions.append(actions.CancelRing(number))

    def release(self, agent: str, outcome: str) -> None:
        self.actions.append(actions.Release(agent, outcome))

    def bridge(self, leg: int) -> int:
        number = self._next_id()
        # still awaited when a feature code gives us the caller's ear meanwhile
        self.awaited.add(number)
        self._foreground(actions.Bridge(number, leg))
        return number

    def resume(self) -> None:
        self._foreground(actions.Resume(self._next_id()))

    def hand_over(self) -> None:
        self.actions.append(actions.HandOver(self._next_id()))
        self.finish()

    def play_recording(self, recording: str, length: float) -> None:
        self._foreground(actions.PlayRecording(self._next_id(), recording, length))


IDS = ("lookup", "keep", "limit", "sign", "survey", "line", "ring", "bridge", "leg")
"""The fields of memories that hold ids."""


def canonical(call: Call) -> Call:
    """The same call with its ids renumbered from one, so that calls that differ only in how long
    they have lasted are equal (for exploration)."""
    names = {number: rank for rank, number in enumerate(call.awaited, 1)}

    def renamed(memory: Memory | None) -> Memory | None:
        if memory is None:
            return None
        found = {
            name: names.get(getattr(memory, name), 0)
            for name in IDS
            if isinstance(getattr(memory, name, None), int)
        }
        return replace(memory, **found) if found else memory

    top = len(call.awaited) + 1
    return replace(
        call,
        frames=tuple(replace(frame, memory=renamed(frame.memory)) for frame in call.frames),
        foreground=names.get(call.foreground, top) if call.foreground else 0,
        awaited=tuple(range(1, top)),
        last_id=top,
        leg=names.get(call.leg, 0),
    )
