"""Activities that take time of the caller's: a recording, and a wait on hold.

Rules this module keeps:

- Nothing is said over a caller who speaks; a recording begins after our prompt, with a beep.
- A caller who waits hears from us every `every` seconds, from start to start, and may leave
  contact by key at any moment.
- What is held while waiting (timers, the lookup) is given back when the state is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Memory, Turn
from ivr.events import (
    Event,
    Found,
    HeardOut,
    Key,
    LookupFailed,
    NotFound,
    Recorded,
    Said,
    TimerFired,
    Unplayable,
    Voice,
)

MESSAGE = "message"
"""What a recording is called that is somebody's message, and no name or the like."""


@dataclass(frozen=True, slots=True)
class RecordMemory(Memory):
    stage: str = "prompt"
    spoke: bool = False


@dataclass(frozen=True, slots=True)
class Record(Activity):
    """Record the caller's own words; how they came over is measured (XJCA-6.1d, LKL-2.4).

    One without a prompt of its own is a second try: what the first one brought is kept until
    there is something better. The slot `quality` is that of the message, no other recording's.
    """

    name: ClassVar[str] = "record"
    what: str = ""
    into: str = ""
    prompt: str = ""
    hint: str = ""
    limit: float = 120.0
    quiet: float = 4.0

    def triggers(self) -> frozenset[str]:
        return frozenset({"recorded", "nothing", "unclear"})

    def prompts(self) -> Iterator[str]:
        return (p for p in (self.prompt, self.hint) if p)

    def enter(self, turn: Turn) -> Memory:
        turn.take_pending()
        if self.prompt:
            turn.set(self.into, "")
            turn.say(self.prompt, voice=False)
            return RecordMemory()
        return self._hint(turn, RecordMemory())

    def _hint(self, turn: Turn, memory: RecordMemory) -> RecordMemory:
        if self.hint and memory.stage == "prompt":
            turn.say(self.hint, voice=False)
            return replace(memory, stage="hint")
        turn.record(self.what, self.limit, self.quiet)
        return replace(memory, stage="recording")

    def handle(self, turn: Turn, memory: RecordMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable() if memory.spoke:
                turn.hear_out()
                return replace(memory, spoke=False)
            case Said() | Unplayable() | HeardOut():
                return self._hint(turn, memory)
            case Voice() if memory.stage != "recording":
                return replace(memory, spoke=True)
            case Key() if memory.stage != "recording":
                return self._hint(turn, replace(memory, stage="hint"))
            case Recorded():
                self._recorded(turn, event)
            case Voice():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    def _recorded(self, turn: Turn, event: Recorded) -> None:
        empty = not event.recording or event.quality == "silent"
        if not empty:
            turn.set(self.into, event.recording)
            if self.what == MESSAGE:
                turn.set("quality", event.quality)
        if event.ended_by == "hangup":
            return
        if empty:
            turn.fire("nothing")
        elif event.quality == "fine":
            turn.fire("recorded")
        else:
            turn.fire("unclear")


@dataclass(frozen=True, slots=True)
class WaitMemory(Memory):
    """`said` is whether nothing is being said now, by us or by the caller; `spoke` is whether the
    caller began to speak over what we say; `result` is what the lookup brought meanwhile."""

    lookup: int
    limit: int
    sign: int
    said: bool = False
    spoke: bool = False
    result: str = ""


@dataclass(frozen=True, slots=True)
class Wait(Activity):
    """Music while a lookup runs; the caller hears from us every `every` seconds, counted from
    the start of one sign of life to the start of the next (EMS-9)."""

    name: ClassVar[str] = "wait"
    lookup: str = ""
    begin: str = ""
    music: str = "default"
    sign_of_life: str = ""
    every: float = 30.0
    leave_key: str = ""

    def triggers(self) -> frozenset[str]:
        leave = {"leave"} if self.leave_key else set()
        return frozenset({"found", "missing", "failed", "too_long", *leave})

    def prompts(self) -> Iterator[str]:
        return iter((self.begin, self.sign_of_life))

    def enter(self, turn: Turn) -> Memory:
        turn.take_pending()
        lookup = turn.fill(self.lookup)
        turn.say(self.begin, voice=False)
        return WaitMemory(
            sign=turn.set_timer("sign_of_life", self.every),
            limit=turn.set_timer("limit", turn.lookup_limit(lookup)),
            lookup=turn.look_up(lookup),
        )

    def handle(self, turn: Turn, memory: WaitMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable() if memory.spoke:
                turn.hear_out()
                return replace(memory, spoke=False)
            case Said() | Unplayable() | HeardOut():
                if memory.result:
                    turn.fire(memory.result)
                else:
                    turn.music(self.music)
                return replace(memory, said=True)
            case TimerFired(id=number) if number == memory.limit:
                return self._result(turn, memory, "too_long")
            case TimerFired():
                turn.say(self.sign_of_life, voice=False)
                sign = turn.set_timer("sign_of_life", self.every)
                return replace(memory, said=False, spoke=False, sign=sign)
            case Found(values=values):
                for name, value in values:
                    turn.set(name, value)
                return self._result(turn, memory, "found")
            case NotFound():
                return self._result(turn, memory, "missing")
            case LookupFailed():
                return self._result(turn, memory, "failed")
            case Key(digit=digit) if digit == self.leave_key:
                turn.fire("leave")
            case Voice() if not memory.said:
                return replace(memory, spoke=True)
            case Key() | Voice():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    def _result(self, turn: Turn, memory: WaitMemory, trigger: str) -> WaitMemory:
        """Nobody is interrupted, not even we: a prompt that has begun is ended first."""
        if memory.said:
            turn.fire(trigger)
        return replace(memory, result=memory.result or trigger)

    def leave(self, turn: Turn, memory: WaitMemory) -> None:
        turn.cancel_timer(memory.sign)
        turn.cancel_timer(memory.limit)
        turn.cancel_look_up(memory.lookup)
