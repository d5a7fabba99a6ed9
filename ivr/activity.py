"""What a state of a flow does while the call is in it: what all activities have in common, and
those that need nothing of the caller.

Rules this module keeps:

- Pure, like the machine that uses it: an activity is told that it was entered, and what happened
  since; it asks the turn for actions and fires triggers. It never waits.
- An activity's own memory (how often it has prompted, which digits were keyed) is one frozen,
  hashable value, so that the state of a call stays one.
- The other activities are in `ivr.speaking` (what we say), `ivr.asking` (what the caller keys),
  `ivr.waiting` (what takes time), `ivr.transferring`, `ivr.bridging` and `ivr.briefing` (what
  happens with people); the closed registry of them all is `ivr.activities`.
- What is held (a timer, a place in a waiting line, an agent) is given back by whoever took it,
  when its state is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ivr.events import Answered, Event, Key, Rung, Stored, StoreFailed, Values
from ivr.staff import Staff


class Turn(Protocol):
    """What an activity may ask for during one step. Made by `ivr.call`."""

    saying: bool
    """Whether a prompt of ours is playing."""
    staff: Staff
    """The people of this line, and how it transfers to them."""
    numbers: Mapping[str, str]
    """Our own numbers."""
    leg: int
    """The ring by which we hold an agent's phone, 0 for none."""

    def slot(self, name: str) -> str: ...
    def fill(self, template: str) -> str: ...
    def set(self, name: str, value: str) -> None: ...
    def note(self, name: str, value: str) -> None: ...
    def fire(self, trigger: str) -> None: ...
    def handles(self, trigger: str) -> bool: ...
    def take_pending(self) -> str: ...
    def leave_pending(self, digit: str) -> None: ...
    def ignore(self, why: str) -> None: ...

    def ring(self) -> None: ...
    def pick_up(self) -> None: ...
    def say(self, prompt: str, *, voice: bool) -> None: ...
    def listen(self, length: float) -> None: ...
    def hear_out(self) -> None: ...
    def music(self, name: str) -> None: ...
    def record(self, what: str, limit: float, quiet: float) -> None: ...
    def hang_up(self) -> None: ...
    def set_timer(self, name: str, length: float) -> int: ...
    def cancel_timer(self, number: int) -> None: ...
    def look_up(self, name: str) -> int: ...
    def cancel_look_up(self, number: int) -> None: ...
    def lookup_limit(self, name: str) -> float: ...
    def keep(self, kind: str, values: Values, within: str) -> int: ...

    def survey(self, department: str, staff_number: str) -> int: ...
    def join_line(self, department: str, staff_number: str) -> int: ...
    def leave_line(self, number: int, ticket: str) -> None: ...
    def ring_agent(self, agent: str, note: Values, reference: str, length: float) -> int: ...
    def cancel_ring(self, number: int) -> None: ...
    def release(self, agent: str, outcome: str) -> None: ...
    def bridge(self, leg: int) -> int: ...
    def resume(self) -> None: ...
    def hand_over(self) -> None: ...
    def play_recording(self, recording: str, length: float) -> None: ...
    def forget(self, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Memory:
    """What an activity remembers while the call is in its state."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a key does: fires a trigger, after setting slots."""

    trigger: str
    set: Values = ()

    def take(self, turn: Turn) -> None:
        """Set the slots and fire the trigger."""
        for name, value in self.set:
            turn.set(name, turn.fill(value))
        turn.fire(self.trigger)


@dataclass(frozen=True, slots=True)
class Activity:
    """One kind of doing. Its fields are its settings in the flow file."""

    name: ClassVar[str]
    on_the_line: ClassVar[bool] = True
    """Whether it needs the caller: with a caller who is gone the call is then over."""

    def triggers(self) -> frozenset[str]:
        """The triggers it may fire, every one of which the flow must handle."""
        return frozenset()

    def prompts(self) -> Iterator[str]:
        """The prompts it may say; they may hold slots in braces."""
        return iter(())

    def enter(self, turn: Turn) -> Memory:
        """Begin. Returns what to remember."""
        raise AssertionError(f"{self.name} does nothing on entry")

    def handle(self, turn: Turn, memory: Any, event: Event) -> Memory:
        """Something happened. Returns what to remember."""
        turn.ignore("unhandled")
        return memory  # type: ignore[no-any-return]

    def leave(self, turn: Turn, memory: Any) -> None:
        """The state is left: give back what is held."""


# ---------------------------------------------------------------- without the caller's doing


@dataclass(frozen=True, slots=True)
class Choose(Activity):
    """Decide at once, by the guards of the transitions."""

    name: ClassVar[str] = "choose"
    on_the_line: ClassVar[bool] = False

    def triggers(self) -> frozenset[str]:
        return frozenset({"next"})

    def enter(self, turn: Turn) -> Memory:
        turn.fire("next")
        return Memory()


@dataclass(frozen=True, slots=True)
class Ring(Activity):
    """Let it ring for as many rings as the line wants before answering (XJCA-5a)."""

    name: ClassVar[str] = "ring"

    def triggers(self) -> frozenset[str]:
        return frozenset({"rung"})

    def enter(self, turn: Turn) -> Memory:
        turn.ring()
        return Memory()

    def handle(self, turn: Turn, memory: Memory, event: Event) -> Memory:
        if isinstance(event, Rung):
            turn.fire("rung")
        else:
            turn.ignore("unhandled")
        return memory


@dataclass(frozen=True, slots=True)
class PickUp(Activity):
    """Answer the call."""

    name: ClassVar[str] = "pick_up"

    def triggers(self) -> frozenset[str]:
        return frozenset({"answered"})

    def enter(self, turn: Turn) -> Memory:
        turn.pick_up()
        return Memory()

    def handle(self, turn: Turn, memory: Memory, event: Event) -> Memory:
        if isinstance(event, Answered):
            turn.fire("answered")
        else:
            turn.ignore("unhandled")
        return memory


@dataclass(frozen=True, slots=True)
class End(Activity):
    """Hang up. The call is over."""

    name: ClassVar[str] = "end"

    def enter(self, turn: Turn) -> Memory:
        turn.hang_up()
        return Memory()


@dataclass(frozen=True, slots=True)
class KeepMemory(Memory):
    keep: int


@dataclass(frozen=True, slots=True)
class Keep(Activity):
    """Keep what must outlive the call; go on only when that is certain (EMS-16, LKL-5.5)."""

    name: ClassVar[str] = "keep"
    on_the_line: ClassVar[bool] = False
    kind: str = ""
    values: tuple[str, ...] = ()
    within: str = ""

    def triggers(self) -> frozenset[str]:
        return frozenset({"kept", "lost"})

    def enter(self, turn: Turn) -> Memory:
        values = tuple((name, turn.slot(name)) for name in self.values if turn.slot(name))
        return KeepMemory(turn.keep(turn.fill(self.kind), values, self.within))

    def handle(self, turn: Turn, memory: KeepMemory, event: Event) -> Memory:
        match event:
            case Stored(reference=reference, promised=promised):
                turn.set("reference", reference)
                turn.set("refused", "" if promised else "yes")
                turn.fire("kept")
            case StoreFailed():
                turn.fire("lost")
            case Key(digit=digit):
                turn.leave_pending(digit)
            case _:
                turn.ignore("unhandled")
        return memory

    def leave(self, turn: Turn, memory: KeepMemory) -> None:
        # what comes of it is no answer to anything that is kept after it
        turn.forget(memory.keep)
