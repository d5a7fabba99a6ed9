"""Stand-ins for people in a simulated call: who is there, what they do when rung, and who waits.

Rules this module keeps:

- Pure, like `ivr.simulate`: time is what that says it is. What people do is a description
  (`scenario.World.agents` and `ahead`), the same for every level at which a scenario runs.
- The agent's leg is a call of its own through the same machine; what becomes of it is read from
  the verdict it noted, and one that ends without a verdict was dropped.
- Who was rung in vain is rung again for the same caller only if nobody else is at work, and only
  after `AGAIN`; who misses as many calls in a row as the line allows is busy from then on.
- A phone is free again only when it was released: a flow that forgets to do so finds nobody.
- Lengths and times are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ivr import actions, events
from ivr.events import Event, Values
from ivr.flow import Line
from ivr.scenario import AHEAD_EACH, Ring
from ivr.staff import BACK, Agent

AGAIN = 10.0
"""How soon a phone is rung again for a caller for whom it was just rung in vain."""
MISSED = ("no_answer", "no_key", "dropped")
"""Outcomes by which an agent has missed a call."""
THERE = ("refused", "busy", "talked")
"""Outcomes by which an agent has shown to be there."""
PRESSES = {"accept": "1", "refuse": "2"}
PHONE_ANSWERS = {"busy": "busy", "decline": "refused", "drop": "dropped"}
"""What a person does at the phone itself, with the reason it gives."""


class Leg(Protocol):
    """The call of an agent's leg while it lasts."""

    def press(self, key: str) -> None: ...
    def hang_up(self) -> None: ...


class Stage(Protocol):
    """What stand-ins need of the simulated call they belong to."""

    @property
    def now(self) -> float: ...
    def later(self, wait: float, do: Callable[[], None]) -> None: ...
    def event_later(self, wait: float, event: Event) -> None: ...
    def brief(self, note: Values, over: Callable[[str], None]) -> Leg:
        """Begin the leg of an agent who has picked up; `over` is told the verdict."""


@dataclass(slots=True)
class _Phone:
    """One phone. `idle` is since when nobody is on it, `passed` when it was rung in vain for this
    caller."""

    agent: Agent
    rings: Sequence[Ring]
    rung: int = 0
    at_work: bool = True
    free: bool = True
    idle: float = 0.0
    missed: int = 0
    passed: float | None = None


@dataclass(slots=True)
class _Rung:
    """One agent being rung, briefed, or talking. `bridge` is the id of the conversation, `inner`
    whether a feature code has given us the caller's ear, `gone` whether the agent has hung up."""

    id: int
    ring: Ring
    leg: Leg | None = None
    bridge: int = 0
    since: float = 0.0
    inner: bool = False
    gone: bool = False


