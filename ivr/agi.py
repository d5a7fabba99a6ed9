"""One AGI session on the event loop: give a command, wait for its reply, hear the hang-up.

Rules this module keeps (those of the language itself stand in `ivr.wire`, whose names are found
here, as are the errors):

- One command at a time. It cannot be taken back: whoever stops waiting for a reply leaves the
  session `busy` until that reply has come.
- The socket is always read, so that a hang-up is known the moment it comes, also while nothing
  runs. What has been read is never more than one handshake or one reply.
- `hung_up` is about the caller, `closed` about the connection. `close` is our own wish, after
  which nothing is heard any more.
- No waiting but through the clock, and no other deadline than that of the handshake: how long a
  command may run is known to whoever gives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from ivr.agi_command import application_arguments
from ivr.agi_errors import (
    Busy,
    Closed,
    ConnectionLost,
    DeadChannel,
    Failed,
    Garbled,
    Gone,
    HungUp,
    LeftInCommand,
    Ours,
    Theirs,
    UnknownCommand,
    UnsafeArgument,
    WrongUse,
)
from ivr.clock import Clock, Timer
from ivr.wire import End, Hangup, Incoming, Ready, Reply, State, Wire

__all__ = [
    "Busy",
    "Closed",
    "ConnectionLost",
    "DeadChannel",
    "Failed",
    "Garbled",
    "Gone",
    "HungUp",
    "LeftInCommand",
    "Ours",
    "Reply",
    "Session",
    "Theirs",
    "UnknownCommand",
    "UnsafeArgument",
    "WrongUse",
    "application_arguments",
]


class Session(asyncio.Protocol):
    """One AGI session on the event loop.

    `on_ready(session)` is called when the handshake is complete; a peer that has not managed it
    after `handshake_within` seconds is dropped. `on_hangup()` is called at most once, at the
    moment we learn that nobody is there any more, also while we are idle; never after `close`.
    """

    def __init__(
        self, on_ready: Callable[[Session], None], *, clock: Clock, handshake_within: float = 5.0
    ) -> None:
        self.on_hangup: Callable[[], None] | None = None
        self.peer = ""
        self._on_ready = on_ready
        self._clock = clock
        self._handshake_within = handshake_within
        self._deadline: Timer | None = None
        self._wire = Wire()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._closing = False
        self._lost = asyncio.Event()
        self.gone: Gone | None = None

    # -- what is known

    @property
    def environment(self) -> Mapping[str, str]:
        """What Asterisk said at the start, names without `agi_`."""
        return self._wire.environment

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that the dialplan gave, in their order."""
        found: list[str] = []
        while (argument := self.environment.get(f"arg_{len(found) + 1}")) is not None:
            found.append(argument)
        return tuple(found)

    @property
    def hung_up(self) -> bool:
        """Nobody is there any more; `gone` says how we know."""
        return self.gone is not None

    @property
    def busy(self) -> bool:
        """A command is out, even if whoever gave it no longer waits for the reply."""
        return self._wire.state is State.BUSY

    @property
    def closed(self) -> bool:
        """The connection is no more."""
        return self._lost.is_set()

    # -- what can be done

    async def command(self, command: str, *arguments: str | int) -> Reply:
        """Have a command carried out, and wait for its reply.

        A reply that comes although the caller has hung up is returned all the same (it says how
        much was played or recorded); the next command raises. Raises `Gone` once nobody is
        there, and of our own making `UnsafeArgument`, `Busy`, `Closed`, `UnknownCommand`,
        `WrongUse`; `Failed` for a reply code that means nothing to us.
        """
        if self._closing or self._transport is None:
            raise Closed(command)
        if self.gone is not None:
            raise type(self.gone)(self.gone.detail)
        line = self._wire.send(command, *arguments)
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._transport.write(line)
        reply = await waiter
        if reply.code == 200:
            return reply
        if reply.code == 511:
            raise DeadChannel(command)
        if reply.code == 510:
            raise UnknownCommand(command)
        if reply.code == 520:
            raise WrongUse(command)
        raise Failed(f"{command} was answered with code {reply.code}")

    async def alive(self) -> bool:
        """Is the channel alive? Asks Asterisk: what `-1` means depends on it."""
        try:
            reply = await self.command("CHANNEL STATUS")
        except Gone:
            return False
        return reply.result is not None and reply.result >= 0

    def close(self) -> None:
        """Leave the call to the dialplan. Whoever still waits for a reply gets ConnectionLost."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()
        self._give_up(ConnectionLost("closed by us"))

    def abort(self) -> None:
        """Drop the connection as if Asterisk had: `on_hangup` is called."""
        self._end(ConnectionLost("dropped by us"))

    async def wait_closed(self) -> None:
        """Wait until the connection is no more."""
        await self._lost.wait()

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # no isinstance: the transports of uvloop are none of asyncio's classes
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._deadline = self._clock.call_later(self._handshake_within, self._too_slow)

    def data_received(self, data: bytes) -> None:
        for fact in self._wire.receive(data):
            if not self._closing:
                self._take(fact)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._stop_deadline()
        if not self._closing:
            for fact in self._wire.receive(b""):
                self._take(fact)

    # -- inside

    def _take(self, fact: Incoming) -> None:
        match fact:
            case Ready():
                self._stop_deadline()
                self._on_ready(self)
            case Hangup():
                self._learn(HungUp())
            case End():
                self._end(fact.why)
            case Reply():
                if fact.code == 511:
                    self._learn(DeadChannel())
                elif fact.left:
                    self._learn(LeftInCommand())
                waiter, self._waiter = self._waiter, None
                if waiter is not None and not waiter.done():
                    waiter.set_result(fact)

    def _learn(self, how: Gone) -> None:
        if self.gone is None:
            self.gone = how
            if self.on_hangup is not None:
                self.on_hangup()

    def _end(self, why: Gone) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._stop_deadline()
        if not self._closing:
            self._learn(why)
        self._give_up(why)

    def _give_up(self, why: Gone) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(why)

    def _too_slow(self) -> None:
        self._end(Garbled(f"no complete handshake in {self._handshake_within:g} s"))

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
