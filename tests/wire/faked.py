"""What the tests of the fake Asterisk share: its sounds, a side to play scripts against, and a
manager client without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SOUNDS = {"/s/one": 3.0, "/s/two": 1.5, "/s/part.0": 1.0, "/s/digit": 0.5, "/s/part.1": 1.0}
NAMES = {
    "/s/one": ("one", True, True),
    "/s/two": ("two", True, True),
    "/s/part.0": ("number", True, False),
    "/s/digit": ("", False, False),
    "/s/part.1": ("number", False, True),
}
KEYS = "0123456789*#D"
LAB = {"lab": Account("lab", system=False)}


class FakeSide:
    """The fake in virtual time; the keyword arguments are those of `place_call`."""

    def __init__(self, clock, spool=None, system="", **call):
        self.clock = clock
        self.options = {"spool": spool, "system": system, "seconds": SOUNDS.get}
        self.call = {"variables": {}, "absolute": 0.0, "name_of": NAMES.get} | call

    async def ring(self, port: int) -> None:
        self.fake = FakeAsterisk(self.clock, ("127.0.0.1", port), accounts=LAB, **self.options)
        self.ami = await self.fake.listen()
        self.channel = self.fake.place_call("11185", "13800138000", **self.call)

    def act(self, act) -> None:
        self.channel.do(act)

    async def until(self, done: Callable[[], bool]) -> None:
        await self.clock.run(lambda: done() and not self.fake.channels)
        await self.fake.close()


def kinds(side: FakeSide) -> list[tuple[float, str, str]]:
    """What was heard, without files: time, kind, name."""
    return [(h.at, h.kind, h.name) for h in side.channel.ears.heard if h.kind != "file"]


def ring_doorbell(play, at: float, digit: str = "D"):
    """Rings the doorbell `at` seconds from now, as the manager would."""
    play.side.clock.call_later(at, lambda: play.side.channel.doorbell(digit))


class AmiClient(asyncio.Protocol):
    """A manager client without threads; `events_seen` and `pending` are what the fake watches."""

    def __init__(self):
        self.packets: list[dict[str, str]] = []
        self.greeting = ""
        self.pending = 0
        self.events_seen = 0
        self.closed = False
        self._buffer = ""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.closed = True

    def data_received(self, data):
        self._buffer += data.decode()
        if not self.greeting:
            self.greeting, _, self._buffer = self._buffer.partition("\r\n")
        *packets, self._buffer = self._buffer.split("\r\n\r\n")
        for packet in packets:
            fields = dict(line.split(": ", 1) for line in packet.split("\r\n") if ": " in line)
            self.packets.append(fields)
            if "Event" in fields:
                self.events_seen += 1
            else:
                self.pending -= 1

    def action(self, name, **headers):
        self.pending += 1
        lines = [f"Action: {name}", *(f"{key}: {value}" for key, value in headers.items())]
        self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    @property
    def events(self):
        return [packet for packet in self.packets if "Event" in packet]
