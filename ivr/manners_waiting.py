"""The good manners of a wait: consent before it, a sign of life within it.

Rules this module keeps:

- Pure, like all monitors (`ivr.monitor`).
- It is the same wait whatever for: a lookup, an agent of ours, or an agent's hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ivr.actions import Action, Bridge, HangUp, JoinLine, LeaveLine, LookUp, Music, Resume, Say
from ivr.events import Event, HungUp, Key, Unstaffed
from ivr.monitor import SIGN_OF_LIFE, Monitor

WAITING = frozenset(
    {"hold.agreed", "hold.still_here", "bridged.agreed"}
    | {f"transfer.{name}" for name in ("begin", "still_here", "position", "next", "again")}
)
"""Prompts for one who has agreed to wait, and waits on."""
QUESTIONS = ("hold.ask", "bridged.ask", "transfer.ask")
"""How the prompts begin that ask whether the caller would wait."""


@dataclass(slots=True)
class Consent(Monitor):
    """Music only after the caller has agreed to wait, by key, or has asked for a person by key."""

    clauses = ("EMS-8", "LKL-3.1", "LKL-4.7", "XJCA-6.3a")
    watches = (Say, Key, Music)
    asked: bool = False
    agreed: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt=prompt) if prompt.startswith(QUESTIONS):
                self.asked, self.agreed = True, False
            case Say(prompt="transfer.direct"):
                self.asked, self.agreed = False, True
            case Key(digit=digit) if self.asked:
                self.asked, self.agreed = False, digit == "1"
            case Say(prompt=prompt) if prompt not in WAITING:
                self.agreed = False
            case Music():
                asked = "asked, and 1 was pressed" if self.agreed else "nobody agreed to wait"
                self.mark(self.agreed, at, asked)
            case _:
                pass


@dataclass(slots=True)
class Likely(Monitor):
    """Who is asked to wait for a lookup is told how long it is expected to take, where the line's
    question says that."""

    clauses = ("LKL-3.1",)
    watches = (Say, LookUp)
    said: str = ""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt="hold.ask", slots=slots):
                self.said = dict(slots).get("minutes", "")
            case LookUp(name=name) if self.said:
                minutes = str(self.line.lookups[name].minutes)
                told = f"told {self.said} minutes for '{name}', {minutes} are expected"
                self.mark(self.said == minutes, at, told)
                self.said = ""
            case _:
                pass


@dataclass(slots=True)
class SignsOfLife(Monitor):
    """A caller who waits hears from us at least every 30 seconds, from start to start: for a
    lookup, in the line, while a phone rings, while an agent hears the note, on an agent's hold."""

    clauses = ("EMS-9", "TEL-3.3")
    watches = (Say, Music, JoinLine, LeaveLine, Unstaffed, HangUp, HungUp, Bridge, Resume)
    spoke: float = 0.0
    waiting: bool = False
    in_line: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say():
                self._judge(at)
                self.spoke, self.waiting = at, self.in_line
            case Music():
                self.waiting = True
            case JoinLine():
                self.waiting = self.in_line = True
            case LeaveLine() | Unstaffed():
                self.in_line = False
            case HangUp() | HungUp() | Bridge() | Resume():
                self._judge(at)
                self.waiting = False
            case _:
                pass

    def _judge(self, at: float) -> None:
        if self.waiting:
            gap = at - self.spoke
            kept = gap <= SIGN_OF_LIFE + self.slack + 1e-6
            self.mark(kept, at, f"{gap:.2f} s since we last began to speak")
