"""What fills the gaps in a text: numbers, letters, times, dates, and how a person is addressed.

Rules this module keeps:

- A value is said with parts recorded beforehand, named here and written in
  `prompts/common.yaml`; a value that they cannot say is an error, never a silence.
- 1 is 幺 in a number that is noted down, 2 is 两 in a quantity.
- Only `{addressee}` may be empty, and it takes its comma along.
- Pure: no file, no sound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

COMMAS = ",，、;；:："
STOPS = "。.！!？?"
ADDRESSEE = "addressee"
MOST = 60
"""The greatest quantity that can be said; whoever waits for longer hears this one."""


class SlotError(ValueError):
    """A slot of a text has no value, or one that cannot be spoken."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a text that is filled during the call: its name, and what kind of value."""

    name: str
    kind: str


Piece = str | Slot


def render(pieces: tuple[Piece, ...], values: Mapping[str, str]) -> str:
    """The text as read by a person, with its slots filled by `values` (by slot name).

    An empty addressee goes together with one comma: the one after it at the start of a sentence
    or after another comma, the one before it at the end. Between words ("好的{addressee},请…")
    the comma stays, as it parts the words.
    """
    text = ""
    takes_comma = False
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            text += piece.lstrip(COMMAS) if takes_comma else piece
            takes_comma = False
            continue
        value = values[piece.name]
        text += value
        if value:
            continue
        rest = pieces[at + 1] if at + 1 < len(pieces) else ""
        after = rest if isinstance(rest, str) else "{"
        if after[:1] and after[0] in COMMAS and (not text or text[-1] in COMMAS + STOPS):
            takes_comma = True
        elif text and text[-1] in COMMAS and (not after or after[0] in STOPS):
            text = text[:-1]
    return text


def spell(kind: str, value: str) -> list[str]:
    """The names of the common parts that say a slot's value. Raises SlotError."""
    spelling = {
        "digits": _digits,
        "count": _count,
        "letters": _letters,
        "time": _time,
        "date": _date,
    }[kind]
    return spelling(value.strip())


KINDS: dict[str, tuple[str, ...]] = {
    "digits": tuple(
        f"digit.{number}{end}"
        for number in (*range(10), *(f"{n:02d}" for n in range(100)))
        for end in ("", ".end")
    ),
    "count": tuple(f"count.{n}" for n in range(MOST + 1)),
    "letters": tuple(f"letter.{chr(n)}" for n in range(ord("a"), ord("z") + 1)),
    "time": (
        *(f"time.{part}" for part in ("night", "morning", "noon", "afternoon", "evening")),
        *(f"time.hour.{n}" for n in range(13)),
        *(f"time.minute.{n}" for n in range(1, 10)),
        *(f"time.{part}" for part in ("half", "minutes")),
    ),
    "date": (
        *(f"date.month.{n}" for n in range(1, 13)),
        *(f"date.day.{n}" for n in range(1, 32)),
    ),
}
"""The kinds of slot, and the common texts each is assembled from."""


def _digits(value: str) -> list[str]:
    number = re.sub(r"[ +\-]", "", value)
    if not re.fullmatch(r"[0-9]{1,32}", number):
        raise SlotError(f"'{value}' is not a number to be read digit by digit")
    names: list[str] = []
    for group in _groups(number):
        pairs = [group[at : at + 2] for at in range(0, len(group), 2)]
        names += [f"digit.{pair}" for pair in pairs]
        names[-1] += ".end"
    return names


def _groups(number: str) -> list[str]:
    """A number in groups to pause between, as numbers are said here: 138 0013 8000."""
    length = len(number)
    if length == 11:
        sizes = [3, 4, 4]
    elif length <= 5:
        sizes = [length]
    else:
        size = 3 if length % 3 == 0 else 4
        sizes = [size] * (length // size)
        rest = length - sum(sizes)
        if rest == 1:
            sizes[-1] += 1
        elif rest:
            sizes.append(rest)
    ends = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    return [number[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _count(value: str) -> list[str]:
    if not re.fullmatch(r"[0-9]{1,2}", value) or int(value) > MOST:
        raise SlotError(f"'{value}' is not a whole number from 0 to {MOST}")
    return [f"count.{int(value)}"]


def _letters(value: str) -> list[str]:
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", value):
        raise SlotError(f"'{value}' is not letters and digits")
    return [f"digit.{sign}" if sign.isdigit() else f"letter.{sign.lower()}" for sign in value]


def _time(value: str) -> list[str]:
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value)
    if not match:
        raise SlotError(f"'{value}' is not a time of day such as 15:30")
    hour, minute = int(match[1]), int(match[2])
    starts = {0: "night", 6: "morning", 12: "noon", 13: "afternoon", 18: "evening"}
    period = starts[max(start for start in starts if start <= hour)]
    names = [f"time.{period}", f"time.hour.{hour if hour <= 12 else hour - 12}"]
    if minute == 30:
        names.append("time.half")
    elif minute >= 10:
        names += [f"count.{minute}", "time.minutes"]
    elif minute:
        names.append(f"time.minute.{minute}")
    return names


def _date(value: str) -> list[str]:
    match = re.fullmatch(r"(?:[0-9]{4}-)?(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])", value)
    if not match:
        raise SlotError(f"'{value}' is not a date such as 2026-11-24")
    return [f"date.month.{int(match[1])}", f"date.day.{int(match[2])}"]
