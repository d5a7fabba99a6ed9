"""The good manners of what happens with people: transfer, note, the end of a conversation.

Rules this module keeps:

- Pure, like all monitors (`ivr.monitor`).
- Prompts are known by the names that flows give them: `transfer.ask…` asks for consent and says
  why and to whom, `transfer.direct` answers a caller who asked for a person, `transfer.busy` says
  the likely wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ivr.actions import (
    Action,
    Bridge,
    CancelRing,
    HandOver,
    HangUp,
    JoinLine,
    Keep,
    Record,
    RingAgent,
    Say,
    Survey,
)
from ivr.events import (
    AgentAccepted,
    AgentFailed,
    AgentGone,
    BridgeOver,
    EndAsked,
    Event,
    FeatureAsked,
    HungUp,
    Key,
    Reached,
    Stored,
    StoreFailed,
    Surveyed,
    Values,
)
from ivr.monitor import GOODBYES, Monitor
from ivr.slots import MOST

NOTE = "transfer_note"
"""What is kept for an agent, and is no contact."""
ANYTHING_ELSE = "closing.anything_else"
RATES = frozenset({"closing.rate", "callback.rate"})
PARTINGS = GOODBYES | RATES | {"callback.goodbye"}
"""What is said last to who has talked to somebody."""


@dataclass(slots=True)
class TransferConsent(Monitor):
    """Nobody is transferred who has not agreed by key, having heard why and to whom; a caller who
    asked for a person is told that it is being done."""

    clauses = ("TEL-3.3", "LKL-2.2", "XJCA-5e", "XJCA-5f", "XJCA-6.3a")
    watches = (Say, Key, JoinLine)
    asked: bool = False
    agreed: str = ""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt=prompt) if prompt.startswith("transfer.ask"):
                self.asked, self.agreed = True, ""
            case Say(prompt="transfer.direct"):
                self.agreed = "asked for a person, and was told"
            case Say(prompt=prompt) if prompt == ANYTHING_ELSE:
                self.asked, self.agreed = False, ""
            case Key(digit=digit) if self.asked:
                self.asked, self.agreed = False, "agreed by key" if digit == "1" else ""
            case JoinLine():
                self.mark(bool(self.agreed), at, f"the caller {self.agreed or 'never agreed'}")
            case _:
                pass


@dataclass(slots=True)
class Told(Monitor):
    """Who will have to wait is told for how long, as the line really stands, before agreeing."""

    clauses = ("TEL-3.3", "LKL-3.1")
    watches = (Surveyed, Say, JoinLine)
    minutes: str = ""
    said: str = ""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Surveyed(staffed=True, ahead=ahead, minutes=minutes):
                self.said = ""
                self.minutes = str(min(max(minutes, 1), MOST)) if ahead or minutes else ""
            case Say(prompt="transfer.busy", slots=slots):
                self.said = dict(slots).get("minutes", "")
            case JoinLine() if self.minutes:
                told = f"told {self.said} minutes" if self.said else "told nothing"
                self.mark(self.said == self.minutes, at, f"{told}, {self.minutes} are likely")
                self.minutes = ""
            case _:
                pass


@dataclass(slots=True)
class NoteFirst(Monitor):
    """Before a phone rings its note is stored, and it is that note which the agent hears."""

    clauses = ("XJCA-5d2", "LKL-2.2", "TEL-3.3")
    watches = (Keep, Stored, RingAgent)
    keeping: dict[int, Values] = field(default_factory=dict)
    stored: dict[str, Values] = field(default_factory=dict)

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Keep(id=number, kind=kind, values=values) if kind == NOTE:
                self.keeping[number] = values
            case Stored(id=number, reference=reference) if number in self.keeping:
                self.stored[reference] = self.keeping.pop(number)
            case RingAgent(agent=agent, note=note, reference=reference):
                stored = self.stored.get(reference)
                same = stored is not None and dict(stored) == dict(note)
                how = "stored before" if same else "not the one stored before"
                self.mark(same, at, f"agent {agent} is rung; the note is {how}")
            case _:
                pass


@dataclass(slots=True)
class AcceptedFirst(Monitor):
    """Nobody is let go to an agent who has not picked up, heard the note and accepted."""

    clauses = ("LKL-2.2", "XJCA-5d2")
    watches = (Reached, RingAgent, AgentAccepted, AgentFailed, CancelRing, AgentGone, Bridge)
    agents: dict[int, str] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Reached(leg=number, values=values) if number:
                # a call back begins with an agent who has accepted
                self.agents[number] = dict(values).get("agent", "")
                self.accepted.add(number)
            case RingAgent(id=number, agent=agent):
                self.agents[number] = agent
            case AgentAccepted(id=number):
                self.accepted.add(number)
            case AgentFailed(id=number) | CancelRing(id=number):
                self.accepted.discard(number)
            case AgentGone(agent=agent):
                self.accepted -= {leg for leg, name in self.agents.items() if name == agent}
            case Bridge(leg=leg):
                kept = leg in self.accepted
                agent = self.agents.get(leg, "nobody")
                self.mark(kept, at, f"bridged to agent {agent}; accepted: {kept}")
            case _:
                pass


@dataclass(slots=True)
class NobodyLost(Monitor):
    """A caller who wanted a person and is parted with by us has talked to one, or has left contact,
    or was asked for it, or was told that nothing can be kept."""

    clauses = ("LKL-2.2", "XJCA-5d2")
    watches = (
        Survey,
        JoinLine,
        BridgeOver,
        FeatureAsked,
        Keep,
        StoreFailed,
        Record,
        Say,
        EndAsked,
        HangUp,
    )
    wished: bool = False
    served: str = ""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Survey() | JoinLine():
                self.wished, self.served = True, ""
            case BridgeOver(reason="agent") | FeatureAsked():
                self.served = "talked to an agent"
            case Keep(kind=kind) if kind != NOTE:
                self.served = "left contact"
            case StoreFailed():
                self.served = "was told that nothing can be kept"
            case Record(what="message"):
                self.served = self.served or "was asked for a message"
            case Say(prompt=prompt) if prompt.startswith("contact."):
                self.served = self.served or "was asked for a number"
            case EndAsked():
                self.served = "was parted with by ops"
            case HangUp() if self.wished:
                self.mark(bool(self.served), at, f"the caller {self.served or 'was given nothing'}")
            case _:
                pass


@dataclass(slots=True)
class AfterTheTalk(Monitor):
    """After a conversation too the caller is asked for anything else, and then for a rating where
    the line asks for one, before the goodbye: in a call that we made, too. Whose agent was gone
    before they had talked it over has heard that they will be called again."""

    clauses = ("EMS-19", "LKL-5.9", "XJCA-6.5a")
    watches = (BridgeOver, JoinLine, HungUp, EndAsked, Say, Key, HangUp)
    talked: bool = False
    asked: bool = False
    nothing_more: bool = False
    ended: bool = False
    """Ops have ended the call: the conversation is over by that, and the goodbye under way."""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case BridgeOver(reason="agent"):
                self.talked, self.asked = not self.ended, False
            case JoinLine() | HungUp() | EndAsked() | Say(prompt="callback.sorry"):
                self.talked = self.nothing_more = False
                self.ended |= isinstance(what, EndAsked)
            case Say(prompt=prompt) if prompt == ANYTHING_ELSE:
                self.asked = True
            case Key(digit=digit) if self.talked and self.asked:
                # who wants something else is asked again after that, by another rule
                self.talked = self.nothing_more = digit == "2"
            case Say(prompt=prompt) if self.talked and prompt in PARTINGS:
                wanted = self.nothing_more and self.line.settings["rating"] == "yes"
                kept = self.asked and (not wanted or prompt in RATES)
                said = f"'{prompt}' after the conversation"
                self.mark(kept, at, f"{said}; anything else asked: {self.asked}, to rate: {wanted}")
                self.talked = self.nothing_more = False
            case HangUp() if self.talked:
                self.mark(False, at, "we hung up after the conversation without a goodbye")
            case _:
                pass


@dataclass(slots=True)
class BriefingApart(Monitor):
    """Nothing of what an agent is told reaches the caller's ear."""

    clauses = ("LKL-B1",)
    watches = (Say,)

    def see(self, at: float, what: Event | Action) -> None:
        if isinstance(what, Say) and what.prompt.startswith("briefing."):
            self.mark(False, at, f"the caller heard '{what.prompt}'")


@dataclass(slots=True)
class Briefed(Monitor):
    """On an agent's leg: who takes a call has heard what it is about, and has pressed 1."""

    clauses = ("XJCA-5d2", "LKL-2.2")
    watches = (Say, Key, HandOver)
    told: bool = False
    key: str = ""

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt=prompt) if prompt.startswith("briefing."):
                self.told = True
            case Key(digit=digit):
                self.key = digit
            case HandOver():
                kept = self.told and self.key == "1"
                how = f"pressed '{self.key}'" if self.key else "pressed nothing"
                heard = "the note" if self.told else "nothing"
                self.mark(kept, at, f"the agent heard {heard} and {how}")
            case _:
                pass
