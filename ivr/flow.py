"""A line and its compiled flows: all that a call needs to know, as frozen values.

Rules this module keeps:

- Pure, and values only: `ivr.flow_compiler` and `ivr.line_compiler` make them from documents.
- One machine per flow serves all calls: no model is ever registered with it, it is never queued,
  and callbacks only set slots and append notes. A trigger is fired by
  `machine.events[name].trigger(frame, turn)`, where the frame is any object with a `state`.
  This use of `transitions` is public but undocumented; a test holds it against registered models.
- Calls that are up keep the line they began with: nothing in it ever changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from transitions import Machine

from ivr import ticket_rules
from ivr.activity import Activity
from ivr.document import Map, Text
from ivr.events import Values
from ivr.slots import MOST
from ivr.staff import Staff

START = "call"
"""The flow in which every call begins."""
LEG = "briefing"
"""The flow in which the leg of an agent begins, who has been rung for a caller."""
CALLBACK = "callback"
"""The flow in which a call begins that we make, once the person has picked up."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """A state that hands over to another flow until that flow reaches a final state, whose name
    is then fired as a trigger here."""

    flow: str
    values: Values = ()


@dataclass(frozen=True, slots=True)
class State:
    """A state: one of an activity, an invocation, or a final state. `line` is its place."""

    name: str
    at: Text
    activity: Activity | None = None
    invoke: Invoke | None = None

    @property
    def final(self) -> bool:
        return self.activity is None and self.invoke is None


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of a flow's table, as written; kept for checks and drawings."""

    trigger: str
    source: str
    dest: str
    conditions: tuple[str, ...]
    unless: tuple[str, ...]
    at: Map


@dataclass(frozen=True, slots=True)
class Flow:
    """A compiled flow."""

    name: str
    path: str
    serves: tuple[str, ...]
    initial: str
    states: Mapping[str, State]
    transitions: tuple[Transition, ...]
    machine: Machine = field(repr=False, compare=False)

    def handles(self, state: str, trigger: str) -> bool:
        """Whether this state has a transition for this trigger (its guards aside)."""
        event = self.machine.events.get(trigger)
        return event is not None and bool(event.transitions.get(state))


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the machine knows of a lookup: how long it takes, and when waiting ends, in seconds;
    which slots it is asked with (the lookup's own name for each), and the values it may bring."""

    expected: float
    limit: float
    arguments: Values
    results: Mapping[str, tuple[str, ...]]

    @property
    def minutes(self) -> int:
        """The likely wait in whole minutes, at least one, and no more than can be said."""
        return min(max(1, math.ceil(self.expected / 60)), MOST)


@dataclass(frozen=True, slots=True)
class Line:
    """One hotline's compiled flows and settings: all that a call needs to know. Immutable, and
    shared by all calls that began with this version."""

    name: str
    title: str
    language: str
    zone: str
    version: str
    numbers: Mapping[str, str]
    ring_cycle: float
    answer_after: int
    late_after: int
    long_hold: float
    settings: Mapping[str, str]
    staff: Staff
    tickets: ticket_rules.Rules
    lookups: Mapping[str, Lookup]
    flows: Mapping[str, Flow]
    prompts: Mapping[str, tuple[str, ...]]
    document: Map = field(repr=False, compare=False)

    @property
    def answer_at(self) -> float:
        """Seconds of ringing before we pick up."""
        return self.ring_cycle * self.answer_after

    @property
    def late_at(self) -> float:
        """Seconds of ringing from which the caller is owed an apology."""
        return self.ring_cycle * self.late_after