@dataclass(slots=True)
class StandIns:
    """All people of a line, as one caller meets them."""

    line: Line
    agents: Sequence[tuple[str, Sequence[Ring]]]
    ahead: int
    stage: Stage
    phones: list[_Phone] = field(default_factory=list)
    place: actions.JoinLine | None = None
    rung: _Rung | None = None

    def __post_init__(self) -> None:
        rings = dict(self.agents)
        self.phones = [
            _Phone(agent, rings[agent.phone])
            for agent in self.line.staff.agents.values()
            if agent.phone in rings
        ]

    def carry_out(self, wish: actions.Action) -> None:
        """Do what the machine asks of people; anything else is not for us."""
        match wish:
            case actions.Survey():
                self.survey(wish)
            case actions.JoinLine():
                self.join(wish)
            case actions.LeaveLine():
                self.place = None
            case actions.RingAgent():
                self.ring(wish)
            case actions.CancelRing():
                self.cancel()
            case actions.Release(agent=agent, outcome=outcome):
                self.release(agent, outcome)
            case actions.Bridge(id=number):
                self.bridge(number)
            case actions.Resume():
                self.resume()

    # -- the waiting line

    def able(self, wish: actions.Survey | actions.JoinLine) -> list[_Phone]:
        """Who could take this call, now or soon."""
        return [
            phone
            for phone in self.phones
            if phone.at_work
            and wish.department in phone.agent.departments
            and wish.staff_number in ("", phone.agent.staff_number)
        ]

    def minutes(self, wish: actions.Survey | actions.JoinLine) -> int:
        talk = self.line.staff.minutes(wish.department)
        return math.ceil((self.ahead + 1) * talk / max(1, len(self.able(wish))))

    def survey(self, wish: actions.Survey) -> None:
        able = self.able(wish)
        if able and not self.ahead and any(phone.free for phone in able):
            event = events.Surveyed(wish.id, True)
        elif able:
            event = events.Surveyed(wish.id, True, self.ahead, self.minutes(wish))
        else:
            event = events.Surveyed(wish.id, False)
        self.stage.event_later(0, event)

    def join(self, wish: actions.JoinLine) -> None:
        self.place = wish
        self.placed()
        for number in range(self.ahead):
            self.stage.later(AHEAD_EACH * (number + 1), self.one_less)
        self.serve()

    def placed(self) -> None:
        if self.place is not None:
            minutes = self.minutes(self.place)
            self.stage.event_later(0, events.Placed(self.place.id, self.ahead, minutes))

    def one_less(self) -> None:
        """One of those who waited before us has been served."""
        self.ahead = max(0, self.ahead - 1)
        self.placed()
        self.serve()

    def serve(self) -> None:
        """The longest idle agent for the caller, if it is the caller's turn."""
        if self.place is None or self.ahead or self.rung is not None:
            return
        able = self.able(self.place)
        if not able:
            place, self.place = self.place, None
            self.stage.event_later(0, events.Unstaffed(place.id))
            return
        now = self.stage.now
        fresh = [phone for phone in able if phone.passed is None]
        again = [phone for phone in able if phone.passed is not None]
        willing = fresh or [p for p in again if now - (p.passed or 0.0) >= AGAIN - 1e-6]
        free = sorted((phone for phone in willing if phone.free), key=lambda phone: phone.idle)
        if free:
            free[0].free = False
            number = free[0].agent.staff_number
            self.stage.event_later(0, events.Claimed(self.place.id, number))
        elif again and not fresh:
            self.stage.later(min(p.passed or 0.0 for p in again) + AGAIN - now, self.serve)

    # -- a phone that rings

    def ring(self, wish: actions.RingAgent) -> None:
        phone = next(p for p in self.phones if p.agent.staff_number == wish.agent)
        does = phone.rings[min(phone.rung, len(phone.rings) - 1)]
        phone.rung += 1
        rung = self.rung = _Rung(wish.id, does)
        if does.does == "unreachable":
            self.stage.later(0, lambda: self.fail(rung, "unreachable"))
        elif does.does == "no_answer" or does.after >= wish.seconds:
            self.stage.later(wish.seconds, lambda: self.fail(rung, "no_answer"))
        elif does.does in PHONE_ANSWERS:
            self.stage.later(does.after, lambda: self.fail(rung, PHONE_ANSWERS[does.does]))
        else:
            self.stage.later(does.after, lambda: self.pick_up(rung, wish.note))

    def fail(self, rung: _Rung, reason: str) -> None:
        if self.rung is rung:
            self.rung = None
            self.stage.event_later(0, events.AgentFailed(rung.id, reason))

    def pick_up(self, rung: _Rung, note: Values) -> None:
        if self.rung is not rung:
            return
        self.stage.event_later(0, events.AgentAnswered(rung.id))
        leg = rung.leg = self.stage.brief(note, lambda verdict: self.briefed(rung, verdict))
        does = rung.ring.does
        if does == "drop_in_note":
            self.stage.later(rung.ring.hears, leg.hang_up)
        elif does in PRESSES:
            self.stage.later(rung.ring.hears, lambda: leg.press(PRESSES[does]))

    def briefed(self, rung: _Rung, verdict: str) -> None:
        """The leg's call is over."""
        if self.rung is not rung:
            return
        if verdict == "accepted":
            self.stage.event_later(0, events.AgentAccepted(rung.id))
        else:
            self.fail(rung, verdict or "dropped")

    def cancel(self) -> None:
        rung = self.rung
        if rung is None:
            return
        rung.gone = True
        if not rung.bridge:
            self.rung = None
        elif not rung.inner:
            self.over(rung)
        if rung.leg is not None:
            rung.leg.hang_up()

    def release(self, agent: str, outcome: str) -> None:
        phone = next(p for p in self.phones if p.agent.staff_number == agent)
        phone.idle = self.stage.now
        if outcome in MISSED:
            phone.missed += 1
        elif outcome in THERE:
            phone.missed = 0
        if outcome == "unreachable" or phone.missed >= self.line.staff.transfer.misses:
            phone.at_work = False
        if outcome not in ("free", "talked"):
            phone.passed = self.stage.now
        wait = self.line.staff.transfer.wrap_up if outcome == "talked" else 0.0
        self.stage.later(wait, lambda: self.ready(phone))

    def ready(self, phone: _Phone) -> None:
        phone.free = True
        self.serve()

    # -- a conversation

    def bridge(self, number: int) -> None:
        rung = self.rung
        if rung is None:
            self.stage.event_later(0, events.BridgeOver(number, "failed"))
            return
        rung.bridge, rung.since = number, self.stage.now
        if rung.ring.talks is not None:
            self.stage.later(rung.ring.talks, lambda: self.hangs_up(rung))
        for at, code in rung.ring.keys:
            self.stage.later(at, lambda code=code: self.keyed(rung, code))  # type: ignore[misc]

    def keyed(self, rung: _Rung, code: str) -> None:
        """The agent has pressed a feature code. While we have the caller's ear none gives it to us
        a second time."""
        name = next((f.name for f in self.line.staff.features.values() if f.code == code), "")
        if self.rung is not rung or rung.gone or not name or (rung.inner and name != BACK):
            return
        rung.inner = True if name != BACK else rung.inner
        self.stage.event_later(0, events.FeatureAsked(name))

    def hangs_up(self, rung: _Rung) -> None:
        if self.rung is not rung or rung.gone:
            return
        rung.gone = True
        agent = next(p.agent for p in self.phones if not p.free)
        self.stage.event_later(0, events.AgentGone(agent.staff_number))
        if not rung.inner:
            self.over(rung)

    def resume(self) -> None:
        rung = self.rung
        if rung is not None:
            rung.inner = False
            if rung.gone:
                self.over(rung)

    def over(self, rung: _Rung) -> None:
        self.rung = None
        talked = round(self.stage.now - rung.since, 3)
        self.stage.event_later(0, events.BridgeOver(rung.bridge, "agent", talked))
