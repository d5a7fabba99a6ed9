"""The phones of our own people that are rung for a caller: each is a leg, a small call of its own.

Rules this module keeps:

- A leg has a random name, which Asterisk gives back when the phone is picked up, and a channel
  id that is ours: whatever Asterisk says of it is known by that, and it can be hung up by that
  before it even exists.
- What becomes of a leg is told once: it accepts, or it fails for one reason. An agent who has
  accepted and then hangs up is told as gone. A leg that was cancelled tells nothing more.
- Reasons are Asterisk's own (`ivr.ringing`): busy, refused, no_answer, unreachable; and dropped:
  picked up, and gone without a word.
- A leg that nothing is heard of (the manager is lost) fails by itself. One that is to end is hung
  up until Asterisk knows of it no more, also when the manager is away meanwhile: a leg whose end
  was missed is not kept for ever, and none is forgotten while it may still ring.
- Who refuses, or presses nothing, is told of at once, while the agent still hears a short word; a
  phone is rung again only when it has been hung up.
- Only the name of a phone from the line's own file becomes part of a dial string.
- Lengths are in seconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

import structlog

from ivr import dialplan, journal, ringing, staff, store
from ivr.actions import RingAgent
from ivr.agi import Session
from ivr.clock import Timer
from ivr.driver import Driver
from ivr.events import (
    AgentAccepted,
    AgentAnswered,
    AgentFailed,
    AgentGone,
    Summoned,
)
from ivr.flow import Line
from ivr.house import Post
from ivr.manager import ManagerDown, ManagerRefused

if TYPE_CHECKING:
    from ivr.server import Service

CONTEXT = "sansheng-agent"
"""Where the dialplan takes a phone that was picked up."""
ACCEPTED = "accepted"
"""The verdict that the flow of a leg notes when the agent takes the call; else refused, no_key."""
SILENT = 5.0
"""How much longer than it may ring nothing is heard of a leg before it has failed."""
AGAIN, TRIES = 0.1, 50
"""A phone can only be hung up once Asterisk has made its channel: how often that is tried."""
RETRY, LOST = 1.0, 120.0
"""How often a phone is hung up whose end is not heard of, and when it is given up."""
LINGER = 10.0
"""How long after its end was decided a leg may go on by itself: the agent hears a short word."""
HELD = 30.0
"""How long an agent is nobody else's, at most, whose phone may still ring."""
CAUSES: Mapping[str, str] = {"17": "busy", "21": "refused", "3": "unreachable", "20": "unreachable"}
"""Why a phone was not picked up, by Asterisk's cause."""

log = structlog.get_logger("legs")


@dataclass(eq=False, slots=True)
class Leg:
    """One phone that was rung for one caller (`call`). `told`: the caller's call knows what became
    of it; `over`: Asterisk has no channel of it any more; `hangs_up`: we are at it; `done`: the
    call has given the agent back; `then`: what waits for the leg to be over."""

    uniqueid: str
    phone: str
    call: store.Call
    line: Line
    wish: RingAgent
    post: Post
    name: str = field(default_factory=lambda: secrets.token_hex(16))
    rang: bool = False
    answered: bool = False
    accepted: bool = False
    told: bool = False
    over: bool = False
    cancelled: bool = False
    hangs_up: bool = False
    wait: int = dialplan.BRIDGE
    session: Session | None = None
    deadline: Timer | None = None
    done: bool = False
    then: Callable[[], None] | None = None


