"""A whole line without Asterisk, in real time: the service and a fake Asterisk in one process.

For trying a flow from the terminal on a machine that has no Asterisk, or no sound.

Rules this module keeps:

- The service is the one that takes real calls, with the real back ends; only Asterisk and the
  disk are stand-ins. Nothing that is said or kept outlives the call.
- Everything is told over a control socket, like a real service's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ivr import actions, control, store
from ivr.back_ends import LookUps
from ivr.channel import Taken
from ivr.clock import SystemClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.fake_channel import Channel
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.journal import MemoryJournal
from ivr.manager import Manager
from ivr.messages import Kept
from ivr.server import Service

SOUNDS = Path("/sounds")
"""Where the fake Asterisk believes the prompts to be."""
SECRET = "fake"


class FakeTelephone:
    """A call over the fake Asterisk."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.over = asyncio.Event()

    @property
    def ended_by(self) -> str:
        return {"": "", "caller": "us"}.get(self._channel.ended_by, "them")

    def press(self, key: str) -> None:
        self._channel.press(key)

    def speak(self, seconds: float) -> None:
        self._channel.speak(seconds)

    async def hang_up(self) -> None:
        self._channel.hang_up()

    async def ended(self) -> None:
        await self.over.wait()


class FakeLine:
    """The service, the fake Asterisk and what they need. Use with `async with`."""

    def __init__(self, hotlines: Hotlines, root: Path) -> None:
        self._clock = SystemClock()
        self._folder = tempfile.TemporaryDirectory(prefix="sansheng-")
        self.socket = Path(self._folder.name) / "control.sock"
        self._lookups = LookUps(hotlines, self._clock, root)
        self._service = Service(
            clock=self._clock,
            hotlines=hotlines,
            journal=MemoryJournal(),
            desk=self,
            lookups=self._lookups,
            sounds=SOUNDS,
            spool=Path(self._folder.name),
            system="fake",
            on_over=lambda driver: self._is_over(driver.row.uniqueid),
        )
        self._control = control.Control(self._service, self.socket)
        self._service.on_entry = self._control.happened
        self._telephones: dict[str, FakeTelephone] = {}
        self._recorded: dict[str, Channel] = {}
        lengths = {part.path: part.seconds for part in hotlines.library.all_parts().values()}
        self._lengths = {str(SOUNDS / path): length for path, length in lengths.items()}

    async def __aenter__(self) -> FakeLine:
        port = await self._service.listen("127.0.0.1", 0)
        await self._control.listen()
        self._fake = FakeAsterisk(
            self._clock,
            ("127.0.0.1", port),
            seconds=self._lengths.get,
            accounts={"sansheng": Account(SECRET)},
        )
        self._manager = Manager(
            "127.0.0.1",
            await self._fake.listen(),
            "sansheng",
            SECRET,
            clock=self._clock,
            on_event=self._service.manager_event,
        )
        await self._manager.start()
        self._service.bell = self._manager
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._manager.stop()
        await self._fake.close()
        await self._service.close()
        await self._control.close()
        await self._lookups.close()
        self._clock.close()
        self._folder.cleanup()

    def dial(self, number: str, caller: str) -> FakeTelephone:
        """Call one of the lines."""
        channel = self._fake.place_call(number, caller)
        self._recorded[channel.uniqueid] = channel
        phone = FakeTelephone(channel)
        self._telephones[channel.uniqueid] = phone
        return phone

    def _is_over(self, uniqueid: str) -> None:
        if uniqueid in self._telephones:
            self._telephones[uniqueid].over.set()

    # ------------------------------------------------------------ the desk

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken:
        """A recording is good if the caller has spoken at all."""
        voices = self._recorded[call.uniqueid].voices
        if not voices:
            return Taken("", 0.0, "silent")
        begin, end, quality = voices[-1].start, voices[-1].end, voices[-1].quality
        return Taken(f"recording-{len(voices)}", end - begin, quality)

    async def knows(self, line: Line, caller: str, uniqueid: str) -> bool:
        """Nobody has rung before."""
        return False

    async def keep(self, call: store.Call, line: Line, wish: actions.Keep) -> Kept:
        """Kept until the call is over."""
        return Kept(str(wish.id))
