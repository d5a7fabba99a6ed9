"""Activities on an agent's leg: the note is heard, and the call taken or not.

Rules this module keeps:

- The agent hears what is known and nothing else: a part whose slot is empty is left out.
- Nothing of this reaches the caller's ear: the leg is a call of its own (LKL-B1).
- A key decides at any moment; who presses none has heard the note `times` times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Memory, Turn
from ivr.events import Event, Key, Said, Silence, Unplayable, Voice


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a note: a prompt, and then perhaps a recording (the slot `play`, of which
    `seconds` are heard at most). It is left out if the slot `needs` is empty, or has the value of
    the slot `unlike`."""

    say: str
    needs: str = ""
    unlike: str = ""
    play: str = ""
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class BriefMemory(Memory):
    """`part` is the number of the part being heard, `playing` whether its recording is; `told`
    counts how often the note has been begun."""

    part: int = 0
    playing: bool = False
    told: int = 1


@dataclass(frozen=True, slots=True)
class Brief(Activity):
    """Tell an agent the note: 1 takes the call, 2 refuses it, `*` repeats (XJCA-5d2, LKL-2.2)."""

    name: ClassVar[str] = "brief"
    parts: tuple[Part, ...] = ()
    pause: float = 4.0
    times: int = 3

    def triggers(self) -> frozenset[str]:
        return frozenset({"accept", "refuse", "no_key"})

    def prompts(self) -> Iterator[str]:
        return (part.say for part in self.parts)

    def enter(self, turn: Turn) -> Memory:
        turn.take_pending()
        return self._tell(turn, BriefMemory(part=-1))

    def _tell(self, turn: Turn, memory: BriefMemory) -> BriefMemory:
        """The next part that there is something to say in; then silence, for the answer."""
        for number in range(memory.part + 1, len(self.parts)):
            part = self.parts[number]
            same = part.unlike and turn.slot(part.needs) == turn.slot(part.unlike)
            if same or (part.needs and not turn.slot(part.needs)):
                continue
            turn.say(part.say, voice=False)
            return replace(memory, part=number, playing=False)
        turn.listen(self.pause)
        return replace(memory, part=len(self.parts), playing=False)

    def handle(self, turn: Turn, memory: BriefMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable():
                part = self.parts[memory.part]
                if part.play and not memory.playing:
                    turn.play_recording(turn.slot(part.play), part.seconds)
                    return replace(memory, playing=True)
                return self._tell(turn, memory)
            case Key(digit="1"):
                turn.fire("accept")
            case Key(digit="2"):
                turn.fire("refuse")
            case Key(digit="*"):
                return self._again(turn, memory)
            case Silence():
                return self._again(turn, memory)
            case Key() | Voice():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    def _again(self, turn: Turn, memory: BriefMemory) -> BriefMemory:
        if memory.told >= self.times:
            turn.fire("no_key")
            return memory
        return self._tell(turn, BriefMemory(part=-1, told=memory.told + 1))


@dataclass(frozen=True, slots=True)
class HandOver(Activity):
    """The agent takes the call: this leg waits to be bridged, and nothing more is said to it."""

    name: ClassVar[str] = "hand_over"

    def enter(self, turn: Turn) -> Memory:
        turn.hand_over()
        return Memory()
