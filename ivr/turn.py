"""One step of a call under way (`ivr.call`): the working copy, and what activities may ask of it.

Rules this module keeps:

- Pure, as `ivr.call` is. The copy is thrown away unless the whole step succeeds.
- What is asked for becomes an action, never more than that. One that is answered has a new id, and
  is awaited; what is given back (cancelled, left, forgotten) is given back once, if it is still
  awaited.
- One thing at a time is done with the caller's ear and mouth: a new foreground action takes the
  place of the one before, whose answer is then no longer awaited.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from ivr import actions
from ivr.actions import Action
from ivr.activity import Memory
from ivr.events import Values
from ivr.flow import Flow, Line

if TYPE_CHECKING:
    from ivr.call import Call

_SLOT = re.compile(r"\{([a-z0-9_.]+)\}")


class OpenFrame:
    """A frame while a step is under way. `transitions` moves its `state`."""

    __slots__ = ("flow", "memory", "state")

    def __init__(self, flow: Flow, state: str, memory: Memory | None = None) -> None:
        self.flow, self.state, self.memory = flow, state, memory


class OpenTurn:
    """The working copy of a call in one step, as activities see it (`ivr.activity.Turn`)."""

    def __init__(self, line: Line, call: Call) -> None:
        self.line = line
        self.actions: list[Action] = []
        self.frames = [OpenFrame(line.flows[f.flow], f.state, f.memory) for f in call.frames]
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

    def leave(self, flow: Flow, state: str, memory: Memory | None) -> None:
        activity = flow.states[state].activity
        # a state that needs the caller is never begun for one who is gone, and remembers nothing
        if activity is not None and memory is not None:
            activity.leave(self, memory)

    def finish(self) -> None:
        """Nothing more will happen to this call."""
        for frame in reversed(self.frames):
            self.leave(frame.flow, frame.state, frame.memory)
        self.over = True
        self.foreground = 0
        self.awaited.clear()

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
        if number == self.foreground:
            self.foreground = 0
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
