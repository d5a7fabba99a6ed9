"""The fake Asterisk's time stands still while the service thinks, and many calls share it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
import uvloop
from faked import LAB, SOUNDS, START, AmiClient, FakeSide
from transcript import transcript

from ivr.clock import Stuck, SystemClock, VirtualClock
from ivr.fake import FakeAsterisk
from ivr.scenario import HangUpAct, Press, Speak, Step
from ivr.scripted_caller import ScriptedCaller


async def test_time_stands_still_while_the_service_thinks(clock):
    """A service that does not answer holds time for ever, and the run says who waits."""

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    clock.patience = 0.05
    server = await asyncio.start_server(service, "127.0.0.1", 0)
    fake = FakeAsterisk(clock, server.sockets[0].getsockname(), seconds=SOUNDS.get)
    channel = fake.place_call("1")
    with pytest.raises(Stuck, match=r"PJSIP/caller-00000001 waits for a command"):
        await clock.run(lambda: channel.over)
    assert clock.now() == 0.0
    await fake.close()
    server.close()


async def test_many_calls_share_one_fake_and_one_clock(clock):
    """A hundred calls of a minute each: no one disturbs another."""

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n\n")
        for command in (b"ANSWER", b'STREAM FILE /s/one ""', b"WAIT FOR DIGIT 57000", b"HANGUP"):
            writer.write(command + b"\n")
            await reader.readline()
        writer.close()

    server = await asyncio.start_server(service, "127.0.0.1", 0, backlog=200)
    fake = FakeAsterisk(clock, server.sockets[0].getsockname(), seconds=SOUNDS.get)
    channels = []
    for n in range(100):
        clock.call_later(n * 0.01, lambda: channels.append(fake.place_call("1", absolute=0)))
    await clock.run(lambda: len(channels) == 100 and not fake.channels)
    assert {channel.ended_by for channel in channels} == {"us"}
    lengths = {round(channel.ears.heard[-1].at - channel.began, 6) for channel in channels}
    assert lengths == {60.0}
    assert fake.commands == 400
    await fake.close()
    server.close()


async def test_the_fake_also_works_in_real_time():
    class RealSide(FakeSide):
        async def until(self, done):
            over = asyncio.Event()
            self.channel.ears.listeners.append(
                lambda heard: heard.kind == "fallback" and over.set()
            )
            await over.wait()
            await self.clock.sleep(0.05)
            assert done()
            await self.fake.close()

    SOUNDS["/s/short"] = 0.05
    side = RealSide(SystemClock())
    said = await transcript(side, ["ANSWER", 'STREAM FILE /s/short ""', "WAIT FOR DIGIT 50"])
    assert said.heard[2] == "200 result=0"
    assert 0.09 < said.at("<< 200 result=0") < 0.5


class Bell(AmiClient):
    """Rings the doorbell a quarter of a second after somebody has begun to talk."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock, self.seen = clock, 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for event in self.events[self.seen :]:
            if event["Event"] == "ChannelTalkingStart":
                self.clock.call_later(0.25, lambda name=event["Channel"]: self.ring(name))
        self.seen = len(self.events)

    def ring(self, name: str) -> None:
        self.action("PlayDTMF", Channel=name, Digit="D", Receive="true")


def one_of_many(n: int) -> ScriptedCaller:
    """What the caller of this number does; every second one hangs up."""
    steps = [
        Step("/s/one", True, 0.1 * (n % 7), Speak(0.3)),
        Step("/s/one", False, 0.2, Press("12")),
        Step("/s/one", n % 2 == 0, 0.3, HangUpAct()),
    ]
    return ScriptedCaller(steps[: 2 + n % 2])


async def many_calls() -> list[object]:
    """Thirty calls at once, with voices that ring the doorbell, keys and hang-ups; all of it."""
    clock = VirtualClock(START)
    writers: list[asyncio.StreamWriter] = []
    commands = [b"ANSWER", b'SET VARIABLE "TALK_DETECT(set)" "160,256"']
    commands += [b"STREAM FILE /s/one 0123456789*#D", b"WAIT FOR DIGIT 700"] * 4 + [b"HANGUP"]

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\n\n")
        for command in commands:
            writer.write(command + b"\n")
            if (await reader.readline()).startswith(b"HANGUP"):
                break
            with clock.parked("the service"):
                await clock.sleep(0.013)
        writer.close()

    server = await asyncio.start_server(service, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    fake = FakeAsterisk(clock, address, seconds=SOUNDS.get, accounts=LAB)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Bell(clock), "127.0.0.1", await fake.listen())
    client.action("Login", Username="lab", Secret="lab")
    fake.watch(client)
    channels = []
    for n in range(30):
        clock.call_later(
            n * 0.0537,
            lambda n=n: channels.append(
                fake.place_call("1", script=one_of_many(n), absolute=0, transcript=True)
            ),
        )
    await clock.run(lambda: len(channels) == 30 and not fake.channels, limit=600.0)
    told = [
        (c.name, c.ears.heard, [line for line in c.transcript if "agi_" not in line[1]])
        for c in channels
    ]
    assert all(writer.is_closing() for writer in writers)
    await fake.close()
    server.close()
    await server.wait_closed()
    clock.close()
    return told


def test_the_same_calls_go_the_same_way_on_every_run_and_every_event_loop():
    first = asyncio.run(many_calls())
    assert any(">> HANGUP" in str(call) for call in first)
    assert any("result=68" in str(call) for call in first)
    assert asyncio.run(many_calls()) == first
    assert uvloop.run(many_calls()) == first
