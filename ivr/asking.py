"""Activities that ask: a question answered by one key, and a number keyed digit by digit.

Rules this module keeps:

- No-input, no-match and speech are counted apart (VoiceXML). Settings are named by what the
  caller hears: `silence_prompts: 2` means that a silent caller hears the question twice.
- The digit that interrupts a prompt is the first digit of the answer.
- A caller who speaks is heard out before anything else is said, and then given the key hint.
- Key hints are prompts of their own after the prescribed sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Choice, Memory, Turn
from ivr.events import Event, HeardOut, Key, Said, Silence, Unplayable, Voice

TIMES_WRONG = 3
"""How many keys that fit no choice a caller may press before the flow is told."""
TIMES_SPOKEN = 2
"""How many spoken answers to a question for a key before the flow is told."""
BETWEEN_DIGITS = 5.0
"""Seconds without a digit that end a number."""


@dataclass(frozen=True, slots=True)
class QuestionMemory(Memory):
    """`stage` is what the caller hears now: prompt, hint, remark (something said before the
    question is asked again), pause, or hearing (the caller out)."""

    stage: str = "prompt"
    silences: int = 0
    wrong: int = 0
    spoken: int = 0
    digits: str = ""


@dataclass(frozen=True, slots=True)
class Question(Activity):
    """What `ask` and `collect` have in common: a prompt, a hint, a pause, three counters."""

    prompt: str = ""
    hint: str = ""
    silence_prompts: int = 2
    pause: float = 5.0
    no_input: str = ""
    no_match: str = ""
    speech: str = ""
    voice: bool = True

    def prompts(self) -> Iterator[str]:
        return (p for p in (self.prompt, self.hint, self.no_input, self.no_match, self.speech) if p)

    def enter(self, turn: Turn) -> Memory:
        pending = turn.take_pending()
        if pending:
            return self._key(turn, QuestionMemory(), pending)
        return self._ask(turn, QuestionMemory())

    def _ask(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        turn.say(self.prompt, voice=self.voice)
        return replace(memory, stage="prompt", digits="")

    def _remark(self, turn: Turn, memory: QuestionMemory, prompt: str) -> QuestionMemory:
        """Say something first, then ask again."""
        if not prompt:
            return self._ask(turn, memory)
        turn.say(prompt, voice=self.voice)
        return replace(memory, stage="remark", digits="")

    def _wrong(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        memory = replace(memory, wrong=memory.wrong + 1)
        if memory.wrong >= TIMES_WRONG:
            turn.fire("no_match")
            return memory
        return self._remark(turn, memory, self.no_match)

    def _key(self, turn: Turn, memory: QuestionMemory, digit: str) -> QuestionMemory:
        raise AssertionError(f"{self.name} takes no keys")

    def _pause_over(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        memory = replace(memory, silences=memory.silences + 1)
        if memory.silences >= self.silence_prompts:
            turn.fire("silence")
            return memory
        return self._remark(turn, memory, self.no_input)

    def handle(self, turn: Turn, memory: QuestionMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable():
                return self._said(turn, memory)
            case Silence():
                return self._pause_over(turn, memory)
            case Key(digit=digit):
                return self._key(turn, memory, digit)
            case Voice() if self.voice and not memory.digits:
                turn.hear_out()
                return replace(memory, stage="hearing")
            case HeardOut():
                return self._spoken(turn, memory)
            case _:
                turn.ignore("unhandled")
        return memory

    def _said(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        if memory.stage == "remark":
            return self._ask(turn, memory)
        if memory.stage == "prompt" and self.hint:
            turn.say(self.hint, voice=self.voice)
            return replace(memory, stage="hint")
        turn.listen(self.pause)
        return replace(memory, stage="pause")

    def _spoken(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        memory = replace(memory, spoken=memory.spoken + 1)
        if memory.spoken >= TIMES_SPOKEN:
            turn.fire("spoke")
            return memory
        if self.speech:
            return self._remark(turn, memory, self.speech)
        if self.hint:
            turn.say(self.hint, voice=self.voice)
            return replace(memory, stage="hint")
        return self._ask(turn, memory)


@dataclass(frozen=True, slots=True)
class Ask(Question):
    """A question answered by one key. `*` repeats it; `0` is a person where the flow allows."""

    name: ClassVar[str] = "ask"
    keys: tuple[tuple[str, Choice], ...] = ()

    def triggers(self) -> frozenset[str]:
        spoken = {"spoke"} if self.voice else set()
        return frozenset({"silence", "no_match", *spoken, *(c.trigger for _, c in self.keys)})

    def _key(self, turn: Turn, memory: QuestionMemory, digit: str) -> QuestionMemory:
        for key, choice in self.keys:
            if key == digit:
                choice.take(turn)
                return memory
        if digit == "*":
            return self._ask(turn, memory)
        if digit == "0" and turn.handles("person"):
            turn.fire("person")
            return memory
        return self._wrong(turn, memory)


@dataclass(frozen=True, slots=True)
class Collect(Question):
    """A number keyed digit by digit: `#` or a pause ends it, `*` starts it again."""

    name: ClassVar[str] = "collect"
    into: str = ""
    digits: tuple[int, int] = (1, 20)
    empty: str = ""

    def triggers(self) -> frozenset[str]:
        empty = {self.empty} if self.empty else set()
        spoken = {"spoke"} if self.voice else set()
        return frozenset({"collected", "silence", "no_match", *spoken, *empty})

    def _key(self, turn: Turn, memory: QuestionMemory, digit: str) -> QuestionMemory:
        if digit == "*":
            return self._ask(turn, memory)
        if digit == "#":
            return self._complete(turn, memory)
        memory = replace(memory, digits=memory.digits + digit, stage="pause")
        if len(memory.digits) == self.digits[1]:
            return self._complete(turn, memory)
        turn.listen(BETWEEN_DIGITS)
        return memory

    def _complete(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        if not memory.digits and self.empty:
            turn.set(self.into, "")
            turn.fire(self.empty)
            return memory
        if len(memory.digits) < self.digits[0]:
            return self._wrong(turn, memory)
        turn.set(self.into, memory.digits)
        turn.fire("collected")
        return memory

    def _pause_over(self, turn: Turn, memory: QuestionMemory) -> QuestionMemory:
        if memory.digits:
            return self._complete(turn, memory)
        return Question._pause_over(self, turn, memory)
