"""The closed registry of activities, and how their settings are read from a flow file.

Rules this module keeps:

- A state names one of these activities; no other name in a file ever becomes code.
- A setting is read by the type of the activity's field. Problems are told with file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ivr.activity import Activity, Choice, Choose, End, Keep, PickUp, Ring
from ivr.asking import Ask, Collect
from ivr.bridging import Bridge, LetGo
from ivr.briefing import Brief, HandOver, Part
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
from ivr.events import Values
from ivr.speaking import Ladder, Say, Step
from ivr.transferring import Survey, Transfer
from ivr.waiting import Record, Wait

KEYS = "0123456789*#"
"""The keys of a telephone."""


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


def _parts(value: Value) -> tuple[Part, ...]:
    if not isinstance(value, Seq) or not value:
        raise bad(value, "F134", "a note needs parts", "write [{say: prompt, needs: slot}, …]")
    parts = []
    for item in value:
        if not isinstance(item, Map) or "say" not in item:
            raise bad(item, "F134", "a part of a note says something", "write {say: prompt}")
        problems = known_keys(item, (field.name for field in fields(Part)))
        if problems:
            raise BadFile(problems)
        words = {str(key): _text(item[key]) for key in item if key != "seconds"}
        length = {"seconds": seconds(item["seconds"])} if "seconds" in item else {}
        parts.append(Part(**words, **length))  # type: ignore[arg-type]
    return tuple(parts)


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
    "tuple[Part, ...]": _parts,
    "tuple[tuple[str, Choice], ...]": _choices,
}
"""How a setting is read, by the type of its field."""

REGISTRY: Mapping[str, type[Activity]] = {
    kind.name: kind
    for kind in (
        *(Choose, Ring, PickUp, End, Keep),
        *(Say, Ladder, Ask, Collect, Record, Wait),
        *(Survey, Transfer, Bridge, LetGo, Brief, HandOver),
    )
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
    missing = [
        p for p in ("prompt", "steps", "parts", "into", "what") if getattr(made, p, "x") in ("", ())
    ]
    if kind is Record and "prompt" in missing:
        missing.remove("prompt")
    if missing:
        what = f"'{kind.name}' needs '{missing[0]}'"
        raise bad(at, "F133", what, f"add {missing[0]}: …")
    return made
