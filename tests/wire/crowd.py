"""A FastAGI service for tests with several sessions at once: each script is a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self

from faked import LAB, NAMES, SOUNDS, AmiClient

from ivr.clock import Clock, VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.fake_bridge import Feature
from ivr.fake_channel import Channel
from ivr.fake_originate import Answered
from ivr.fake_phones import FakePhone
from ivr.scenario import Ring

EVERYTHING = frozenset({"call", "originate", "user"})


class Talk:
    """One session: gives a command, and waits for its reply."""

    def __init__(
        self,
        clock: Clock,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        environment: dict[str, str],
    ) -> None:
        self.clock, self._reader, self._writer = clock, reader, writer
        self.environment = environment
        self.said: list[tuple[float, str]] = []

    async def ask(self, command: str) -> str:
        """The reply, "HANGUP" if that comes instead, "" at the end."""
        self._writer.write(command.encode() + b"\n")
        try:
            reply = (await self._reader.readline()).decode().rstrip("\n")
        except ConnectionError:
            reply = ""
        self.said.append((self.clock.now(), reply))
        return reply


Script = Callable[[Talk], Awaitable[object]]


class Scripts:
    """A FastAGI service: each of its scripts is a coroutine."""

    def __init__(self, clock: Clock, scripts: Mapping[str, Script]) -> None:
        self.clock = clock
        self.scripts = scripts
        self.talks: list[Talk] = []

    async def listen(self) -> int:
        """The port where it listens."""
        self._server = await asyncio.start_server(self._session, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\n\n")).decode().split("\n")
        environment = dict(line[4:].split(": ", 1) for line in lines if ": " in line)
        talk = Talk(self.clock, reader, writer, environment)
        self.talks.append(talk)
        try:
            await self.scripts[environment["network_script"]](talk)
        finally:
            writer.close()


def originate(phone: str, channel_id: str, **headers: str) -> dict[str, str]:
    """What an action Originate says that rings a phone."""
    return {
        "ActionID": f"ring-{channel_id}",
        "Channel": f"PJSIP/{phone}",
        "ChannelId": channel_id,
        "Context": "sansheng-agent",
        "Exten": "s",
        "Priority": "1",
        "Timeout": "20000",
        "Async": "true",
    } | headers


class Crowd:
    """A fake Asterisk with phones, a service of scripts, and a manager client that sees all.
    Use with `async with`."""

    def __init__(
        self,
        clock: VirtualClock,
        scripts: Mapping[str, Script],
        phones: Mapping[str, list[Ring]],
        features: Sequence[Feature] = (),
        **context: object,
    ) -> None:
        self.clock = clock
        self.service = Scripts(clock, scripts)
        self.talks = self.service.talks
        self.phones = {name: FakePhone(rings, NAMES.get) for name, rings in phones.items()}
        self.features = features
        self.context = Answered(**context)

    async def __aenter__(self) -> Self:
        self.fake = FakeAsterisk(
            self.clock,
            ("127.0.0.1", await self.service.listen()),
            seconds=SOUNDS.get,
            accounts=LAB | {"all": Account("all", EVERYTHING, None, system=False)},
            phones=self.phones,
            contexts={"sansheng-agent": self.context},
            features=self.features,
        )
        loop = asyncio.get_running_loop()
        _, self.ami = await loop.create_connection(AmiClient, "127.0.0.1", await self.fake.listen())
        self.fake.watch(self.ami)
        self.ami.action("Login", Username="all", Secret="all")
        await self.clock.settle()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.fake.close()
        await self.service.close()

    # ------------------------------------------------------------ what tests do and see

    def call(self, caller: str = "13800138000", **options: object) -> Channel:
        """A caller rings."""
        options = {"variables": {}, "absolute": 0.0, "name_of": NAMES.get} | options
        return self.fake.place_call("11185", caller, **options)

    def originate(self, phone: str, channel_id: str = "leg", **headers: str) -> None:
        """Ring a phone."""
        self.ami.action("Originate", **originate(phone, channel_id, **headers))

    async def run(self, until: Callable[[], bool] | None = None, limit: float = 600.0) -> None:
        """Let time go by until there is no call, or until this."""
        await self.clock.run(until or (lambda: not self.fake.channels), limit=limit)

    def events(self, *names: str) -> list[str]:
        """What the manager was told, in short: the event, and what is special about it."""
        return [short(event) for event in self.ami.events if not names or event["Event"] in names]


def short(event: Mapping[str, str]) -> str:
    """An event in a few words."""
    special = [
        event[key]
        for key in ("DialStatus", "Cause", "Response", "Reason", "UserEvent")
        if event.get(key)
    ]
    return " ".join([event["Event"], *special])
