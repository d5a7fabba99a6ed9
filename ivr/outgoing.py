"""Calls out to people (回拨): one number is rung, and what became of it is told once.

Rules this module keeps:

- The channel has an id that is ours and was written down before, so that the call is found again
  after a crash, and can be hung up whether it rings or talks.
- Only a checked number and the names in the line's own file become part of a dial string; the
  number that is shown is the line's own (LAW-1).
- Reasons are Asterisk's own (`ivr.ringing`): busy, refused, no_answer, unreachable. A manager that
  is lost leaves the call unsure: then nothing is told but that.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ivr import ringing
from ivr.clock import Timer
from ivr.dialplan import OWN
from ivr.directory import refusal
from ivr.manager import ManagerDown, ManagerRefused
from ivr.staff import PHONE

if TYPE_CHECKING:
    from ivr.server import Service

CONTEXT = "sansheng-callback"
"""Where the dialplan takes a person who has picked up."""
SILENT = 10.0
"""How much longer than it may ring nothing is heard of a call before it is unsure."""
CAUSES: Mapping[str, str] = {
    "17": "busy",
    "21": "refused",
    **dict.fromkeys(("1", "3", "20", "22", "27", "28", "38"), "unreachable"),
}
UNSURE = "unsure"
"""Nobody can say what became of it, as the manager is not there."""

log = structlog.get_logger("callbacks")


@dataclass(eq=False, slots=True)
class Outgoing:
    """One call out. `tell` is told once how it ended: a reason, or "" after it was answered."""

    channel_id: str
    tell: Callable[[str], None]
    rang: bool = False
    answered: bool = False
    told: bool = False
    deadline: Timer | None = None


class Dialler:
    """All calls out of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._out: dict[str, Outgoing] = {}
        self._names: frozenset[str] = frozenset()

    def wants(self, name: str, channel: str) -> bool:
        """Whether an event of this name, about this channel, may be about a call out. Called in a
        thread of the manager's."""
        if name not in ringing.WATCHED or not self._out:
            return False
        return not channel or any(channel.startswith(known) for known in self._names)

    async def ring(
        self,
        number: str,
        through: str,
        shows: str,
        channel_id: str,
        seconds: float,
        variables: Mapping[str, str],
        tell: Callable[[str], None],
    ) -> None:
        """Ring this number; the row that says so is committed. Raises ValueError for a number or
        an endpoint that must not be dialled, which were checked before: a bug of ours."""
        if refusal(number) or not number.isdigit() or not PHONE.fullmatch(through):
            raise ValueError("a number that may not be dialled")
        if not shows.isdigit():
            raise ValueError("a number that may not be shown")
        out = Outgoing(channel_id, tell)
        self._out[channel_id] = out
        # replaced, never changed: another thread reads it
        self._names = self._names | {f"PJSIP/{through}-", f"PJSIP/{number}@{through}"}
        out.deadline = self._service.clock.call_later(
            seconds + SILENT, lambda: self._end(out, UNSURE)
        )
        headers: dict[str, str | list[str]] = {
            "Channel": f"PJSIP/{number}@{through}",
            "ChannelId": channel_id,
            "Context": CONTEXT,
            "Exten": "s",
            "Priority": "1",
            "Timeout": str(round(seconds * 1000)),
            "Async": "true",
            "CallerID": f"<{shows}>",
            "Variable": [
                *(f"{name}={value}" for name, value in variables.items()),
                f"{OWN}={self._service.own}",
            ],
        }
        bell = self._service.bell
        try:
            if bell is None:
                raise ManagerDown("there is no manager")
            await bell.action("Originate", headers)
        except ManagerDown as error:
            log.warning("it is unsure whether somebody is rung", why=str(error))
            self._end(out, UNSURE)
        except ManagerRefused as error:
            log.error("nobody can be called back", why=str(error))
            self._end(out, "failed")

    def event(self, event: Mapping[str, str]) -> None:
        """Something that Asterisk says of a call out."""
        out = self._out.get(ringing.channel(event))
        if out is None:
            return
        match ringing.news(event):
            case ringing.RINGS:
                out.rang = True
            case ringing.ANSWERED:
                self._answered(out)
            case ringing.IN_VAIN:
                vain = partial(self._end, out, ringing.unanswered(out.rang))
                self._service.clock.call_later(ringing.SETTLE, vain)
            case ringing.OVER:
                self._hung_up(out, event.get("Cause", ""))

    def picked_up(self, channel_id: str) -> None:
        """The person is here: whatever the manager says, or does not."""
        if (out := self._out.get(channel_id)) is not None:
            self._answered(out)

    def _answered(self, out: Outgoing) -> None:
        out.answered = True
        if out.deadline is not None:
            out.deadline.cancel()

    def _hung_up(self, out: Outgoing, cause: str) -> None:
        if out.answered:
            self._end(out, "")
        else:
            self._end(out, ringing.reason(cause, out.rang, CAUSES))

    def _end(self, out: Outgoing, reason: str) -> None:
        if out.deadline is not None:
            out.deadline.cancel()
        self._out.pop(out.channel_id, None)
        if not out.told:
            out.told = True
            out.tell(reason)

    async def hang_up(self, channel_id: str) -> None:
        """End a call out, ringing or not. One that is gone is no error."""
        try:
            if self._service.bell is not None:
                await self._service.bell.action("Hangup", {"Channel": channel_id, "Cause": "16"})
        except ManagerRefused:
            pass  # it is gone already
        except ManagerDown as error:
            log.warning("a call out cannot be ended", why=str(error))

    async def exists(self, channel_id: str) -> bool | None:
        """Whether Asterisk still has this channel; None if it cannot be asked."""
        bell = self._service.bell
        if bell is None or not bell.connected:
            return None
        try:
            await bell.action("Getvar", {"Channel": channel_id, "Variable": "UNIQUEID"})
        except ManagerRefused as error:
            if error.detail.startswith("No such channel"):
                return False
            log.error("the manager's account may not ask for a channel", why=str(error))
            return None
        except ManagerDown:
            return None
        return True
