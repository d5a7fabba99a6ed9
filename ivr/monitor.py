"""What a monitor is: something that watches one rule of good manners over one call.

Rules this module keeps:

- Pure: a monitor sees the events and actions of one call with their times, in order, and gives
  marks. It never changes anything. It says which kinds it `watches`, and is told no others.
- A mark always says why: what was heard, and when. A rule that had no occasion gives no mark.
- `slack` is how late real time may be, in seconds; virtual time is never late.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ivr.actions import Action
from ivr.events import Event
from ivr.flow import Line

SIGN_OF_LIFE = 30.0
"""Seconds between the beginnings of two things said to a caller who waits."""
GOODBYES = frozenset({"closing.goodbye", "closing.rate", "goodbye.message", "goodbye.wrong_number"})
"""Prompts after which we may hang up once the caller has lingered."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One rule's verdict on one occasion."""

    clauses: tuple[str, ...]
    kept: bool
    at: float
    evidence: str

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "BROKEN"
        return f"{'/'.join(self.clauses)} {verdict} at {self.at:.2f} s: {self.evidence}"


@dataclass(slots=True)
class Monitor:
    """Watches one rule. `see` is told all that it `watches`; `marks` holds the verdicts so far."""

    clauses: ClassVar[tuple[str, ...]] = ()
    watches: ClassVar[tuple[type, ...]] = (object,)
    line: Line
    slack: float = 0.0
    marks: list[Mark] = field(default_factory=list)

    def see(self, at: float, what: Event | Action) -> None:
        """Something happened at `at` seconds."""
        raise AssertionError("a monitor watches something")

    def finish(self, at: float) -> None:
        """The call is over."""

    def mark(self, kept: bool, at: float, evidence: str) -> None:
        self.marks.append(Mark(self.clauses, kept, at, evidence))
