"""Where the phones of our own people are, as Asterisk tells: known to it, or gone.

Rules this module keeps:

- Asterisk says when it loses or finds a phone (`PeerStatus`), and when a phone that it knew is
  found elsewhere (`ContactStatus`); a registration that is only renewed says nothing.
- What was so before, and what happened while the manager was away, is asked for when it is there.
  What is heard meanwhile is newer than the answer.
- A phone at a fixed address is there unless Asterisk itself finds out that it does not answer. A
  phone that this Asterisk has never heard of is left as it is: ringing it will show.
- Who was rung in vain is asked about from time to time: a phone that registers again from the
  address it had is not told of. If it is there it is tried once more; misses are counted.
- Who would not be heard when they come back is not said to be away: an account that does not read
  class `system` is told of no phone.
- Only phones that stand in a line's file are anybody's.

Serves XJCA-5k, XJCA-5l.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from ivr.manager import ManagerDown, ManagerRefused
from ivr.store import StorageFailed

if TYPE_CHECKING:
    from ivr.agents import Agents
    from ivr.server import Service

STATES: Mapping[str, bool] = {
    "UNAVAILABLE": False,
    **dict.fromkeys(("NOT_INUSE", "INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD"), True),
}
"""What Asterisk's DEVICE_STATE says of a phone: whether it is there."""
PEERS: Mapping[str, bool] = {"Reachable": True, "Unreachable": False}
FOUND = frozenset({"NonQualified", "Reachable"})
"""What Asterisk says of one address of a phone where it may be rung."""
AGAIN = timedelta(minutes=1)
"""How often it is asked about those who were rung in vain, and how soon after that."""

log = structlog.get_logger("presence")


class Presence:
    """What Asterisk says of the phones of one service. `do` changes the database of `agents`,
    however long that takes; `look` is called when something has changed."""

    def __init__(
        self,
        service: Service,
        agents: Agents,
        do: Callable[[Callable[[], Any], Callable[[Any], None]], None],
        look: Callable[[], None],
    ) -> None:
        self._service, self._agents = service, agents
        self._do, self._look = do, look
        self._news: dict[str, bool] = {}  # not written down yet
        self._heard: set[str] = set()
        self._asking = asyncio.Lock()

    def event(self, event: Mapping[str, str]) -> None:
        """Something that Asterisk says."""
        match event.get("Event"):
            case "PeerStatus":
                kind, _, phone = event.get("Peer", "").partition("/")
                there = PEERS.get(event.get("PeerStatus", ""))
                if kind == "PJSIP" and there is not None:
                    self._tell(phone, there)
            case "ContactStatus" if event.get("ContactStatus") in FOUND:
                self._tell(event.get("EndpointName", ""), True)

    def _tell(self, phone: str, there: bool) -> None:
        if phone in self._phones():
            self._heard.add(phone)
            log.info("a phone is there" if there else "a phone has gone", phone=phone)
            self._write({phone: there})

    def _phones(self) -> set[str]:
        lines = self._service.hotlines.lines.values()
        return {agent.phone for line in lines for agent in line.staff.agents.values()}

    async def ask(self) -> None:
        """Ask where every phone is; to be called whenever the manager is there (again), and when
        the lines have been read."""
        async with self._asking:
            found = await self._states(self._phones())
            bell = self._service.bell
            deaf = bell is None or not bell.hears_system
            if known := {phone: there for phone, there in found.items() if there or not deaf}:
                self._write(known)

    async def ask_again(self) -> None:
        """Ask where the phones are that were rung in vain; to be called every `AGAIN`."""
        clock = self._service.clock
        async with self._asking:
            try:
                before = clock.utc() - AGAIN
                vain = await clock.in_executor(self._agents.rung_in_vain, before)
            except StorageFailed as why:
                log.warning("who was rung in vain is not known; asked again soon", why=str(why))
                return
            found = await self._states(self._phones().intersection(vain))
            if back := {phone: there for phone, there in found.items() if there}:
                log.info("a phone that was not reached is tried once more", phones=sorted(back))
                self._write(back)

    async def _states(self, phones: Iterable[str]) -> dict[str, bool]:
        """What Asterisk answers, but for phones of which it says something meanwhile."""
        bell = self._service.bell
        if bell is None or not bell.connected:
            return {}
        self._heard.clear()
        found: dict[str, bool] = {}
        try:
            for phone in sorted(phones):
                reply = await bell.action("Getvar", {"Variable": f"DEVICE_STATE(PJSIP/{phone})"})
                there = STATES.get(reply.get("Value", ""))
                if there is not None:
                    found[phone] = there
        except ManagerRefused as why:
            log.warning("Asterisk does not say where phones are: load func_devstate", why=str(why))
        except ManagerDown:
            return {}  # it is asked again when it is back
        return {phone: there for phone, there in found.items() if phone not in self._heard}

    def _write(self, phones: Mapping[str, bool]) -> None:
        self._news |= phones
        now = self._service.clock.utc()

        def work() -> tuple[dict[str, bool], bool]:
            news = dict(self._news)  # the newest, also if this was tried before
            if not news:
                return {}, False  # written down by the one before
            return news, self._agents.reached(news, now)

        def written(done: tuple[dict[str, bool], bool]) -> None:
            news, changed = done
            self._news = {one: at for one, at in self._news.items() if news.get(one) != at}
            if changed:
                self._look()

        self._do(work, written)
