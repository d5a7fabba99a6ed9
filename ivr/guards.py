"""The questions a flow may ask about a call: a closed registry.

Rules this module keeps:

- A guard only looks: at the call's slots and at the line's settings. It has no side effects.
- Every name in a flow's `conditions` or `unless` is looked up here. Nothing in a flow file is
  ever imported or called by name, which is what `transitions` itself would do.
- A guard is written as a sentence: its name, then its arguments: `is topic query`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ivr.directory import may_call_back
from ivr.document import Text, bad
from ivr.staff import Staff


class Lookup(Protocol):
    """What a guard may know of a lookup."""

    @property
    def expected(self) -> float: ...


class Line(Protocol):
    """What a guard may know of a line."""

    @property
    def numbers(self) -> Mapping[str, str]: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    @property
    def lookups(self) -> Mapping[str, Lookup]: ...
    @property
    def long_hold(self) -> float: ...
    @property
    def staff(self) -> Staff: ...


class View(Protocol):
    """What a guard may know of a call."""

    @property
    def line(self) -> Line: ...
    @property
    def gone(self) -> bool: ...
    def slot(self, name: str) -> str: ...


Guard = Callable[[View], bool]


def s10(digits: str) -> bool:
    """Whether nine digits end in the check digit of the S10 standard (EMS-6)."""
    if not re.fullmatch(r"\d{9}", digits):
        return False
    total = sum(int(d) * w for d, w in zip(digits, (8, 6, 4, 2, 3, 5, 9, 7), strict=False))
    check = 11 - total % 11
    return int(digits[8]) == {10: 0, 11: 5}.get(check, check)


def _item_number(view: View) -> bool:
    number = view.slot("item")
    if view.line.settings.get("item_number") == "s10":
        return s10(number)
    return number.isdigit()


@dataclass(frozen=True, slots=True)
class Entry:
    """One guard: how many arguments it takes, and the question."""

    arguments: int
    ask: Callable[..., bool]


REGISTRY: dict[str, Entry] = {
    "late": Entry(0, lambda view: view.slot("late") == "yes"),
    "open": Entry(0, lambda view: view.slot("open") == "yes"),
    "gone": Entry(0, lambda view: view.gone),
    "maintenance": Entry(0, lambda view: view.slot("maintenance") == "yes"),
    "has": Entry(1, lambda view, slot: view.slot(slot) != ""),
    "is": Entry(2, lambda view, slot, value: view.slot(slot) == value),
    "setting": Entry(2, lambda view, name, value: view.line.settings.get(name) == value),
    "phone": Entry(1, lambda view, slot: may_call_back(view.slot(slot), view.line.numbers)),
    "item_number": Entry(0, _item_number),
    "agent": Entry(1, lambda view, slot: view.slot(slot) in view.line.staff.agents),
    "long_lookup": Entry(
        0, lambda view: view.line.lookups[view.slot("lookup")].expected > view.line.long_hold
    ),
}


def guard(sentence: Text) -> Guard:
    """The guard that a flow file names. Raises BadFile with the place of the name."""
    name, *arguments = sentence.split()
    entry = REGISTRY.get(name)
    if entry is None:
        known = ", ".join(sorted(REGISTRY))
        raise bad(sentence, "F120", f"there is no guard '{name}'", f"use one of {known}")
    if len(arguments) != entry.arguments:
        what = f"the guard '{name}' takes {entry.arguments} words, not {len(arguments)}"
        raise bad(sentence, "F121", what, "write the guard's name and then its words")
    return lambda view: entry.ask(view, *arguments)
