"""The FastAGI service: listens, admits calls, drives them, drains and reloads.

Rules this module keeps:

- One event loop; each call is one `Driver`. A call keeps the version of its line that it began
  with; a reload that fails changes nothing.
- Peers by allow-list, a deadline and a size limit on the handshake, and never more calls than
  `most`: the surplus is closed at once, so that the dialplan takes over.
- A number that is nobody's is closed at once and logged; it is never given to a default line.
- One call, one worker: a call comes in by the public address, which workers may share; all its
  later sessions (agents' phones, agents' codes) come to the own address of the worker that has it.
- Draining: the public address is let go at once, for the next worker to take new calls. The calls
  that are up end by themselves; until the last one has, the own address stays.
- No secret and no whole number of a caller ever reaches a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from ivr import actions, driver, journal, listening, store
from ivr.agi import Gone, Session
from ivr.ami import Headers, Message
from ivr.clock import Clock
from ivr.driver import Driver
from ivr.events import Event, FeatureAsked
from ivr.flow import Line
from ivr.hearing import THRESHOLD
from ivr.hotlines import Hotlines
from ivr.house import Desk, Lender, Nobody, People
from ivr.lending import NothingLent
from ivr.manager import ManagerDown, ManagerRefused
from ivr.redact import mask

BACKLOG = 4096
"""Connections that may wait to be accepted; a smaller backlog costs seconds in a burst."""
MOST_CALLS = 2000
"""Calls of one process; more are left to the dialplan."""
ERRANDS = 2.0
"""Seconds that what was begun beside the calls may go on when the service ends."""
GREETING = 0.2
"""Seconds in which whoever was let in at the last moment says what they want."""

log = structlog.get_logger("server")


class Bell(Protocol):
    """The manager, as far as the service needs it."""

    @property
    def connected(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def hears_system(self) -> bool: ...
    async def doorbell(self, channel: str) -> bool: ...
    async def action(self, name: str, headers: Headers | None = None) -> Message: ...


LookUps = Callable[[store.Call, Line, actions.LookUp], Coroutine[Any, Any, Event]]
"""Asks a back end, and gives the event that answers."""


@dataclass(slots=True)
class Service:
    """All calls of one process, and what they share. `own` is where later sessions of its calls
    come to it, HOST:PORT; `pending` counts what is to end, besides the calls, before it ends."""

    clock: Clock
    hotlines: Hotlines
    journal: journal.Journal
    desk: Desk
    lookups: LookUps
    sounds: Path
    spool: Path
    system: str = ""
    allowed: tuple[str, ...] = ("127.0.0.1", "::1")
    most: int = MOST_CALLS
    threshold: int = THRESHOLD
    bell: Bell | None = None
    people: People = field(default_factory=Nobody)
    lender: Lender = field(default_factory=NothingLent)
    on_phones: Callable[[Mapping[str, str]], None] = lambda event: None
    caller_of: Callable[[str], str] = lambda uniqueid: ""
    other_scripts: Mapping[str, Callable[[Session], Coroutine[Any, Any, None]]] = field(
        default_factory=dict
    )
    clock_offset: float = 0.0
    own: str = ""
    pending: Callable[[], int] = lambda: 0
    maintenance: set[str] = field(default_factory=set)
    drivers: dict[str, Driver] = field(default_factory=dict)
    draining: bool = False
    ending: bool = False
    on_over: Callable[[Driver], None] | None = None
    on_entry: Callable[[Driver, Event | actions.Action], None] | None = None
    _calls: set[asyncio.Task[None]] = field(default_factory=set)
    _admitted: int = 0
    _errands: set[asyncio.Task[Any]] = field(default_factory=set)
    _public: asyncio.Server | None = None
    _own: asyncio.Server | None = None
    _bound: socket.socket | None = None
    _claim: socket.socket | None = None
    _versions: set[str] = field(default_factory=set)

    # -- listening

    async def listen(
        self,
        host: str,
        port: int,
        *,
        beside: bool = False,
        ports: Sequence[int] = listening.ANY_PORT,
        asterisk: tuple[str, int] | None = None,
    ) -> int:
        """Listen for Asterisk; returns the port. `ports` are those of which one may be our own,
        `asterisk` is where it can be reached, if that is known. Raises OSError if the port is
        taken, or none is left."""
        self.bind(host, port, beside=beside)
        listener, self._bound = self._bound, None
        assert listener is not None
        own = listening.own(host, ports)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        self._own = await self._server(own, self._later)
        self.own = listening.told(own, asterisk)
        self._public = await self._server(listener, self._ready)
        self._give_claim_up()
        return int(listener.getsockname()[1])

    async def _server(
        self, listener: socket.socket, ready: Callable[[Session], None]
    ) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Session(ready, clock=self.clock), sock=listener, backlog=BACKLOG
        )

    def bind(self, host: str, port: int, *, beside: bool = False) -> None:
        """Take the port without listening yet, unless that was done; `beside`: one that others
        may have, too. Raises OSError, with a sentence, if it is taken."""
        if self._bound is None:
            if port and not beside:
                self._claim = listening.claim(host, port)
            try:
                self._bound = listening.public(host, port, beside=beside)
            except OSError:
                self._give_claim_up()
                raise

    def _give_claim_up(self) -> None:
        """Who looks for the port finds it in use by now, or is welcome to it."""
        if self._claim is not None:
            self._claim.close()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            log.error("out of file descriptors; raise the limit (ulimit -n)")
            return
        log.error("an error of ours", what=str(context.get("message", "")), exc_info=error)

    def _later(self, session: Session) -> None:
        """A handshake is complete at our own address, where no call comes in."""
        self._ready(session, calls=False)

    def _ready(self, session: Session, *, calls: bool = True) -> None:
        """A handshake is complete."""
        if session.peer not in self.allowed:
            log.warning("a peer that is not allowed", peer=session.peer)
            session.close()
            return
        script = session.environment.get("network_script", "").partition("?")[0]
        work: Callable[[Session], Coroutine[Any, Any, None]]
        if script == "alive":
            session.close()  # that it is closed is the answer
            return
        if script == "call" and calls:
            if self._admitted >= self.most:
                log.warning("a call is left to the dialplan", calls=self._admitted)
                session.close()
                return
            work = self._call
        elif script in self.other_scripts:
            work = self.other_scripts[script]
        else:
            log.warning("an unknown script was asked for", script=script[:40])
            session.close()
            return
        self._calls.add(task := asyncio.create_task(self._guarded(session, work)))
        task.add_done_callback(self._calls.discard)
        if script == "call":
            self._admitted += 1
            task.add_done_callback(self._one_less)

    def _one_less(self, call: asyncio.Task[None]) -> None:
        self._admitted -= 1

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do this beside everything else."""
        self._errands.add(task := asyncio.create_task(work))
        task.add_done_callback(self._errands.discard)

    async def _guarded(
        self, session: Session, work: Callable[[Session], Coroutine[Any, Any, None]]
    ) -> None:
        try:
            await work(session)
        except Gone as why:
            log.info("Asterisk ended a session", why=str(why))
        except store.StorageFailed as why:
            log.error("a call is left to the dialplan: it cannot be journalled", why=str(why))
        except Exception:
            log.exception("a session ended by an error of ours")
        finally:
            session.close()

    # -- one call

    async def _call(self, session: Session) -> None:
        arguments = session.arguments
        number = arguments[0] if arguments else ""
        line = self.hotlines.numbers.get(number)
        if line is None:
            log.error("a call to a number that is nobody's", number=number[:30])
            return
        environment = session.environment
        caller = environment.get("callerid", "")
        caller = "" if caller == "unknown" else caller
        uniqueid = environment.get("uniqueid", "")
        call_id = journal.call_id(self.system, uniqueid)
        known = await self.desk.knows(line, caller, uniqueid)
        now = self.clock.utc()
        rung = self._rung(arguments, now)
        offered = self.hotlines.offered(
            line, number, caller, rung, now, line.name in self.maintenance, known
        )
        self.write_version(line, now)
        offered_at = now - timedelta(seconds=rung)
        row = driver.row(call_id, self.system, uniqueid, line, offered, offered_at)
        self.journal.append(row)
        one = Driver(self, line, self.hotlines.library, session, row, offered)
        name = one.channel.name
        self.drivers[name] = one
        shown = mask(offered.caller) or "withheld"
        log.info("a call begins", call=call_id, line=line.name, caller=shown)
        try:
            await one.run()
        finally:
            if self.drivers.get(name) is one:
                del self.drivers[name]
            log.info("a call ends", call=call_id, line=line.name, ended_by=one.row.ended_by)
            if self.on_over is not None:
                self.on_over(one)

    def _rung(self, arguments: Sequence[str], now: datetime) -> float:
        """Seconds since the call began to ring, by the start that the dialplan passes on."""
        try:
            began = float(arguments[1])
        except (IndexError, ValueError):
            return 0.0
        rung = now.timestamp() - self.clock_offset - began
        if not math.isfinite(rung):
            return 0.0
        return round(min(max(rung, 0.0), 3600.0), 3)

    def write_version(self, line: Line, now: datetime) -> None:
        """A call's row names its line's version: that is written first, once."""
        if line.version not in self._versions:
            body = self.hotlines.bodies[line.name]
            self.journal.append(store.Version(line.version, line.name, body, now))
            self._versions.add(line.version)

    async def feature(self, session: Session) -> None:
        """The script `feature`: an agent has pressed a code in a conversation. It runs on the
        caller's channel, and has the caller's ear until the conversation goes on; what ends a hold
        runs on the agent's own."""
        name = session.arguments[0] if session.arguments else ""
        one = self.drivers.get(session.environment.get("channel", ""))
        if one is not None:
            await one.interrupt(session, name)
            return
        caller = self.caller_of(session.environment.get("uniqueid", ""))
        for one in self.drivers.values():
            if one.row.id == caller:
                one.post(FeatureAsked(name))
                return
        log.warning("a feature code of nobody's call", feature=name[:40])

    # -- what a driver needs

    async def look_up(self, call: store.Call, line: Line, wish: actions.LookUp) -> Event:
        return await self.lookups(call, line, wish)

    @property
    def bells(self) -> int:
        """Which connection to the manager carries the doorbell; 0: there is none now."""
        bell = self.bell
        return bell.connections if bell is not None and bell.connected else 0

    def ring_doorbell(self, channel: str) -> None:
        """Ring, if the manager is there; whoever waits at the door rings again."""
        if self.bell is not None and self.bell.connected:
            self.spawn(self._ring(self.bell, channel))

    async def _ring(self, bell: Bell, channel: str) -> None:
        try:
            await bell.doorbell(channel)
        except ManagerDown:
            pass  # the manager itself says so; the channel goes on in slices
        except ManagerRefused as why:
            log.error("the manager's account may not ring the doorbell", why=str(why))

    # -- the manager's events

    def manager_event(self, event: Mapping[str, str]) -> None:
        """Something that Asterisk says of one of our channels."""
        self.on_phones(event)
        one = self.drivers.get(event.get("Channel", ""))
        if one is None:
            return
        match event.get("Event"):
            case "ChannelTalkingStart":
                one.talking(True)
            case "ChannelTalkingStop":
                one.talking(False, _milliseconds(event.get("Duration", "")))

    # -- reload and end

    def reload(self, hotlines: Hotlines, lookups: LookUps) -> None:
        """New calls get these lines; calls that are up keep theirs."""
        self.hotlines, self.lookups = hotlines, lookups

    async def drain(self, within: float) -> int:
        """Take no new calls and wait for those that are up; returns how many had to be ended. Until
        then we are still to be reached at our own address: a call that is up rings agents, whose
        phones come to us in sessions of their own, as do the codes that they press."""
        self.draining = True
        await self._let_go()
        deadline = self.clock.now() + within
        if within > GREETING:
            await self.clock.sleep(GREETING)
        while (self._calls or self.pending()) and self.clock.now() < deadline:
            await self.clock.sleep(0.1)
        if self._own is not None:
            self._own.close()
        self.ending = True
        left = list(self._calls)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def _let_go(self) -> None:
        """The public address is free for others."""
        if self._public is not None:
            await asyncio.sleep(0)  # who has rung already is let in: a closed door refuses them
            self._public.close()
        if self._bound is not None:
            self._bound.close()
        self._give_claim_up()

    async def close(self) -> None:
        """End at once; calls that are up go back to the dialplan. What they have asked for as they
        ended (phones to be hung up) is done before, if it can be soon."""
        await self.drain(0)
        if errands := set(self._errands):
            _, late = await asyncio.wait(errands, timeout=ERRANDS)
            for errand in late:
                errand.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for server in (self._public, self._own):
            if server is not None:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(server.wait_closed(), 1)


def _milliseconds(text: str) -> float:
    return int(text) / 1000 if text.isdigit() else 0.0
