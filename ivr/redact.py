"""What people and logs may see of a number: its last four digits.

Rules this module keeps:

- Pure. The journal itself stays exact; this is applied where it is shown, logged or reported.
- A number keyed in arrives one key at a time, so a run of keys is masked like a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from ivr.events import Event, Key
from ivr.journal import Entry

SHOWN = 4
"""Digits that stay, at the end."""

SHORTEST = 7
"""Digits in a row that are taken for somebody's number; service and extension numbers, which
name nobody, are shorter."""

_RUN = re.compile(rf"\+?\d(?:[ -]?\d){{{SHORTEST - 1},}}")


def mask(number: str) -> str:
    """A number with all but its last four characters hidden: `*******8000`. Extensions of four
    digits or fewer stay as they are."""
    return "*" * max(0, len(number) - SHOWN) + number[-SHOWN:]


def masked(text: str) -> str:
    """A text with every run of seven or more digits hidden but for the last four."""
    return _RUN.sub(lambda match: mask(match[0]), text)


Thing = TypeVar("Thing")


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, tuple):
        return tuple(_redacted(one) for one in value)
    return value


def redact(what: Thing) -> Thing:
    """An event or action with the numbers in its texts masked."""
    changes = {
        one.name: new
        for one in fields(what)  # type: ignore[arg-type]
        if (new := _redacted(old := getattr(what, one.name))) != old
    }
    return replace(what, **changes) if changes else what  # type: ignore[type-var]


def redacted(entries: Sequence[Entry]) -> list[Entry]:
    """A journal fit to be shown: numbers in texts masked, and so are the keys of every run of
    five or more with no other event between them, all but the last four."""
    shown = [replace(entry, what=redact(entry.what)) for entry in entries]
    run: list[int] = []
    for place, entry in enumerate([*shown, None]):
        if entry is not None and isinstance(entry.what, Key):
            run.append(place)
        elif entry is None or isinstance(entry.what, Event):
            if len(run) > SHOWN:
                for one in run[:-SHOWN]:
                    shown[one] = replace(shown[one], what=Key("?"))
            run = []
    return shown
