"""What may happen to a call next: everything that the world outside could do now.

Rules this module keeps:

- Pure. Whatever may happen is offered at any moment and in any order: lengths of time mean nothing
  here. What is offered follows from what the call asked for (`ivr.outside`), and what the caller
  may key from the settings of the activity that is listening.
- Each chance says whether it is `sure`: whether it comes by itself though nobody, neither caller
  nor agent nor back end, does anything. A call must never hang on what is not sure.
- Values that come in are few and always the same, so that an exploration closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ivr import events
from ivr.activity import Activity
from ivr.asking import Ask, Collect
from ivr.call import Call
from ivr.events import Event, Key, Values
from ivr.flow import Line
from ivr.outside import BACK, Outside

BEFORE_ANSWER = ("busy", "no_answer", "unreachable", "failed", "dropped")
"""Why a phone that rings comes to nothing."""
AFTER_ANSWER = ("refused", "no_key", "dropped", "failed")
"""Why an agent who hears the note does not take the call."""
SPOKEN = frozenset({"Say", "Listen", "Music", "PlayRecording"})
"""What a voice of the caller's is heard over."""
PHONE = "13812345678"
ITEM = "473124829"
"""Nine digits with the check digit of the S10 standard."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Something that may happen now: one event, or several at one go (a whole number keyed)."""

    events: tuple[Event, ...]
    sure: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What the world has to choose from. `plain` offers things that come to the same only once: one
    reason why a phone comes to nothing, no prompt that cannot be played, nobody ahead in the line.
    `polite` leaves only what lies on a straight way: nobody hangs up or is silent, nothing fails.
    """

    agents: tuple[str, ...] = ("801",)
    keys: tuple[str, ...] = ("1", "9")
    numbers: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"contact": (PHONE, "11111"), "item": (ITEM, "1111")}
    )
    plain: bool = False
    polite: bool = False


def chances(line: Line, call: Call, outside: Outside, world: World) -> Iterator[Chance]:
    """Everything that may happen to `call` now."""
    activity = _activity(line, call)
    if not world.polite and not outside.gone:
        yield Chance((events.HungUp(),))
        yield Chance((events.EndAsked(),))
    yield from _foreground(outside, world)
    if not outside.gone and (not outside.bridge or outside.ear):
        yield from (Chance(pressed) for pressed in _keys(activity, outside, world))
        if outside.foreground[0] in SPOKEN and not world.polite:
            yield Chance((events.Voice(),))
        if outside.foreground[0] == "Say" and not world.polite:
            yield Chance((events.Noise(),))
    yield from _background(line, outside, world)
    yield from _people(line, outside, world)


def _activity(line: Line, call: Call) -> Activity | None:
    if not call.frames:
        return None
    top = call.frames[-1]
    return line.flows[top.flow].states[top.state].activity


# ---------------------------------------------------------------- the caller's ear


def _foreground(outside: Outside, world: World) -> Iterator[Chance]:
    kind, number = outside.foreground
    match kind:
        case "Ring":
            yield _sure(events.Rung(number, 5.0))
        case "PickUp":
            yield _sure(events.Answered(number, 5.0))
        case "Say" | "PlayRecording":
            yield _sure(events.Said(number))
            if not world.polite and not world.plain:
                yield _sure(events.Unplayable(number))
        case "Listen":
            yield _sure(events.Silence(number))
        case "HearOut":
            yield _sure(events.HeardOut(number))
        case "Record":
            yield _sure(events.Recorded(number, "said", 3.0))
            if not world.polite:
                yield _sure(events.Recorded(number, "", 0.0, "silent", "silence"))
                yield Chance((events.Recorded(number, "said", 3.0, "noisy"),))
                over = events.Recorded(number, "said", 3.0, ended_by="hangup")
                yield Chance((over, events.HungUp()))
        case _:
            pass


def _keys(activity: Activity | None, outside: Outside, world: World) -> Iterator[tuple[Key, ...]]:
    """What the caller may press, as far as it makes a difference to who is listening."""
    if outside.foreground[0] in ("Record", "Ring", "PickUp", ""):
        return
    match activity:
        case Ask(keys=keys):
            known = {key for key, _ in keys}
            more = () if world.polite else ("*", "0", _another(known))
            yield from ((Key(key),) for key in dict.fromkeys((*known, *more)))
        case Collect(into=into, digits=(least, _)):
            for number in world.numbers.get(into, ("1" * least,)):
                yield (*(Key(digit) for digit in number), Key("#"))
            if not world.polite:
                yield (Key("*"),)
                yield (Key("#"),)
                yield (Key("1"),)
        case _:
            own = getattr(activity, "leave_key", "")
            yield from ((Key(key),) for key in dict.fromkeys((*world.keys, *own)))


def _another(known: Iterable[str]) -> str:
    """A key that is none of these."""
    return next(key for key in "5678#" if key not in known)


# ---------------------------------------------------------------- what runs meanwhile


def _background(line: Line, outside: Outside, world: World) -> Iterator[Chance]:
    for number, _ in outside.timers:
        yield _sure(events.TimerFired(number))
    for number, name in outside.lookups:
        for values in _answers(line, name):
            yield Chance((events.Found(number, values),))
        if not world.polite:
            yield Chance((events.NotFound(number),))
            yield Chance((events.LookupFailed(number, "down"),))
    for number, kind in outside.keeps:
        yield _sure(events.Stored(number, f"kept-{kind}"))
        if not world.polite:
            yield _sure(events.StoreFailed(number))
    for number in outside.surveys:
        yield _sure(events.Surveyed(number, staffed=True))
        if not world.polite:
            yield _sure(events.Surveyed(number))
            if not world.plain:
                yield _sure(events.Surveyed(number, staffed=True, ahead=2, minutes=6))


def _answers(line: Line, name: str) -> Iterator[Values]:
    """What a lookup may bring: the first value of each of its fields, and where several items are
    to be told apart, two."""
    results = line.lookups[name].results
    single = tuple((slot, values[0]) for slot, values in results.items() if slot[-2:] != "_2")
    yield single
    if len(single) < len(results):
        yield tuple((slot, values[0]) for slot, values in results.items())


# ---------------------------------------------------------------- people


def _people(line: Line, outside: Outside, world: World) -> Iterator[Chance]:
    if outside.place and not outside.gone:
        if not outside.claims:
            yield from (Chance((events.Claimed(outside.place, agent),)) for agent in world.agents)
        yield Chance((events.Placed(outside.place, 1, 3),))
        yield Chance((events.Unstaffed(outside.place),))
    for leg in outside.legs:
        match leg.stage:
            case "ringing":
                yield Chance((events.AgentAnswered(leg.id),))
                yield from _fails(leg.id, BEFORE_ANSWER, world)
            case "briefing":
                yield Chance((events.AgentAccepted(leg.id),))
                yield from _fails(leg.id, AFTER_ANSWER, world)
            case "accepted" | "bridged":
                yield Chance((events.AgentGone(leg.agent),))
            case _:
                pass
    if outside.bridge:
        yield from _conversation(line, outside)


def _fails(leg: int, reasons: tuple[str, ...], world: World) -> Iterator[Chance]:
    """A phone does not ring for ever and a note comes to its end, whatever the agent does."""
    for reason in reasons[:1] if world.plain else reasons:
        yield _sure(events.AgentFailed(leg, reason))


def _conversation(line: Line, outside: Outside) -> Iterator[Chance]:
    talking = any(leg.stage == "bridged" for leg in outside.legs)
    if outside.ear:
        if talking and BACK in line.staff.features:
            yield Chance((events.FeatureAsked(BACK),))
        return
    yield _sure(events.BridgeOver(outside.bridge, "agent", 60.0))
    if not outside.begun:
        yield Chance((events.BridgeOver(outside.bridge, "failed", 0.0),))
    if talking:
        yield from (Chance((events.FeatureAsked(name),)) for name in line.staff.features)


def _sure(event: Event) -> Chance:
    return Chance((event,), sure=True)
