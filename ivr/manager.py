"""The manager side (AMI): events in, actions out, on the event loop.

pyst2's manager blocks and runs threads; `ivr.ami` makes one connection of it safe, and here that
becomes something a loop can await. Rules this module keeps:

- An action without a reply after `reply_within` seconds ends the connection, and all that wait
  are told. A new connection is a new `Connection`: pyst2's cannot be used twice.
- Connecting again waits 0.5 s, then twice as long each time, 30 s at most.
- Events are counted (`events_seen`) when they have been taken, wanted or not, and handed over on
  the loop. Events that nobody takes do not pile up: the connection ends first.
- All deadlines go through the clock.
- `stop` leaves no thread and no socket behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final

import asterisk.manager as pyst2

from ivr.ami import (
    Connection,
    Headers,
    Job,
    ManagerDown,
    ManagerError,
    ManagerRefused,
    Message,
    UnsafeValue,
    checked,
)
from ivr.clock import Clock

__all__ = ["Manager", "ManagerDown", "ManagerError", "ManagerRefused", "UnsafeValue"]

FIRST_PAUSE: Final = 0.5
"""Seconds before connecting again."""

LONGEST_PAUSE: Final = 30.0

ACTIONS_WAITING: Final = 1000
"""Actions without a reply that may be out at once."""


class Manager:
    """A connection to one Asterisk's manager that mends itself.

    `on_event` is called on the event loop with the headers of every event whose name is in
    `events` (None: all) and that `wants(name, channel)` lets through; `channel` is the event's
    Channel header or "", and `wants` is called in a thread. `ping_every` None sends no pings.
    Lengths are in seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        username: str,
        secret: str,
        *,
        clock: Clock,
        on_event: Callable[[Message], None],
        events: Collection[str] | None = None,
        wants: Callable[[str, str], bool] | None = None,
        reply_within: float = 5.0,
        ping_every: float | None = 10.0,
    ) -> None:
        checked("Login", {"Username": username, "Secret": secret})
        self.host = host
        self.port = port
        self.connected = False
        self.events_seen = 0
        self.connections = 0
        self.problem = "not started"
        self.hears_system = False
        """Whether our account reads class `system`: Asterisk has told it that it is up."""
        self._username = username
        self._secret = secret
        self._clock = clock
        self._take = on_event
        self._events = None if events is None else frozenset(events)
        self._filter = wants
        self._reply_within = reply_within
        self._ping_every = ping_every
        self._connection: Connection | None = None
        self._out: dict[Job, Connection] = {}
        self._news = asyncio.Event()
        self._open: list[Connection] = []  # with threads that have not been joined
        self._inbox: deque[Message | None] = deque()
        self._rung = False
        self._dialling = False
        self._stopped = False
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Manager {self.host}:{self.port} {'up' if self.connected else self.problem}>"

    @property
    def pending(self) -> int:
        """Actions without a reply; an attempt to connect counts as one."""
        return len(self._out) + self._dialling

    async def start(self) -> None:
        """Connect, and stay connected. Returns when the first attempt has ended, well or not
        (`connected`, `problem`); goes on by itself."""
        if self._stopped:
            return
        self._loop = asyncio.get_running_loop()
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(lambda _: self._tried.set())
        await self._tried.wait()

    async def stop(self) -> None:
        """Disconnect. No thread is left, and no event is handed over any more. May be called
        twice, and before `start`."""
        self._stopped = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for connection in list(self._open):
            self._drop(connection, "stopped")
            await self._bury(connection)
        if self._keeper is not None and not self._keeper.cancelled():
            self._keeper.result()  # it never ends by itself but by a bug of ours

    async def action(self, name: str, headers: Headers | None = None) -> Message:
        """Send one action and wait for its reply.

        A header whose value is a list is sent once for each. Raises ManagerDown,
        ManagerRefused, and UnsafeValue (a bug of ours).
        """
        fresh = checked(name, headers or {})
        if self._connection is None or not self.connected:
            raise ManagerDown(self.problem)
        if len(self._out) >= ACTIONS_WAITING:
            raise ManagerDown(f"{ACTIONS_WAITING} actions wait already")
        return await self._submit(self._connection, lambda it: it.send_action(fresh))

    async def doorbell(self, channel: str) -> bool:
        """End the command that waits on this channel, by a digit D that the caller seems to
        press. False if there is no such channel (any more). Raises ManagerDown, and ManagerRefused
        if we may not (the account lacks `call`, or Asterisk its app_senddtmf)."""
        try:
            await self.action(
                "PlayDTMF",
                {"Channel": channel, "Digit": "D", "Receive": "true", "Duration": "20"},
            )
        except ManagerRefused as problem:
            if problem.detail != "Channel not found":
                raise
            return False
        return True

    # -- connecting

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            connection = await self._attempt()
            self._tried.set()
            if connection is not None:
                pause = FIRST_PAUSE
                await self._watch(connection)
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self) -> Connection | None:
        self._dialling = True
        try:
            sock = await self._dial()
        except OSError as problem:
            self.problem = _words(problem)
            return None
        finally:
            self._dialling = False
        connection = Connection(sock, self)
        self._connection = connection
        self._open.append(connection)
        connection.start()
        try:
            await self._submit(connection, lambda it: it.enter(self._username, self._secret))
        except ManagerError as problem:
            self.problem = problem.detail
            self._drop(connection, problem.detail)
            await self._bury(connection)
            return None
        self.connected, self.problem = True, ""
        self.connections += 1
        return connection

    async def _dial(self) -> socket.socket:
        found = await self._clock.in_executor(self._addresses)
        for *where, _, address in found[:-1]:
            try:
                return await self._dial_one(socket.socket(*where), address)
            except OSError as problem:
                self.problem = _words(problem)
        *where, _, address = found[-1]
        return await self._dial_one(socket.socket(*where), address)

    def _addresses(self) -> list[tuple[Any, ...]]:
        """Called in the executor: asking a name server blocks."""
        return list(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))

    async def _dial_one(self, sock: socket.socket, address: Any) -> socket.socket:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(loop.sock_connect(sock, address))
        late = self._clock.call_later(self._reply_within, lambda: _cancel(connecting))
        try:
            await asyncio.wait([connecting])
            if connecting.cancelled():
                raise TimeoutError(0, "nobody answers there")
            connecting.result()
        except BaseException:
            connecting.cancel()
            try:
                await asyncio.wait([connecting])  # the loop must let go of the socket first
            finally:  # also if we are stopped just here
                sock.close()
            raise
        finally:
            late.cancel()
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _watch(self, connection: Connection) -> None:
        """Ping until the connection is lost."""
        while connection is self._connection:
            timer = None
            if self._ping_every is not None:
                timer = self._clock.call_later(self._ping_every, self._news.set)
            await self._news.wait()
            self._news.clear()
            if timer is not None:
                timer.cancel()
            if connection is self._connection:
                try:
                    await self.action("Ping")
                except ManagerError as problem:
                    self.problem = problem.detail  # what follows from it has been done already
        await self._bury(connection)

    def _drop(self, connection: Connection, why: str) -> None:
        if connection is self._connection:
            self._connection, self.connected, self.problem = None, False, why
            self._news.set()
        connection.abort()
        for job in [job for job, on in self._out.items() if on is connection]:
            self._finish(job, ManagerDown(why))

    async def _bury(self, connection: Connection) -> None:
        await self._clock.in_executor(connection.close)
        if connection in self._open:
            self._open.remove(connection)

    # -- actions

    async def _submit(
        self, connection: Connection, work: Callable[[Connection], pyst2.ManagerMsg]
    ) -> Message:
        job = Job(work, asyncio.get_running_loop().create_future())
        job.deadline = self._clock.call_later(
            self._reply_within,
            lambda: self._drop(connection, f"no reply in {self._reply_within:g} s"),
        )
        self._out[job] = connection
        connection.jobs.put(job)
        return await job.reply

    def _finish(self, job: Job, outcome: pyst2.ManagerMsg | Exception) -> None:
        if self._out.pop(job, None) is None:
            return  # it was given up before
        if job.deadline is not None:
            job.deadline.cancel()
        if job.reply.done():
            return  # who asked no longer waits
        if isinstance(outcome, pyst2.ManagerMsg):
            if outcome.get_header("Response") == "Error":
                reason = outcome.get_header("Message", "no reason given")
                job.reply.set_exception(ManagerRefused(reason))
            else:
                job.reply.set_result(dict(outcome.headers))
        elif isinstance(outcome, pyst2.ManagerAuthException):
            job.reply.set_exception(ManagerRefused(str(outcome)))
        elif isinstance(outcome, pyst2.ManagerException) and not isinstance(outcome, ManagerError):
            job.reply.set_exception(ManagerDown("the connection was lost"))
        else:
            job.reply.set_exception(outcome)

    # -- called by the threads of a connection

    def wants(self, name: str, channel: str) -> bool:
        if name == "FullyBooted":  # at every login, whatever the account's filter
            self.hears_system = True
        if self._events is not None and name not in self._events:
            return False
        return self._filter is None or self._filter(name, channel)

    def waiting(self) -> int:
        return len(self._inbox)

    def happened(self, event: Message | None) -> None:
        # one wake-up of the loop serves all events that have come until it runs
        self._inbox.append(event)
        if not self._rung:
            self._rung = True
            self._call(self._drain)

    def done(self, connection: Connection, job: Job, outcome: pyst2.ManagerMsg | Exception) -> None:
        self._call(self._finish, job, outcome)

    def lost(self, connection: Connection, why: str) -> None:
        self._call(self._drop, connection, why)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._clock.from_thread(self._loop, function, *args)

    # -- events, on the loop

    def _drain(self) -> None:
        self._rung = False
        try:
            for _ in range(len(self._inbox)):
                event = self._inbox.popleft()
                self.events_seen += 1
                if event is not None and not self._stopped:
                    self._take(event)
        finally:
            if self._inbox and not self._rung:  # left by an error
                self._rung = True
                self._call(self._drain)


def _words(problem: OSError) -> str:
    """asyncio says "Connect call failed" where the system says why."""
    if problem.errno is not None and problem.errno > 0:
        return os.strerror(problem.errno)
    return problem.strerror or str(problem)


def _cancel(future: asyncio.Future[None]) -> None:
    future.cancel()
