"""One state of an exploration: a call with what it holds outside, and what may be wrong with it.

Rules this module keeps:

- Pure. States that differ only in their ids are one: ids are renumbered before two states are
  compared. They begin at a thousand, where no counter of an activity ever comes, so that they can
  be told from counters.
- What must hold of a state, of an ending and of a step stands here; what must hold of all states
  together (that every one has a way to the end) is `ivr.explore`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from ivr import actions, events
from ivr.actions import Action
from ivr.call import Call, step
from ivr.events import Event
from ivr.flow import Line
from ivr.outside import Outside

FIRST_ID = 1000
"""Ids begin after this; no counter in an activity's memory comes as far."""
FOR_WISHES = frozenset({"message", "transfer"})
"""The flows in which callers leave contact, or are brought to a person."""


@dataclass(frozen=True, slots=True)
class Node:
    """A state of everything: the call, and what it holds outside."""

    call: Call
    outside: Outside


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that happened, and what the call asked for then; for people."""

    event: Event
    actions: tuple[Action, ...]
    where: str

    def __str__(self) -> str:
        told = [f"{self.event!r}   [{self.where or 'over'}]"]
        return "\n".join(told + [f"      {action!r}" for action in self.actions])


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and the shortest way there."""

    what: str
    way: tuple[Turn, ...]

    def __str__(self) -> str:
        turns = (f"{number:3}. {turn}" for number, turn in enumerate(self.way, 1))
        return "\n".join((self.what, *turns))


# ---------------------------------------------------------------- one step


def happen(line: Line, node: Node, event: Event) -> tuple[Node, tuple[Action, ...]]:
    """What follows when `event` happens. Raises Wrong, and what `step` raises."""
    outside = node.outside.told(event)
    call, wishes = step(line, node.call, event)
    for wish in wishes:
        outside = outside.asked(wish)
    return Node(call, outside), wishes


def ending(node: Node) -> str:
    """What is wrong with the way this call ended, empty if nothing is."""
    outside = node.outside
    left = ", ".join(outside.left_over())
    if left:
        return f"the call is over and still holds {left}"
    if not outside.gone and not outside.ended:
        return "the call is over, and nobody has hung up"
    if outside.ended and outside.wished and not outside.served:
        return "a caller who wished for a person was sent away with nothing"
    return ""


def leaving(node: Node) -> str:
    """What is wrong with a call that leaves the flows that are explored; empty if nothing is."""
    outside = node.outside
    asked = any(frame.flow in FOR_WISHES for frame in node.call.frames)
    left = ", ".join(outside.held())
    if left:
        return f"the call goes on elsewhere and still holds {left}"
    if outside.wished and not outside.served and not asked:
        return "a caller who wished for a person is led on with nothing"
    return ""


def crossing(line: Line, before: Node, after: Node) -> str:
    """What is wrong if something crosses what the call has just done: an agent is claimed for it
    at the very moment when it leaves the waiting line, and must be given back; or the agent's
    hanging up is told when the conversation is over, and must do nothing. Empty if all is well."""
    gone = [leg.agent for leg in before.outside.legs if leg.stage == "bridged"]
    if gone and before.outside.bridge and not after.outside.bridge:
        _, wishes = step(line, after.call, events.AgentGone(gone[0]))
        if any(not isinstance(wish, actions.Ignored) for wish in wishes):
            return "an agent's hanging up, told after the conversation, does something"
    place = before.outside.place
    if not place or after.outside.place or before.outside.claims or after.outside.claims:
        return ""
    _, wishes = step(line, after.call, events.Claimed(place, "late"))
    if actions.Release("late", "free") in wishes:
        return ""
    return "an agent claimed just as the call left the waiting line is never given back"


GIVEN_BACK = (
    events.TimerFired,
    events.Found,
    events.NotFound,
    events.LookupFailed,
    events.Surveyed,
    events.Progress,
    events.Unstaffed,
    events.AgentAccepted,
    events.AgentFailed,
    events.BridgeOver,
    events.Stored,
    events.StoreFailed,
)
"""Answers to what must be given up when its state is left: nobody else knows what to do with them.
(A prompt may well end in the next state.)"""


def astray(event: Event, wishes: tuple[Action, ...]) -> str:
    """What is wrong with an answer that reached an activity which never asked for it; empty if
    nothing is."""
    if isinstance(event, GIVEN_BACK) and actions.Ignored("unhandled") in wishes:
        return f"{type(event).__name__} reaches an activity that did not ask for it"
    return ""


def sign_of_life(before: Call, event: Event, after: Call, wishes: tuple[Action, ...]) -> bool:
    """Whether a timer has made us speak, and the wait goes on."""
    says = any(isinstance(wish, actions.Say) for wish in wishes)
    return isinstance(event, events.TimerFired) and says and before.where == after.where


# ---------------------------------------------------------------- comparing


Key = tuple[Any, ...]
"""What is the same for two states that differ only in their ids."""


def key(node: Node) -> Key:
    """This state with its ids renumbered in their order; hashable, there only to be compared."""
    call, outside = node.call, node.outside
    numbers = sorted({*call.awaited, call.foreground, call.leg, *outside.ids()} - {0})
    names = {number: rank for rank, number in enumerate(numbers, 1)}
    top = call.last_id
    return (
        tuple(
            (frame.flow, frame.state, _renamed(frame.memory, names, top)) for frame in call.frames
        ),
        tuple((name, _slot(value, names, top)) for name, value in call.slots),
        (
            call.pending,
            call.saying,
            call.gone,
            names.get(call.foreground, 0),
            names.get(call.leg, 0),
        ),
        tuple(names[number] for number in call.awaited),
        outside.key(names),
    )


def _renamed(value: Any, names: Mapping[int, int], top: int) -> Any:
    """A memory as a tuple; whatever in it is an id has its new number."""
    if isinstance(value, int):
        return names.get(value, 0) if FIRST_ID < value <= top else value
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return tuple([_renamed(item, names, top) for item in value])
    return tuple([_renamed(getattr(value, name), names, top) for name in _fields(value.__class__)])


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    assert is_dataclass(kind)
    return tuple(one.name for one in fields(kind))


def _slot(value: str, names: Mapping[int, int], top: int) -> str:
    """A slot may hold an id, written in digits."""
    if value.isdecimal() and value.isascii() and FIRST_ID < int(value) <= top:
        return str(names.get(int(value), 0))
    return value
