"""The good manners of reports: by an agent for the caller, and of an agent's mistake. They are
stored first, with a number to call, and said then.

Rules this module keeps:

- Pure, like all monitors (`ivr.monitor`).
- Which code reports what is the line's own (`keeps:` of its features).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ivr.actions import Action, HangUp, Keep, Resume, Say
from ivr.events import Event, FeatureAsked, HungUp, Key, Recorded, Stored, StoreFailed
from ivr.monitor import Monitor
from ivr.staff import BACK, KEPT, Feature


@dataclass(slots=True)
class Reported(Monitor):
    """What an agent reports by a code is told to the caller once it is stored, with the number to
    be called. Who has no such number is asked to stay on the line, and is not parted with before
    it is kept; where nothing could be stored, nothing is promised."""

    clauses = ("XJCA-6.2b", "LKL-5.4")
    watches = (FeatureAsked, Keep, Stored, StoreFailed, Say, Resume, HangUp, HungUp)
    code: Feature | None = None
    said: str = ""
    keeping: dict[int, tuple[str, bool]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    owed: str = ""
    failed: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case FeatureAsked(feature=name) if name != BACK:
                found = self.line.staff.features.get(name)
                self.code = found if found is not None and found.keeps else None
                self.said, self.failed = "", False
            case Keep(id=number, kind=kind, values=values):
                self.keeping[number] = kind, "contact" in dict(values)
            case Stored(id=number) if number in self.keeping:
                kind, reached = self.keeping.pop(number)
                self.stored.add(kind)
                self.reached |= {kind} if reached else set()
            case StoreFailed():
                self.failed = True
            case Say(prompt=prompt):
                self.said = prompt
                if self._reports(prompt):
                    kept = prompt.removeprefix(KEPT) in self.reached
                    self.mark(kept, at, f"'{prompt}'; kept with a number before: {kept}")
            case Resume() if self.code is not None:
                self._resumed(at, self.code)
            case HangUp() | HungUp():
                self.code = None
            case _:
                pass

    def finish(self, at: float) -> None:
        if self.owed:
            kept = self.owed in self.stored or self.failed
            self.mark(kept, at, f"'{self.owed}' was owed; kept: {kept}")

    def _reports(self, prompt: str) -> bool:
        return any(prompt in one.says for one in self.line.staff.features.values() if one.keeps)

    def _resumed(self, at: float, code: Feature) -> None:
        """The two talk on: the report is kept, or owed, or the caller knows that it is lost."""
        if code.keeps not in self.stored and not self.failed:
            self.owed = code.keeps
            self.mark(
                bool(self.said), at, f"'{code.keeps}' is owed; the caller heard '{self.said}'"
            )
        self.code = None


@dataclass(slots=True)
class Assured(Monitor):
    """Who was assured that a mistake of an agent's will be reported to the supervisor, and agreed,
    is asked for anything else only when what they said about it is stored."""

    clauses = ("LKL-5.6",)
    watches = (Say, Key, Recorded, Stored, StoreFailed)
    asked: bool = False
    agreed: bool = False
    recorded: bool = False
    stored: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt="complaint.mistake"):
                self.asked, self.agreed = True, False
                self.recorded = self.stored = False
            case Key(digit=digit) if self.asked:
                self.asked, self.agreed = False, digit == "1"
            case Recorded(recording=recording):
                self.recorded = self.recorded or bool(recording)
            case Stored():
                self.stored = True
            case StoreFailed():
                self.agreed = False  # the caller is told so, by another rule
            case Say(prompt="closing.anything_else") if self.agreed:
                if self.recorded:
                    self.mark(self.stored, at, f"the mistake was told; stored: {self.stored}")
                self.agreed = False
            case _:
                pass
