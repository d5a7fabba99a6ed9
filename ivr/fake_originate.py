"""Originate: the fake Asterisk rings a phone, and tells what became of it.

Rules this module keeps:

- The order of events and the reasons are those measured on Asterisk 22: Reason 4 answered, 3 not
  answered in time, 0 all else (busy, declined, not registered, taken back by Hangup); a phone that
  is not registered makes no event but OriginateResponse, one that is not answered no DialEnd. (Of
  OriginateResponse Success, DialEnd and the script's beginning the order varies; here it does not.)
- A phone that has answered goes through the dialplan of its context (`Answered`): the script, then
  it waits a while to be bridged if the script left it accepted, else it is hung up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ivr.clock import Timer
from ivr.fake_channel import CALLED, Channel
from ivr.fake_phones import ANSWERS, BEGINS, FakePhone, bridged, picked_up
from ivr.fake_variables import expand, set_variable
from ivr.scenario import Ring

if TYPE_CHECKING:
    from ivr.fake import FakeAsterisk

REFUSED = {"busy": ("BUSY", 17), "decline": ("NOANSWER", 21)}
"""DialStatus and cause of a phone that refuses."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the dialplan does with a phone that has answered: it sets `variables`, rings the
    service for the script `path`, and, if the script has set `accepted` to 1, waits `wait` seconds
    (or SANSHENG_WAIT) to be bridged. `absolute` is the time it gives the service."""

    path: str = "leg"
    arguments: tuple[str, ...] = ("${SANSHENG_LEG}",)
    variables: Mapping[str, str] = field(default_factory=lambda: {"AGIEXITONHANGUP": "yes"})
    accepted: str = "SANSHENG_ACCEPTED"
    wait: float = 15.0
    absolute: float = 8.0


DIALPLAN: Mapping[str, Answered] = {
    "sansheng-agent": Answered(),
    "sansheng-callback": Answered("callback", ("${SANSHENG_ATTEMPT}",), accepted=""),
}
"""The contexts of asterisk/extensions.conf into which the service rings phones."""


@dataclass(frozen=True, slots=True)
class Order:
    """One Originate action: the phone to ring (as in PJSIP/phone), and what it asks for."""

    phone: str
    channel_id: str
    context: str
    exten: str
    timeout: float
    caller: str
    variables: tuple[tuple[str, str], ...]
    action_id: str


class Dialling:
    """One phone that rings because of an order."""

    def __init__(self, switch: FakeAsterisk, order: Order) -> None:
        self.switch = switch
        self.order = order
        self._timer: Timer | None = None
        self._channel: Channel | None = None
        self._responded = False
        switch.clock.call_later(BEGINS, self._begin)

    def _begin(self) -> None:
        order, switch = self.order, self.switch
        phone = switch.phones.get(order.phone, FakePhone())
        ring = phone.next()
        taken = switch.channel(order.channel_id) is not None
        if ring.does == "unreachable" or taken:
            self._respond(0)
            return
        channel = self._channel = switch.new_phone_channel(order.phone, order.channel_id, phone)
        phone.calls.append(channel)
        channel.number = order.phone
        channel.context, channel.exten = order.context, order.exten
        channel.caller = order.caller
        for name, value in order.variables:
            set_variable(channel, name, value)
        channel.on_dead = self._dropped
        switch.add(channel)
        switch.dial_event("DialBegin", channel, {"DialString": order.phone})
        if ring.does != "busy":
            channel.state = CALLED
            switch.event("Newstate", channel, {})
            switch.dial_event("DialState", channel, {"DialStatus": "RINGING"})
        if ring.does in ANSWERS and ring.after < order.timeout:
            self._later(ring.after, lambda: self._answer(channel, ring))
        elif ring.does in REFUSED and ring.after < order.timeout:
            self._later(ring.after, lambda: self._refuse(channel, ring))
        else:
            self._later(order.timeout, lambda: self._time_is_up(channel))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._timer = self.switch.clock.call_later(seconds, what)

    def _answer(self, channel: Channel, ring: Ring) -> None:
        channel.answer()
        self.switch.dial_event("DialEnd", channel, {"DialStatus": "ANSWER"})
        self._respond(4)
        self.switch.clock.call_later(BEGINS, lambda: self._go_on(channel))
        channel.on_bridged = lambda: bridged(channel, ring)
        channel.on_parted = lambda: channel.drop("dialplan")
        picked_up(channel, ring)

    def _refuse(self, channel: Channel, ring: Ring) -> None:
        status, channel.cause = REFUSED[ring.does]
        self.switch.event("HangupRequest", channel, {"Cause": str(channel.cause)})
        self.switch.dial_event("DialEnd", channel, {"DialStatus": status})
        self._respond(0)
        channel.drop("caller", channel.cause)

    def _time_is_up(self, channel: Channel) -> None:
        self._respond(3)
        channel.drop("dialplan", 19)

    def _dropped(self) -> None:
        """It was hung up while it rang: nobody has picked up."""
        assert self._channel is not None
        if self._timer is not None:
            self._timer.cancel()
        if not self._responded:
            self._channel.cause = 0
            self.switch.dial_event("DialEnd", self._channel, {"DialStatus": "NOANSWER"})
            self._respond(0)

    def _respond(self, reason: int) -> None:
        order, self._responded = self.order, True
        self.switch.ami.tell(
            "OriginateResponse",
            "call",
            {
                "ActionID": order.action_id,
                "Response": "Success" if reason == 4 else "Failure",
                "Channel": f"PJSIP/{order.phone}" if self._channel is None else self._channel.name,
                "Context": order.context,
                "Exten": order.exten,
                "Reason": str(reason),
                "Uniqueid": order.channel_id,
                "CallerIDNum": order.caller or "<unknown>",
                "CallerIDName": "<unknown>",
            }.items(),
        )

    # ------------------------------------------------------------ the dialplan of its context

    def _go_on(self, channel: Channel) -> None:
        dialplan = self.switch.contexts.get(self.order.context)
        if channel.dead:
            return
        if dialplan is None:
            channel.drop("dialplan")
            return
        channel.variables.update(dialplan.variables)
        channel.absolute(dialplan.absolute)
        arguments = [expand(channel, text) for text in dialplan.arguments]
        self.switch.run_script(
            channel, dialplan.path, arguments, lambda status: self._after(channel, dialplan, status)
        )

    def _after(self, channel: Channel, dialplan: Answered, status: str) -> None:
        channel.status = "HANGUP" if channel.dead else status
        channel.absolute(0)
        if channel.dead:
            channel.leave()
        elif channel.bridge is None:
            if channel.variables.get(dialplan.accepted) == "1":
                wait = float(channel.variables.get("SANSHENG_WAIT") or dialplan.wait)
                channel.clock.call_later(wait, lambda: self._not_fetched(channel))
            else:
                channel.drop("dialplan")

    def _not_fetched(self, channel: Channel) -> None:
        """Nobody has bridged it in time."""
        if channel.bridge is None:
            channel.drop("dialplan")
