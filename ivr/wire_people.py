"""Our own people in a rehearsal at wire level: their phones, their states, and who waits before.

Rules this module keeps:

- The switchboard, the claims and the waiting line are those of the service, on a database that is
  thrown away; only the phones and whoever answers them are stand-ins (`ivr.fake_phones`).
- Whoever has a phone in the world is ready when the first call comes; all others are not at work.
- `ahead` callers of somebody else's wait before ours, and everybody talks to others; one after the
  other is served every `AHEAD_EACH` seconds from when our first caller joined the line.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path

from ivr import actions, dialplan
from ivr.agents import Agents
from ivr.driver import Driver
from ivr.events import Event
from ivr.fake_bridge import Feature
from ivr.fake_ears import Part
from ivr.fake_phones import FakePhone
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.queueing import place_id
from ivr.scenario import AHEAD_EACH, Ring
from ivr.server import Service
from ivr.store import Store
from ivr.switchboard import Switchboard

EARLIER = timedelta(minutes=1)
"""How long before the first call people have come to work."""
LOOK = 4.0
"""Seconds between two looks at whose turn it is: no other process changes anything here."""
BEAT = 4.0
"""Seconds between two signs of life of those who wait before our caller."""


class Crew:
    """The people of one world. `rings` says what is done at each ring, by phone; `line` is the one
    whose default department the callers `ahead` wait for."""

    def __init__(
        self,
        rings: Mapping[str, Sequence[Ring]],
        name_of: Callable[[str], Part | None],
        line: Line | None = None,
        ahead: int = 0,
    ) -> None:
        self.phones = {phone: FakePhone(done, name_of) for phone, done in rings.items()}
        self.line = line
        self.ahead = ahead
        self._joined = False
        self._others_left = True

    async def open(self, service: Service) -> None:
        """Everybody comes to work for this service, whose manager is connected."""
        self._service, self._clock = service, service.clock
        self.store = await self._clock.in_executor(_empty_database)
        self.agents = Agents(self.store, "rehearsed")
        self.switchboard = Switchboard(service, self.agents, look=LOOK)
        self.switchboard.connect()
        self.switchboard.sync(service.hotlines.lines)
        await self.switchboard.settled()
        await self._clock.in_executor(self._come_to_work)
        if self.line is not None and self.ahead:
            self._others = Agents(self.store, "others")
            await self._clock.in_executor(self._wait_before, self.line)
            service.on_entry = self._happened
            self._beat()

    async def close(self) -> None:
        """Everybody goes home."""
        await self.switchboard.close()
        self.store.close()
        _SPARE.append(self.store)

    def _come_to_work(self) -> None:
        then = self._clock.utc() - EARLIER
        for place, phone in enumerate(self._in_order()):
            self.agents.set_ready(phone, "rehearsed", then + timedelta(milliseconds=place))

    def _in_order(self) -> list[str]:
        """The phones in the order of the lines' files."""
        lines = self._service.hotlines.lines.values()
        known = {agent.phone: 0 for line in lines for agent in line.staff.agents.values()}
        return [phone for phone in known if phone in self.phones]

    # ------------------------------------------------------------ those who wait before

    # every change below blocks, and is made in the executor

    def _wait_before(self, line: Line) -> None:
        """Everybody talks to others, and `ahead` more wait."""
        then = self._clock.utc() - EARLIER / 2
        department = line.staff.transfer.department
        for agent in line.staff.agents.values():
            if agent.phone in self.phones:
                self._join(f"talk-{agent.staff_number}", line, "", agent.staff_number, then)
        claims = self._others.match(then).claims
        self._talks = [(claim.call_id, claim.staff_number) for claim in claims]
        for number in range(self.ahead):
            self._join(f"ahead-{number}", line, department, "", then + timedelta(seconds=number))

    def _join(self, call: str, line: Line, department: str, one: str, now: datetime) -> None:
        department = department or line.staff.agents[one].departments[0]
        self._others.join(call, 0, line.name, department, one, now)

    def _beat(self) -> None:
        """The others are still there."""
        if self._others_left:
            self._service.spawn(self._clock.in_executor(self._others.beat, self._clock.utc()))
            self._clock.call_later(BEAT, self._beat)

    def _happened(self, driver: Driver, what: Event | actions.Action) -> None:
        if isinstance(what, actions.JoinLine) and not self._joined:
            self._joined = True
            for number in range(self.ahead):
                wait = AHEAD_EACH * (number + 1)
                self._clock.call_later(wait, partial(self._serve, number))

    def _serve(self, number: int) -> None:
        self._service.spawn(self._clock.in_executor(self._served, number))

    def _served(self, number: int) -> None:
        """One of those who waited is served; after the last everybody is free for our caller."""
        assert self.line is not None
        self._others.leave(place_id(f"ahead-{number}", 0))
        if number + 1 == self.ahead:
            now, transfer = self._clock.utc(), self.line.staff.transfer
            for call, agent in self._talks:
                self._others.leave(place_id(call, 0))
                self._others.release(call, agent, "free", transfer, now)
            self._others_left = False


_SPARE: list[Store] = []
"""Of worlds that are over: a store that has been used before need not think up its SQL again."""


def _empty_database() -> Store:
    """A database with every table and no row, for one world of this process."""
    store = _SPARE.pop() if _SPARE else Store(f"sqlite:///{_folder()}/people.db", synced=False)
    shutil.copyfile(_tables(), str(store.engine.url.database))
    return store


@lru_cache(maxsize=1)
def _tables() -> Path:
    """The file that every world's database begins as."""
    file = _folder() / "empty.db"
    store = Store(f"sqlite:///{file}", synced=False)
    store.upgrade()
    store.close()
    return file


def _folder() -> Path:
    """A folder for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="sansheng-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def features(hotlines: Hotlines) -> list[Feature]:
    """What agents may press in conversations, as the dialplan says it."""
    return [
        Feature(
            feature.code,
            dialplan.feature(line.name, feature.name),
            "self" if feature.name == dialplan.BACK else "peer",
            "feature",
            (feature.name,),
        )
        for line in hotlines.lines.values()
        for feature in line.staff.features.values()
    ]
