"""A fake Asterisk: real sockets, scripted callers, and time that a test may move.

It rings a FastAGI service as Asterisk does, obeys the commands, plays nothing and knows how long
it would have taken, and tells over AMI what happens. What it does was measured on Asterisk 22;
the modules `fake_…` say what.

Rules this module keeps:

- All time comes from the `Clock` it is given. On a `VirtualClock` it keeps time standing still
  while the service has anything left to do: a session that has no command outstanding, or was
  left by Asterisk and has not closed, and is not `parked`; a connection being made; a manager
  event not seen; an action not answered.
- One fake carries many calls.
- Nothing is written outside the `spool` folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ivr import dialplan, fake_sound
from ivr.clock import Clock, VirtualClock
from ivr.fake_agi import AgiSession
from ivr.fake_ami import Account, AmiServer, AmiSession, Watched
from ivr.fake_bridge import Feature
from ivr.fake_channel import Channel
from ivr.fake_ears import Heard, Part, Script
from ivr.fake_originate import DIALPLAN, Answered, Dialling, Order
from ivr.fake_phones import FakePhone
from ivr.settings import address

EXIT_ON_HANGUP = {"AGIEXITONHANGUP": "yes"}
"""What the dialplan sets before it rings the service."""

CLOSING = 4
"""Turns of the event loop until a connection that was broken is no more."""


class FakeAsterisk:
    """An Asterisk that can be made and thrown away in a millisecond.

    `agi` is where the service listens; later sessions of a call go to the worker that has it, if
    its channel says where that listens. `seconds` tells how long a sound file is, by the path as
    Asterisk is asked to play it; None: there is no such file. `spool` is where recordings go;
    None: none are written. `done` is the variable by which a script says that all is well.
    `phones` can be rung (PJSIP/name) into the `contexts`; `features` are the codes of a
    conversation.
    """

    def __init__(
        self,
        clock: Clock,
        agi: tuple[str, int],
        *,
        seconds: Callable[[str], float | None],
        spool: Path | None = None,
        system: str = "fake",
        done: str = "SANSHENG_DONE",
        accounts: Mapping[str, Account] | None = None,
        phones: Mapping[str, FakePhone] | None = None,
        contexts: Mapping[str, Answered] = DIALPLAN,
        features: Sequence[Feature] = (),
    ) -> None:
        self.clock = clock
        self.agi = agi
        self.spool = spool
        self.system = system
        self.done = done
        self.epoch = clock.utc().timestamp() - clock.now()
        self.phones = dict(phones or {})
        self.contexts = dict(contexts)
        self.features = tuple(features)
        self.database: dict[tuple[str, str], str] = {}
        self.channels: dict[str, Channel] = {}
        self.ami = AmiServer(self, dict(accounts or {}))
        self.thinking = 0
        self.closing = 0
        self.calls = 0
        self.commands = 0
        self._seconds = seconds
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        if isinstance(clock, VirtualClock):
            clock.holds.append(self.idle)
            clock.witnesses.append(self.describe)

    # ------------------------------------------------------------ for whoever runs it

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Open the manager interface; returns its port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: AmiSession(self.ami), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def watch(self, manager: Watched) -> None:
        """Keep time standing still until this manager client has seen all it was told."""
        self.ami.watched = manager

    def place_call(
        self,
        number: str,
        caller: str = "",
        script: Script | None = None,
        *,
        name_of: Callable[[str], Part | None] = lambda path: (path, True, True),
        on_heard: Callable[[Channel, Heard], None] | None = None,
        on_ops: Callable[[Channel], None] | None = None,
        on_hum: Callable[[Channel, float], None] | None = None,
        rung: float = 0.0,
        rtp: bool = True,
        path: str = "call",
        arguments: Iterable[str] | None = None,
        variables: Mapping[str, str] = EXIT_ON_HANGUP,
        absolute: float = 8.0,
        transcript: bool = False,
    ) -> Channel:
        """A call comes in, and Asterisk rings the service.

        `script` is told what the caller hears and says what they do; `on_heard` is told
        everything. `rung` is how many seconds it has been ringing. `absolute` is the time that
        the dialplan gives the service, in seconds, 0: for ever. `arguments` are those of the AGI
        application; by default the number and when the call began (epoch seconds).
        `transcript` keeps every line of the session in `channel.transcript`.
        """
        self.calls += 1
        prefix = f"{self.system}-" if self.system else ""
        channel = Channel(
            self,
            f"PJSIP/caller-{self.calls:08x}",
            f"{prefix}{int(self.epoch + self.clock.now())}.{self.calls}",
            number,
            caller,
            rung=rung,
            rtp=rtp,
            name_of=name_of,
            script=script,
            on_ops=(lambda: on_ops(channel)) if on_ops is not None else None,
            on_hum=(lambda length: on_hum(channel, length)) if on_hum is not None else None,
        )
        if on_heard is not None:
            channel.ears.listeners.append(lambda heard: on_heard(channel, heard))
        channel.variables.update(variables)
        channel.absolute(absolute)
        began = f"{self.epoch + channel.began:.6f}"
        channel.arguments = [number, began] if arguments is None else list(arguments)
        self.add(channel)

        def over(status: str) -> None:
            done = channel.variables.get(self.done, "") not in ("", "0")
            channel.script_over(status, done)

        if transcript:
            channel.transcript = []
        self.run_script(channel, path, channel.arguments, over)
        return channel

    def ring(self, order: Order) -> None:
        """Ring a phone of our own, as Originate does."""
        Dialling(self, order)

    def register(self, name: str, there: bool = True) -> None:
        """A phone registers, or takes leave; a call that it is in goes on."""
        if self.phones[name].registered == there:
            return  # one that only registers again is not told of
        self.phones[name].registered = there
        peer, contact = ("Reachable", "NonQualified") if there else ("Unreachable", "Removed")
        self.ami.tell(
            "PeerStatus",
            "system",
            [("ChannelType", "PJSIP"), ("Peer", f"PJSIP/{name}"), ("PeerStatus", peer)],
        )
        self._contact(name, contact)

    def move(self, name: str) -> None:
        """A phone registers elsewhere, in the place of where it was."""
        for status in ("NonQualified", "Removed"):
            self._contact(name, status)

    def _contact(self, name: str, status: str) -> None:
        headers = {
            "URI": f"sip:{name}@127.0.0.1",
            "ContactStatus": status,
            "AOR": name,
            "EndpointName": name,
            "RoundtripUsec": "0",
        }
        self.ami.tell("ContactStatus", "system", headers.items())

    def new_phone_channel(self, name: str, uniqueid: str, phone: FakePhone) -> Channel:
        """A channel to this phone, which nobody knows of yet."""
        self.calls += 1
        unique = uniqueid or f"{int(self.epoch + self.clock.now())}.{self.calls}"
        return Channel(
            self,
            f"PJSIP/{name}-{self.calls:08x}",
            unique,
            name,
            "",
            rung=0.0,
            rtp=True,
            incoming=False,
            name_of=phone.name_of,
            script=phone.script(),
            on_ops=None,
            on_hum=None,
        )

    def add(self, channel: Channel) -> None:
        """A channel that now exists."""
        self.channels[channel.name] = channel
        self.event("Newchannel", channel, {})

    def run_script(
        self,
        channel: Channel,
        path: str,
        arguments: Sequence[str],
        then: Callable[[str], None],
    ) -> None:
        """Ring the service for this script; `then` is told AGISTATUS when it is over."""
        self.thinking += 1
        channel.scripts += 1
        task = asyncio.get_running_loop().create_task(self._connect(channel, path, arguments, then))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def channel(self, name: str) -> Channel | None:
        """A channel by its name or its unique id, or (as Asterisk 22 does) by the beginning of its
        unique id, in letters of either case: ids that we give must not begin with one another."""
        if name in self.channels:
            return self.channels[name]
        begin = name.lower()
        return next(
            (c for c in self.channels.values() if name and c.uniqueid.lower().startswith(begin)),
            None,
        )

    async def close(self) -> None:
        """Break every connection and stop to listen."""
        if isinstance(self.clock, VirtualClock):
            self.clock.holds.remove(self.idle)
            self.clock.witnesses.remove(self.describe)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for channel in list(self.channels.values()):
            for session in channel.sessions:
                session.abort()
            if not channel.sessions:
                self.gone(channel)
        for manager in list(self.ami.sessions):
            manager.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for _ in range(CLOSING):
            await asyncio.sleep(0)

    # ------------------------------------------------------------ idleness

    def idle(self) -> bool:
        """Whether the service has nothing left to do at this instant."""
        at_work = self.thinking + self.closing
        if at_work:
            parked = self.clock.sessions_parked() if isinstance(self.clock, VirtualClock) else 0
            if at_work > parked:
                return False
        return self.ami.idle()

    def describe(self) -> str:
        """Who waits for what, for the message of a run that is stuck."""
        parts = []
        for channel in self.channels.values():
            session = channel.session
            if session is None and channel.bridge is not None:
                state = "is in a conversation"
            elif session is None:
                state = "is connecting" if channel.scripts else "rings or waits"
            elif session.closing:
                state = "has left, and the service has not closed the connection"
            elif session.running is not None:
                state = f"runs {type(session.running).__name__}"
            else:
                state = "waits for a command"
            parts.append(f"{channel.name} {state}")
        if not self.ami.idle():
            parts.append("manager events or replies are under way")
        return ", ".join(parts)

    # ------------------------------------------------------------ what channels need

    def event(self, name: str, channel: Channel, extra: Mapping[str, str]) -> None:
        self.ami.event(name, channel, extra)

    def dial_event(self, name: str, channel: Channel, extra: Mapping[str, str]) -> None:
        self.ami.event(name, channel, extra, prefix="Dest")

    def seconds(self, path: str) -> float | None:
        return self._seconds(path)

    def record(self, channel: Channel, name: str, form: str, began: float) -> None:
        """RECORD FILE is over: leave the file."""
        if self.spool is None or form.lower() != "wav":
            return
        path = fake_sound.path_in(self.spool, name, form)
        if path is not None:
            fake_sound.write(path, began, self.clock.now(), channel.voices, channel.hums)

    def gone(self, channel: Channel) -> None:
        self.channels.pop(channel.name, None)

    def session_over(self, session: AgiSession) -> None:
        self.commands += session.commands
        if session.closing:
            self.closing -= 1
        session.channel.scripts -= 1
        session.then("SUCCESS")

    async def _connect(
        self,
        channel: Channel,
        path: str,
        arguments: Sequence[str],
        then: Callable[[str], None],
    ) -> None:
        # later sessions of a call go where its worker listens, as in the dialplan
        own = channel.variables.get(dialplan.OWN, "")
        host, port = address(own) if own else self.agi
        request = f"agi://{own or f'{host}:{port}'}/{path}"

        def session() -> AgiSession:
            made = AgiSession(self, channel, request, arguments, then)
            made.transcript = channel.transcript
            channel.sessions.append(made)
            return made

        try:
            await asyncio.get_running_loop().create_connection(session, host, port)
        except OSError:
            self.thinking -= 1
            channel.scripts -= 1
            then("FAILURE")
