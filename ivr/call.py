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
- The state holds no times: timers are ids, and whoever drives the call keeps the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from ivr.flow import CALLBACK, LEG, START, Line
from ivr.turn import OpenFrame, OpenTurn

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
    turn = _Step(line, call)
    turn.take(event)
    turn.run()
    return turn.freeze(), tuple(turn.actions)


class _Step(OpenTurn):
    """One step under way: what happens, and what follows from it."""

    def __init__(self, line: Line, call: Call) -> None:
        super().__init__(line, call)
        self.before = call

    def freeze(self) -> Call:
        return Call(
            # lists: a generator takes longer, and every step comes by here
            frames=tuple([Frame(f.flow.name, f.state, f.memory) for f in self.frames]),
            slots=tuple(sorted([item for item in self.slots.items() if item[1]]))
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
            known="yes" if event.known else "",
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

    def begin(self, name: str) -> None:
        flow = self.line.flows[name]
        frame = OpenFrame(flow, flow.initial)
        self.frames.append(frame)
        self.enter(frame)

    def enter(self, frame: OpenFrame) -> None:
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