class Legs:
    """All legs of one service. `on_accept` is told of every agent who takes a call."""

    def __init__(self, service: Service, on_accept: Callable[[Leg], None]) -> None:
        self._service = service
        self._on_accept = on_accept
        self._by_name: dict[str, Leg] = {}
        self._by_id: dict[str, Leg] = {}
        self._dialled: set[str] = set()

    def wants(self, name: str, channel: str) -> bool:
        """Whether an event of this name, about this channel, may be about a leg. Called in a
        thread of the manager's."""
        if name not in ringing.WATCHED:
            return False
        return (
            not channel or channel in self._dialled or channel.rpartition("-")[0] in self._dialled
        )

    def of(self, uniqueid: str) -> Leg | None:
        """The leg that is this channel of Asterisk's."""
        return self._by_id.get(uniqueid)

    @property
    def up(self) -> int:
        """How many legs there are."""
        return len(self._by_id)

    # -- ringing

    def ring(
        self, call: store.Call, line: Line, phone: str, wish: RingAgent, display: str, post: Post
    ) -> Leg:
        """Ring this phone. `display` is what it shows of the note."""
        leg = Leg(f"sansheng-{secrets.token_hex(16)}", phone, call, line, wish, post)
        if dict(wish.note).get("callback"):
            leg.wait = dialplan.CALLBACK  # the person is rung only when this agent has accepted
        self._by_name[leg.name] = self._by_id[leg.uniqueid] = leg
        self._dialled.add(f"PJSIP/{phone}")
        self._service.spawn(self._originate(leg, display))
        return leg

    async def _originate(self, leg: Leg, display: str) -> None:
        caller = "".join(digit for digit in leg.call.caller if digit in "0123456789")
        headers: dict[str, str | list[str]] = {
            "Channel": f"PJSIP/{leg.phone}",
            "ChannelId": leg.uniqueid,
            "Context": CONTEXT,
            "Exten": "s",
            "Priority": "1",
            "Timeout": str(round(leg.wish.seconds * 1000)),
            "Async": "true",
            "CallerID": f'"{display}" <{caller}>',
            "Variable": [
                f"SANSHENG_LEG={leg.name}",
                f"SANSHENG_WAIT={leg.wait}",
                f"{dialplan.OWN}={self._service.own}",
            ],
        }
        bell, asked = self._service.bell, False
        try:
            await self._hung_up_before(leg)
            if leg.cancelled:
                self._gone(leg)
                return
            if bell is None:
                raise ManagerDown("there is no manager")
            asked = bell.connected
            silent = leg.wish.seconds + SILENT
            leg.deadline = self._service.clock.call_later(silent, lambda: self._silent(leg))
            await bell.action("Originate", headers)
        except (ManagerDown, ManagerRefused) as error:
            log.error("a phone cannot be rung", phone=leg.phone, why=str(error))
            self._fail(leg, "failed")
            if asked and isinstance(error, ManagerDown):
                self.cancel(leg)  # Asterisk may have heard it: it may ring
            else:
                self._gone(leg)

    async def _hung_up_before(self, leg: Leg) -> None:
        """This phone may still be in the last moments of the leg before."""
        for _ in range(TRIES):
            before = takewhile(lambda one: one is not leg, self._by_id.values())
            if not any(one.phone == leg.phone and not one.over for one in before):
                return
            await self._service.clock.sleep(AGAIN)

    def _silent(self, leg: Leg) -> None:
        """Nothing was heard of a phone for longer than it may ring, or nothing more since it was
        picked up."""
        if leg.session is None:
            log.warning("nothing is heard of a phone that was rung", phone=leg.phone)
            self._fail(leg, "dropped" if leg.answered else "failed")
            self.cancel(leg)

    # -- what Asterisk says

    def event(self, event: Mapping[str, str]) -> None:
        """Something that Asterisk says of a phone."""
        leg = self._by_id.get(ringing.channel(event))
        if leg is None:
            return
        match ringing.news(event):
            case ringing.RINGS:
                leg.rang = True
            case ringing.ANSWERED:
                leg.answered = True
            case ringing.IN_VAIN:
                reason = ringing.unanswered(leg.rang)
                vain = partial(self._not_answered, leg, reason)
                self._service.clock.call_later(ringing.SETTLE, vain)
            case ringing.OVER:
                self._hung_up(leg, event.get("Cause", ""))

    def _not_answered(self, leg: Leg, reason: str) -> None:
        if not leg.over:
            self._fail(leg, reason)
            self._gone(leg)

    def _hung_up(self, leg: Leg, cause: str) -> None:
        leg.over = True
        if leg.accepted:
            if not leg.cancelled:
                leg.post(AgentGone(leg.wish.agent))
        elif leg.session is not None:
            return  # what was decided in it is told at its end, which is now
        elif leg.answered:
            self._fail(leg, "dropped")
        else:
            self._fail(leg, ringing.reason(cause, leg.rang, CAUSES))
        self._gone(leg)

    # -- the agent hears the note

    async def briefed(self, session: Session) -> None:
        """The script `leg`: an agent has picked up a phone that we rang."""
        service = self._service
        leg = self._by_name.get(session.arguments[0] if session.arguments else "")
        if leg is None or leg.cancelled or leg.session is not None:
            log.info("nobody waits for this phone any more")
            return
        leg.answered, leg.session = True, session
        one = self._driver(leg, session)
        one.on_note = lambda key, value: self._noted(leg, key, value)
        service.drivers[one.channel.name] = one
        leg.post(AgentAnswered(leg.wish.id))
        try:
            await one.run()
        finally:
            leg.session = None
            del service.drivers[one.channel.name]
            verdict = one.row.record.get("verdict", "")
            if verdict == ACCEPTED and not (leg.over or session.hung_up):
                self._accept(leg)
            else:
                self._fail(leg, "dropped")  # unless more has been told already
                if leg.over:
                    self._gone(leg)

    def _noted(self, leg: Leg, key: str, value: str) -> None:
        if key == "verdict" and value != ACCEPTED:
            self._fail(leg, value)

    def _driver(self, leg: Leg, session: Session) -> Driver:
        service, now = self._service, self._service.clock.utc()
        uniqueid = session.environment.get("uniqueid", "")
        row = store.Call(
            id=journal.call_id(service.system, uniqueid),
            system=service.system,
            uniqueid=uniqueid,
            hotline=leg.line.name,
            number=leg.phone,
            caller=leg.call.caller,
            offered_at=now,
            version=leg.line.version,
            leg_of=leg.call.id,
        )
        service.journal.append(row)
        first = Summoned(leg.wish.note)
        return Driver(service, leg.line, service.hotlines.library, session, row, first)

    # -- what becomes of it

    def _accept(self, leg: Leg) -> None:
        if leg.cancelled:
            self.cancel(leg)
            return
        leg.told = leg.accepted = True
        self._quiet(leg)
        self._on_accept(leg)
        leg.post(AgentAccepted(leg.wish.id))

    def _fail(self, leg: Leg, reason: str) -> None:
        self._quiet(leg)
        if not (leg.told or leg.cancelled):
            leg.told = True
            log.info("a phone was rung in vain", phone=leg.phone, reason=reason, call=leg.call.id)
            leg.post(AgentFailed(leg.wish.id, reason))
        self._linger(leg)

    def done(self, call: store.Call, agent: str, then: Callable[[], None]) -> None:
        """The call has given this agent back: a leg that is still up is soon to end. What is to be
        done `then` waits for a phone that was let go, since it may still ring; not for ever."""
        for leg in list(self._by_id.values()):
            if leg.call.id == call.id and leg.wish.agent == agent and not leg.over:
                leg.done = True
                if leg.cancelled and leg.then is None:
                    leg.then = then
                    self._service.clock.call_later(HELD, partial(self._then, leg))
                    return
                self._linger(leg)
        then()

    def _linger(self, leg: Leg) -> None:
        """It ends by itself; that end may not be heard of."""
        if not (leg.over or leg.cancelled):
            self._quiet(leg)
            leg.deadline = self._service.clock.call_later(LINGER, partial(self.cancel, leg))

    def _then(self, leg: Leg) -> None:
        then, leg.then = leg.then, None
        if then is not None:
            then()

    def close(self) -> None:
        """The service ends: what still waits for phones waits no more."""
        for leg in list(self._by_id.values()):
            self._quiet(leg)
            self._then(leg)

    def _quiet(self, leg: Leg) -> None:
        if leg.deadline is not None:
            leg.deadline.cancel()
            leg.deadline = None

    def _gone(self, leg: Leg) -> None:
        """Asterisk has nothing of this leg any more."""
        leg.over = True
        self._quiet(leg)
        self._by_name.pop(leg.name, None)
        self._by_id.pop(leg.uniqueid, None)
        if not any(other.phone == leg.phone for other in self._by_id.values()):
            self._dialled.discard(f"PJSIP/{leg.phone}")
        self._then(leg)

    def cancel(self, leg: Leg) -> None:
        """Let go of this phone: it stops ringing, or is hung up."""
        self._quiet(leg)
        if not (leg.over or leg.hangs_up):
            leg.hangs_up = True
            self._service.spawn(self._hang_up(leg))
        leg.cancelled = True

    async def _hang_up(self, leg: Leg) -> None:
        clock, tries = self._service.clock, 0
        last, away = clock.now() + LOST, False
        while not leg.over and clock.now() < last:
            bell = self._service.bell
            try:
                if bell is None:
                    raise ManagerDown("there is no manager")
                await bell.action("Hangup", {"Channel": leg.uniqueid, "Cause": "16"})
            except ManagerRefused:
                # there is no such channel: not yet, or not any more
                tries += 1
                if tries == TRIES or leg.rang or leg.answered:
                    break
                await clock.sleep(AGAIN)
            except ManagerDown as error:
                if not away:
                    log.warning("a phone cannot be hung up yet", phone=leg.phone, why=str(error))
                away = True
                if leg.session is not None:
                    leg.session.close()  # the dialplan hangs up
                await clock.sleep(RETRY)
            else:
                await self._over_within(leg, RETRY)
        if not leg.over:
            self._gone(leg)

    async def _over_within(self, leg: Leg, seconds: float) -> None:
        for _ in range(round(seconds / AGAIN)):
            if leg.over:
                return
            await self._service.clock.sleep(AGAIN)


def own_phone(channel: str) -> str:
    """The phone that a channel of Asterisk's belongs to, "" if it is none of our people's kind."""
    kind, _, rest = channel.partition("/")
    phone = rest.rpartition("-")[0]
    return phone if kind == "PJSIP" and staff.PHONE.fullmatch(phone) else ""
