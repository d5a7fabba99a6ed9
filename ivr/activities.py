"""What a state of a flow does while the call is in it: a closed registry of activities.

Rules this module keeps:

- Pure, like the machine that uses it: an activity is told that it was entered, and what happened
  since; it asks the turn for actions and fires triggers. It never waits.
- An activity's own memory (how often it has prompted, which digits were keyed) is one frozen,
  hashable value, so that the state of a call stays one.
- No-input, no-match and speech are counted apart (VoiceXML). Settings are named by what the
  caller hears: `silence_prompts: 2` means that a silent caller hears the question twice.
- A pause begins when our own prompt ends.
- The digit that interrupts a prompt is the first digit of the answer.
- A caller who speaks is heard out before anything else is said.
- Key hints are prompts of their own after the prescribed sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

from ivr.document import (
    BadFile,
    Map,
    Seq,
    Text,
    Value,
    bad,
    known_keys,
    seconds,
    truth,
    whole,
)
from ivr.events import (
    Answered,
    Event,
    Found,
    HeardOut,
    Key,
    LookupFailed,
    Noise,
    NotFound,
    Recorded,
    Rung,
    Said,
    Silence,
    Stored,
    StoreFailed,
    TimerFired,
    Unplayable,
    Values,
    Voice,
)

KEYS = "0123456789*#"
DIGITS = "0123456789"
TIMES_WRONG = 3
"""How many keys that fit no choice a caller may press before the flow is told."""
TIMES_SPOKEN = 2
"""How many spoken answers to a question for a key before the flow is told."""
MESSAGE = "message"
"""What a recording is called that is somebody's message, and no name or the like."""
BETWEEN_DIGITS = 5.0
"""Seconds without a digit that end a number."""


class Turn(Protocol):
    """What an activity may ask for during one step. Made by `ivr.call`."""

    saying: bool
    """Whether a prompt of ours is playing."""

    def slot(self, name: str) -> str: ...
    def fill(self, template: str) -> str: ...
    def set(self, name: str, value: str) -> None: ...
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
    def keep(self, kind: str, values: Values, within: str) -> None: ...


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
        turn.keep(turn.fill(self.kind), values, self.within)
        return Memory()

    def handle(self, turn: Turn, memory: Memory, event: Event) -> Memory:
        match event:
            case Stored(reference=reference):
                turn.set("reference", reference)
                turn.fire("kept")
            case StoreFailed():
                turn.fire("lost")
            case Key(digit=digit):
                turn.leave_pending(digit)
            case _:
                turn.ignore("unhandled")
        return memory


# ---------------------------------------------------------------- saying


@dataclass(frozen=True, slots=True)
class SayMemory(Memory):
    spoke: bool = False


@dataclass(frozen=True, slots=True)
class Say(Activity):
    """Say one prompt. A key ends it and is kept for the next question; a caller who speaks
    meanwhile is heard out afterwards."""

    name: ClassVar[str] = "say"
    prompt: str = ""

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
                turn.leave_pending(digit)
                turn.fire("said")
            case Voice():
                return replace(memory, spoke=True)
            case _:
                turn.ignore("unhandled")
        return memory


# ---------------------------------------------------------------- silence ladders


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


# ---------------------------------------------------------------- questions


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


# ---------------------------------------------------------------- recording


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


# ---------------------------------------------------------------- hold


@dataclass(frozen=True, slots=True)
class WaitMemory(Memory):
    """`said` is whether our voice is silent now; `result` is what the lookup brought while
    something was being said."""

    lookup: int
    limit: int
    sign: int
    said: bool = False
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
            case Said() | Unplayable():
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
                return replace(memory, said=False, sign=sign)
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


# ---------------------------------------------------------------- reading them from files


def _text(value: Value) -> str:
    if not isinstance(value, Text):
        raise bad(value, "F103", "a word is expected here", "write one word or sentence")
    return str(value)


