"""Activities that speak: one prompt, or the ladder for a caller of whom nothing is heard.

Rules this module keeps:

- A pause begins when our own prompt ends.
- A caller who speaks is heard out before anything else is said.
- A key pressed over a prompt is kept for the next question; one from before a sentence is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Memory, Turn
from ivr.events import Event, HeardOut, Key, Noise, Said, Silence, Unplayable, Voice


@dataclass(frozen=True, slots=True)
class SayMemory(Memory):
    spoke: bool = False


@dataclass(frozen=True, slots=True)
class Say(Activity):
    """Say one prompt. A key ends it, and is kept for the next question unless `answers` is no
    (a question that must be asked follows); a caller who speaks meanwhile is heard out
    afterwards."""

    name: ClassVar[str] = "say"
    prompt: str = ""
    answers: bool = True

    def triggers(self) -> frozenset[str]:
        return frozenset({"said"})

    def prompts(self) -> Iterator[str]:
        yield self.prompt

    def enter(self, turn: Turn) -> Memory:
        # a key from before this sentence was meant for something else
        turn.take_pending()
        turn.say(self.prompt, voice=False)
        return SayMemory()

    def handle(self, turn: Turn, memory: SayMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable() if memory.spoke:
                turn.hear_out()
                return replace(memory, spoke=False)
            case Said() | Unplayable() | HeardOut():
                turn.fire("said")
            case Key(digit=digit):
                if self.answers:
                    turn.leave_pending(digit)
                turn.fire("said")
            case Voice():
                return replace(memory, spoke=True)
            case _:
                turn.ignore("unhandled")
        return memory


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a ladder: a prompt (or none), then a pause in seconds (or none)."""

    say: str = ""
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class LadderMemory(Memory):
    step: int = 0
    over: bool = False
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class Ladder(Activity):
    """Prompts with a pause after each, for a caller of whom nothing is heard
    (XJCA-6.1c, EMS-2, LKL-7.3, INF-5, INF-6). Any key or voice ends it at once."""

    name: ClassVar[str] = "ladder"
    steps: tuple[Step, ...] = ()

    def triggers(self) -> frozenset[str]:
        return frozenset({"key", "voice", "voice_over", "silent"})

    def prompts(self) -> Iterator[str]:
        return (step.say for step in self.steps if step.say)

    def enter(self, turn: Turn) -> Memory:
        pending = turn.take_pending()
        if pending:
            turn.leave_pending(pending)
            turn.fire("key")
            return LadderMemory()
        return self._begin(turn, LadderMemory())

    def _begin(self, turn: Turn, memory: LadderMemory) -> LadderMemory:
        step = self.steps[memory.step]
        if step.say:
            turn.say(step.say, voice=True)
        else:
            turn.listen(step.pause)
        return memory

    def _climb(self, turn: Turn, memory: LadderMemory) -> LadderMemory:
        if memory.noisy and turn.handles("noise"):
            turn.fire("noise")
            return memory
        if memory.step + 1 == len(self.steps):
            turn.fire("silent")
            return memory
        return self._begin(turn, replace(memory, step=memory.step + 1))

    def handle(self, turn: Turn, memory: LadderMemory, event: Event) -> Memory:
        step = self.steps[memory.step]
        match event:
            case Said() | Unplayable() if step.pause:
                turn.listen(step.pause)
            case Said() | Unplayable() | Silence():
                return self._climb(turn, memory)
            case Key(digit=digit):
                turn.leave_pending(digit)
                turn.fire("key")
            case Voice():
                over = turn.saying and memory.step == 0
                turn.hear_out()
                return replace(memory, over=memory.over or over)
            case HeardOut():
                turn.fire("voice_over" if memory.over else "voice")
            case Noise():
                return replace(memory, noisy=True)
            case _:
                turn.ignore("unhandled")
        return memory
