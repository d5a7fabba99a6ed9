"""The good manners of a conversation with an agent: holds, warnings, and how long it lasts.

Rules this module keeps:

- Pure, like all monitors (`ivr.monitor`).
- Which code does what, and how long a conversation or a hold may last, is the line's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ivr.actions import Action, Bridge, CancelRing, HangUp, Music, Note, Resume, Say
from ivr.bridging import Bridge as Talk
from ivr.events import AgentGone, BridgeOver, EndAsked, Event, FeatureAsked, HungUp, Key
from ivr.monitor import SIGN_OF_LIFE, Monitor
from ivr.staff import BACK


@dataclass(slots=True)
class HoldInTheTalk(Monitor):
    """A caller whom an agent puts on hold has agreed, having heard the question that belongs to the
    code, and hears an apology on the return: never a return without a word. There is none to
    apologise for whose agent is gone."""

    clauses = ("LKL-1.3", "LKL-4.7", "XJCA-6.3a")
    watches = (Bridge, FeatureAsked, Key, Music, Say, AgentGone, CancelRing, Resume)
    questions: tuple[str, ...] = ()
    asked: bool = False
    agreed: bool = False
    held: bool = False
    last: str = ""
    alone: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Bridge():
                self.questions = ()
                self.asked = self.agreed = self.held = self.alone = False
            case FeatureAsked(feature=name) if name != BACK:
                self.questions, self.asked = tuple(self._questions(name)), False
            case Key(digit=digit) if self.asked and not self.held:
                self.agreed = digit == "1"
            case Music() if self.questions and not self.held:
                self.held = True
                said = f"asked by its own question: {self.asked}, agreed: {self.agreed}"
                self.mark(self.agreed, at, f"put on hold by the agent; {said}")
            case Say(prompt=prompt):
                self.last = prompt
                self.asked = self.asked or prompt in self.questions
            case AgentGone() | CancelRing():
                self.alone = True
            case Resume():
                if self.held and not self.alone:
                    kept = self.last in self._apologies()
                    self.mark(kept, at, f"back with the agent after '{self.last}'")
                self.questions = ()
                self.asked = self.agreed = self.held = False
            case _:
                pass

    def _questions(self, name: str) -> Iterator[str]:
        """How a caller may be asked who is put on hold by this code; nothing if it is another."""
        feature = self.line.staff.features.get(name)
        if feature is not None and feature.asks:
            yield feature.asks
        elif feature is not None and feature.holds:
            yield from (talk.ask for talk in self._talks())

    def _apologies(self) -> Iterator[str]:
        return (talk.thanks for talk in self._talks())

    def _talks(self) -> Iterator[Talk]:
        for flow in self.line.flows.values():
            for state in flow.states.values():
                if isinstance(state.activity, Talk):
                    yield state.activity


@dataclass(slots=True)
class HoldLimit(Monitor):
    """Nobody is left on hold by an agent who does not come back: after the line's limit, and what
    is just being said, the caller is taken back."""

    clauses = ("XJCA-5l",)
    watches = (FeatureAsked, Music, Resume, HungUp, HangUp)
    asked: bool = False
    since: float | None = None

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case FeatureAsked(feature=feature) if feature != BACK:
                found = self.line.staff.features.get(feature)
                self.asked = found is not None and found.holds
            case Music() if self.asked and self.since is None:
                self.since = at
            case Resume() | HungUp() | HangUp():
                if self.since is not None:
                    held = at - self.since
                    most = self.line.staff.transfer.hold_limit
                    kept = held <= most + SIGN_OF_LIFE + self.slack
                    self.mark(kept, at, f"on hold for {held:.2f} s, {most:g} allowed")
                self.asked, self.since = False, None
            case _:
                pass


@dataclass(slots=True)
class Warned(Monitor):
    """A harassing call is ended only after every warning, in their order; a warning alone ends
    nothing; and there is a record of each."""

    clauses = ("EMS-3", "LKL-7.4")
    watches = (FeatureAsked, Note, Say, Resume, HangUp, HungUp, EndAsked)
    said: dict[str, list[str]] = field(default_factory=dict)
    code: str = ""
    noted: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case FeatureAsked(feature=name) if name != BACK:
                found = self.line.staff.features.get(name)
                self.code = name if found is not None and found.ends else ""
                self.noted = False
            case Note(key=key) if key == self.code:
                self.noted = True
            case Say(prompt=prompt) if self.code:
                self.said.setdefault(self.code, []).append(prompt)
            case Resume() if self.code:
                self._judge(at, ended=False)
            case HangUp() if self.code:
                self._judge(at, ended=True)
            case HungUp() | EndAsked():
                self.code = ""
            case _:
                pass

    def _judge(self, at: float, *, ended: bool) -> None:
        steps = list(self.line.staff.features[self.code].says)
        said = self.said.get(self.code, [])
        whole = said == steps
        kept = self.noted and said == steps[: len(said)] and ended == whole
        what = "the call was ended" if ended else "the call went on"
        self.mark(kept, at, f"{what} after {', '.join(said) or 'no word'}; noted: {self.noted}")
        self.code = ""


@dataclass(slots=True)
class Brief(Monitor):
    """A conversation is no chat: one that lasts longer than the line allows is for the supervisor
    to look at."""

    clauses = ("XJCA-5g",)
    watches = (BridgeOver,)

    def see(self, at: float, what: Event | Action) -> None:
        if isinstance(what, BridgeOver) and what.talked:
            most = self.line.staff.transfer.long_talk
            kept = what.talked <= most
            self.mark(kept, at, f"talked for {what.talked:.0f} s, {most:g} are usual at most")