def _key(value: Value) -> str:
    if not isinstance(value, Text) or value not in KEYS or len(value) != 1:
        raise bad(value, "F130", f"'{value}' is no key of a telephone", f"use one of {KEYS}")
    return str(value)


def _choice(value: Value) -> Choice:
    if isinstance(value, Text):
        return Choice(str(value))
    if not isinstance(value, Map) or "trigger" not in value:
        raise bad(value, "F131", "a key needs a trigger", 'write "1": name or {trigger: name}')
    problems = known_keys(value, ("trigger", "set"))
    if problems:
        raise BadFile(problems)
    return Choice(_text(value["trigger"]), slots(value["set"]) if "set" in value else ())


def slots(value: Value) -> Values:
    """Slot names with their (unfilled) values, from a mapping in a file. Raises BadFile."""
    if not isinstance(value, Map):
        raise bad(value, "F103", "slots are a mapping", "write {name: value}")
    return tuple((str(name), _text(text)) for name, text in value.items())


def _choices(value: Value) -> tuple[tuple[str, Choice], ...]:
    if not isinstance(value, Map):
        raise bad(value, "F131", "keys are a mapping", 'write {"1": trigger, …}')
    return tuple((_key(_place(key)), _choice(choice)) for key, choice in value.items())


def _place(key: str) -> Text:
    assert isinstance(key, Text)
    return key


def _names(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Seq):
        raise bad(value, "F103", "a list is expected here", "write [one, two]")
    return tuple(_text(name) for name in value)


def _steps(value: Value) -> tuple[Step, ...]:
    if not isinstance(value, Seq) or not value:
        raise bad(value, "F132", "a ladder needs steps", "write [{say: prompt, pause: 3 s}, …]")
    steps = []
    for item in value:
        if not isinstance(item, Map) or not item:
            raise bad(item, "F132", "a step is a prompt, a pause or both", "write {say: …}")
        problems = known_keys(item, ("say", "pause"))
        if problems:
            raise BadFile(problems)
        steps.append(
            Step(
                _text(item["say"]) if "say" in item else "",
                seconds(item["pause"]) if "pause" in item else 0.0,
            )
        )
    return tuple(steps)


def _range(value: Value) -> tuple[int, int]:
    least, dash, most = _text(value).partition("-")
    if not isinstance(value, Text):
        raise bad(value, "F103", "a number of digits is expected here", "write 9 or 4-12")
    low = whole(Text.at(least.strip(), value.path, value.line), 1, 30)
    high = whole(Text.at(most.strip(), value.path, value.line), low, 30) if dash else low
    return low, high


READERS: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": lambda value: whole(value, 1, 20),
    "float": seconds,
    "bool": truth,
    "tuple[int, int]": _range,
    "tuple[str, ...]": _names,
    "tuple[Step, ...]": _steps,
    "tuple[tuple[str, Choice], ...]": _choices,
}
"""How a setting is read, by the type of its field."""

REGISTRY: Mapping[str, type[Activity]] = {
    kind.name: kind
    for kind in (Choose, Ring, PickUp, End, Keep, Say, Ladder, Ask, Collect, Record, Wait)
}


def settings(kind: type[Activity]) -> dict[str, str]:
    """The names a file may use for an activity's settings, with the type of each."""
    return {field.name: str(field.type) for field in fields(kind)}


def activity(kind: type[Activity], at: Map) -> Activity:
    """The activity with the settings in a file. Raises BadFile."""
    allowed = settings(kind)
    problems = known_keys(at, allowed)
    if problems:
        raise BadFile(problems)
    values = {str(name): READERS[allowed[name]](value) for name, value in at.items()}
    made = kind(**values)
    missing = [p for p in ("prompt", "steps", "into", "what") if getattr(made, p, "x") in ("", ())]
    if kind is Record and "prompt" in missing:
        missing.remove("prompt")
    if missing:
        what = f"'{kind.name}' needs '{missing[0]}'"
        raise bad(at, "F133", what, f"add {missing[0]}: …")
    return made
