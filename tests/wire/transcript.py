"""One little AGI script, played against any Asterisk: the fake one or a real one.

`transcript` listens as a FastAGI service, has a call come in, gives the commands, and returns
every line of both directions with its time. The same steps can so be compared on both.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ivr.clock import Clock
from ivr.scenario import Act


@dataclass(frozen=True)
class Pause:
    """No command for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Interrupt:
    """Give `first`, `after` seconds later `second` without waiting, then wait for `replies`."""

    first: str
    after: float
    second: str
    replies: int = 1


@dataclass(frozen=True)
class Do:
    """Anything else, now."""

    what: Callable[[], object]


Step = str | Pause | Interrupt | Do


@dataclass(frozen=True)
class Line:
    """One line: `>> ` sent by the script, `<< ` by Asterisk; seconds since the first command."""

    at: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """What was said. `environment` holds the lines that Asterisk began with."""

    environment: list[str]
    lines: list[Line]

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def heard(self) -> list[str]:
        """What Asterisk said."""
        return [line.text[3:] for line in self.lines if line.text.startswith("<< ")]

    def at(self, text: str) -> float:
        """When a line came, the last of its kind."""
        return [line.at for line in self.lines if line.text == text][-1]


class Side(Protocol):
    """An Asterisk and a caller: the fake, or a real one with a telephone."""

    @property
    def clock(self) -> Clock: ...

    async def ring(self, port: int) -> None:
        """Have a call come in to the FastAGI service on 127.0.0.1 and this port."""

    def act(self, act: Act) -> None:
        """The caller does this now."""

    async def until(self, done: Callable[[], bool]) -> None:
        """Let time go by."""


class _Over(Exception):
    """Asterisk has closed the connection."""


class _Service(asyncio.Protocol):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.environment: list[str] | None = None
        self.ready = asyncio.Event()
        self.lines: list[Line] = []
        self.began = 0.0
        self.closed = asyncio.Event()
        self._buffer = ""
        self._replies = 0
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("<< EOF")
        self.closed.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(_Over())

    def data_received(self, data: bytes) -> None:
        self._buffer += data.decode("utf-8", "surrogateescape")
        if self.environment is None:
            head, gap, self._buffer = self._buffer.partition("\n\n")
            if not gap:
                self._buffer = head
                return
            self.environment = head.split("\n")
            self.began = self.clock.now()
            self.ready.set()
        *lines, self._buffer = self._buffer.split("\n")
        for line in lines:
            self._note(f"<< {line}")
            if re.match(r"\d{3} ", line):
                self._replies += 1
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_result(None)

    def _note(self, text: str) -> None:
        self.lines.append(Line(round(self.clock.now() - self.began, 6), text))

    def send(self, command: str) -> None:
        if self.closed.is_set():
            raise _Over
        self._note(f">> {command}")
        self.transport.write(command.encode("utf-8", "surrogateescape") + b"\n")

    async def replies(self, count: int) -> None:
        while self._replies < count:
            if self.closed.is_set():
                raise _Over
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._replies -= count

    async def play(self, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                await self._step(step)
        except _Over:
            return
        self.transport.close()

    async def _step(self, step: Step) -> None:
        if isinstance(step, str):
            self.send(step)
            await self.replies(1)
        elif isinstance(step, Pause):
            with self.clock.parked("the script"):
                await self.clock.sleep(step.seconds)
        elif isinstance(step, Interrupt):
            self.send(step.first)
            with self.clock.parked("the script"):
                await self.clock.sleep(step.after)
            self.send(step.second)
            await self.replies(step.replies)
        else:
            step.what()


async def transcript(
    side: Side, steps: Sequence[Step], caller: Sequence[tuple[float, Act]] = ()
) -> Transcript:
    """Play the steps; `caller` acts at these seconds after the first command."""
    service = _Service(side.clock)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: service, "127.0.0.1", 0)

    async def play() -> None:
        await service.ready.wait()
        for at, act in caller:
            side.clock.call_later(at, lambda act=act: side.act(act))
        await service.play(steps)
        await service.closed.wait()

    await side.ring(server.sockets[0].getsockname()[1])
    task = asyncio.create_task(play())
    await side.until(task.done)
    task.result()
    server.close()
    await server.wait_closed()
    return Transcript(service.environment or [], service.lines)
