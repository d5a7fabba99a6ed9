"""Events and actions as JSON and back, exactly.

Rules this module keeps:

- Pure, and closed: only the classes of `ivr.events` and `ivr.actions` are written and read, by
  their class name; nothing in a journal can make another class.
- Canonical: equal values give the same bytes, so that a replay can be compared byte for byte.
  Every field is written, sorted by name; a float stays a float (`3.0`, never `3`).
- Exact: what was written is read back equal, bytes from hostile callers included.
- Reading is tolerant in one way only: a field that the journal does not have yet takes its
  default, so that old journals can be read when a class has grown.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ivr import actions, events
from ivr.actions import Action, Foreground
from ivr.events import Answer, Event

Side = Literal["event", "action"]


class CodecError(ValueError):
    """A value that cannot be written into a journal, or a journal's text that makes no sense."""


_SETTINGS: dict[str, Any] = {"allow_nan": False, "sort_keys": True, "separators": (",", ":")}
_READABLE = json.JSONEncoder(ensure_ascii=False, **_SETTINGS).encode
_ASCII = json.JSONEncoder(ensure_ascii=True, **_SETTINGS).encode


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, readable; plain ASCII only where a
    lone surrogate leaves no other way. Raises CodecError for what JSON cannot say (NaN …)."""
    try:
        text = _READABLE(value)
    except (TypeError, ValueError) as error:
        raise CodecError(f"this cannot be written as JSON: {error}") from None
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _ASCII(value)
    return text


# ---------------------------------------------------------------- one field

Convert = Callable[[Any], Any]


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise CodecError(f"{value!r} is not text")
    return value


def _whole(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CodecError(f"{value!r} is not a whole number")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CodecError(f"{value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise CodecError("the number is too large") from None
    if not math.isfinite(number):
        raise CodecError(f"{value!r} is not a finite number")
    return number


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise CodecError(f"{value!r} is neither true nor false")
    return value


def _nothing(value: Any) -> Any:
    if value is not None:
        raise CodecError(f"{value!r} is not null")
    return None


_PLAIN: dict[Any, Convert] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
    type(None): _nothing,
}


def _converter(hint: Any) -> Convert:
    """A function that checks a value of this type, and makes JSON's lists into tuples."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return _many(_converter(inner[0]))
        return _few(tuple(_converter(one) for one in inner))
    if origin in (Union, types.UnionType):
        return _either(tuple(_converter(one) for one in inner))
    if origin is Literal:
        return _one_of(inner)
    raise TypeError(f"a field of type {hint} cannot be journalled; teach ivr.codec")


def _many(one: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise CodecError(f"{value!r} is not a list")
        return tuple([one(item) for item in value])

    return convert


def _few(each: tuple[Convert, ...]) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, tuple | list) or len(value) != len(each):
            raise CodecError(f"{value!r} is not a list of {len(each)}")
        return tuple([one(item) for one, item in zip(each, value, strict=True)])

    return convert


def _either(each: tuple[Convert, ...]) -> Convert:
    def convert(value: Any) -> Any:
        for one in each:
            try:
                return one(value)
            except CodecError:
                continue
        raise CodecError(f"{value!r} fits none of the types allowed")

    return convert


def _one_of(allowed: tuple[Any, ...]) -> Convert:
    def convert(value: Any) -> Any:
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise CodecError(f"{value!r} is none of {allowed}")
        return value

    return convert


# ---------------------------------------------------------------- the closed sets


def _classes(base: type, module: types.ModuleType, abstract: set[type]) -> dict[str, type]:
    def below(kind: type) -> Iterator[type]:
        children: list[type] = kind.__subclasses__()
        for child in children:
            yield child
            yield from below(child)

    return {
        kind.__name__: kind
        for kind in below(base)
        if kind.__module__ == module.__name__
        and is_dataclass(kind)
        and kind not in abstract
        # `slots=True` makes a class twice; only the one that the module knows counts
        and getattr(module, kind.__name__, None) is kind
    }


def _fields(kind: type) -> tuple[tuple[str, Convert, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (one.name, _converter(hints[one.name]), one.default is MISSING) for one in fields(kind)
    )


EVENTS: Mapping[str, type[Event]] = _classes(Event, events, {Answer})
ACTIONS: Mapping[str, type[Action]] = _classes(Action, actions, {Foreground})
_FIELDS = {kind: _fields(kind) for kind in (*EVENTS.values(), *ACTIONS.values())}


def side(what: Event | Action) -> Side:
    """Which of the two closed sets a value belongs to."""
    return "event" if isinstance(what, Event) else "action"


def encode(what: Event | Action) -> str:
    """The canonical JSON text of an event's or action's fields. Raises CodecError."""
    known = _FIELDS.get(type(what))
    if known is None:
        raise CodecError(f"{type(what).__name__} is no event or action that can be journalled")
    try:
        return canonical({name: convert(getattr(what, name)) for name, convert, _ in known})
    except CodecError as error:
        raise CodecError(f"{type(what).__name__}: {error}") from None


def decode(which: str, name: str, data: str) -> Event | Action:
    """The event or action that was written. Raises CodecError."""
    kinds: Mapping[str, type[Any]] = {"event": EVENTS, "action": ACTIONS}.get(which, {})
    kind = kinds.get(name)
    if kind is None:
        raise CodecError(f"there is no {which} '{name}'")
    try:
        found = json.loads(data)
    except json.JSONDecodeError as error:
        raise CodecError(f"{name}: this is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise CodecError(f"{name}: this is not a JSON object")
    values = {}
    for field_name, convert, needed in _FIELDS[kind]:
        if field_name in found:
            values[field_name] = convert(found.pop(field_name))
        elif needed:
            raise CodecError(f"{name}: '{field_name}' is missing")
    if found:
        raise CodecError(f"{name}: '{next(iter(found))}' is unknown")
    made = kind(**values)
    assert isinstance(made, Event | Action)
    return made
