"""The fake Asterisk does what Asterisk 22 was seen to do: the manager interface."""

from __future__ import annotations

import asyncio
import hashlib
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from asterisk.manager import Manager
from faked import KEYS, SOUNDS, AmiClient, FakeSide
from transcript import Do, transcript

from ivr.fake import FakeAsterisk
from ivr.fake_ami import WANTED, Account
from ivr.scenario import HangUpAct, Speak


@pytest.fixture
async def ami(clock):
    """A fake without a service, and clients of its manager interface."""
    fake = FakeAsterisk(
        clock,
        ("127.0.0.1", 1),
        seconds=SOUNDS.get,
        accounts={
            "lab": Account("lab", system=False),
            "all": Account("x", frozenset(), None, system=False),
            "old": Account("y", events=frozenset()),
        },
    )
    port = await fake.listen()

    async def client(user="lab", secret="lab"):
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(AmiClient, "127.0.0.1", port)
        fake.watch(made)
        if user:
            made.action("Login", ActionID="1", Username=user, Secret=secret)
        await clock.settle()
        return made

    client.fake = fake
    client.port = port
    yield client
    await fake.close()


async def test_a_client_logs_in_pings_and_logs_off(ami, clock):
    client = await ami()
    assert client.greeting.startswith("Asterisk Call Manager/")
    assert client.packets[-1] == {
        "Response": "Success",
        "ActionID": "1",
        "Message": "Authentication accepted",
    }
    client.action("Ping", ActionID="2")
    await clock.settle()
    assert client.packets[-1]["Ping"] == "Pong"
    assert client.packets[-1]["ActionID"] == "2"
    client.action("Logoff")
    await clock.settle()
    assert client.packets[-1]["Response"] == "Goodbye"
    assert client.closed


async def test_who_reads_class_system_is_told_at_login_that_asterisk_is_up(ami):
    """Whatever the filter."""
    told = (await ami("old", "y")).packets
    assert [packet.get("Event", packet.get("Response")) for packet in told] == [
        "Success",
        "FullyBooted",
    ]
    assert told[-1]["Privilege"] == "system,all"


async def test_who_does_not_read_class_system_is_told_nothing_of_phones(ami, clock):
    client = await ami("all", "x")
    ami.fake.ami.tell("PeerStatus", "system", [("Peer", "PJSIP/801")])
    ami.fake.ami.tell("UserEvent", "user", [])
    await clock.settle()
    assert [event["Event"] for event in client.events] == ["UserEvent"]


async def test_a_wrong_secret_is_refused_and_the_connection_closed(ami):
    client = await ami(secret="wrong")
    assert client.packets[-1]["Message"] == "Authentication failed"
    assert client.closed


async def test_who_answers_the_challenge_is_logged_in(ami, clock):
    client = await ami(user="")
    client.action("Challenge", AuthType="MD5")
    await clock.settle()
    key = hashlib.md5((client.packets[-1]["Challenge"] + "lab").encode()).hexdigest()
    client.action("Login", AuthType="MD5", Username="lab", Key=key)
    await clock.settle()
    assert client.packets[-1]["Response"] == "Success"


async def test_nothing_is_permitted_before_login_or_outside_ones_classes(ami, clock):
    client = await ami(user="")
    client.action("Ping")
    await clock.settle()
    assert client.packets[-1]["Message"] == "Permission denied"
    client = await ami("all", "x")
    client.action("PlayDTMF", Channel="PJSIP/x", Digit="D", Receive="true")
    await clock.settle()
    assert client.packets[-1]["Message"] == "Permission denied"


async def test_errors_are_told_as_asterisk_tells_them(ami, clock):
    client = await ami()
    for headers in ({}, {"Channel": "PJSIP/x"}, {"Channel": "PJSIP/x", "Digit": "D"}):
        client.action("PlayDTMF", **headers)
    client.action("Dance")
    client.action("Hangup", Channel="PJSIP/x")
    await clock.settle()
    assert [packet["Message"].split(":")[0] for packet in client.packets[1:]] == [
        "Channel not specified",
        "No digit specified",
        "Channel not found",
        "Invalid/unknown command",
        "No such channel",
    ]


async def test_a_frozen_asterisk_takes_actions_and_never_answers(ami, clock):
    client = await ami()
    ami.fake.ami.frozen = True
    client.action("Ping")
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.pending == 1
    assert not clock.idle()
    ami.fake.ami.cut()
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.closed


async def test_pyst2_logs_in_and_pings(ami, clock):
    def session() -> list[str]:
        manager = Manager()
        manager.connect("127.0.0.1", ami.port)
        said = [manager.login("lab", "lab").headers["Message"], manager.ping().headers["Ping"]]
        manager.close()
        return said

    task = asyncio.create_task(clock.in_executor(session))
    await clock.run(task.done)
    assert task.result() == ["Authentication accepted", "Pong"]


class WithAmi(FakeSide):
    """The fake with a manager client that rings the doorbell on the first voice."""

    def __init__(self, clock, user="lab", secret="lab", **call):
        super().__init__(clock, **call)
        self.user, self.secret = user, secret

    async def ring(self, port):
        await super().ring(port)
        loop = asyncio.get_running_loop()
        _, self.client = await loop.create_connection(AmiClient, "127.0.0.1", self.ami)
        self.fake.ami.accounts["all"] = Account("x", events=None, system=False)
        self.client.action("Login", Username=self.user, Secret=self.secret)
        self.fake.watch(self.client)


async def test_events_carry_the_headers_of_asterisk_22(clock):
    side = WithAmi(clock, "all", "x", system="box")
    await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', "WAIT FOR DIGIT 2000"],
        [(1.0, Speak(0.5))],
    )
    names = [event["Event"] for event in side.client.events]
    assert names == ["Newstate", "ChannelTalkingStart", "ChannelTalkingStop", "Hangup"]
    stop = side.client.events[2]
    assert list(stop) == [
        "Event",
        "Privilege",
        "SystemName",
        "Channel",
        "ChannelState",
        "ChannelStateDesc",
        "CallerIDNum",
        "CallerIDName",
        "ConnectedLineNum",
        "ConnectedLineName",
        "Language",
        "AccountCode",
        "Context",
        "Exten",
        "Priority",
        "Uniqueid",
        "Linkedid",
        "Duration",
    ]
    assert stop["Channel"] == side.channel.name
    assert stop["Uniqueid"].startswith("box-")
    assert side.client.events[3]["Cause"] == "16"


async def test_an_account_sees_only_the_events_of_its_filter(clock):
    side = WithAmi(clock)
    await transcript(side, ["ANSWER", "WAIT FOR DIGIT 5000"], [(1.0, HangUpAct())])
    assert [event["Event"] for event in side.client.events] == ["HangupRequest", "Hangup"]


async def test_a_voice_becomes_an_interruption_through_the_manager(clock):
    side = WithAmi(clock)
    rung: list[float] = []

    def hears(data: bytes) -> None:
        AmiClient.data_received(side.client, data)
        if b"ChannelTalkingStart" in data and not rung:
            rung.append(clock.now())
            side.client.action("PlayDTMF", Channel=side.channel.name, Digit="D", Receive="true")

    ring = side.ring

    async def ring_and_listen(port: int) -> None:
        await ring(port)
        side.client.data_received = hears

    side.ring = ring_and_listen
    said = await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', f"STREAM FILE /s/one {KEYS}"],
        [(1.0, Speak(0.5))],
    )
    assert said.heard[2] == "200 result=68 endpos=8000"
    assert rung == [1.0]


async def test_time_stands_still_until_the_manager_has_seen_every_event(clock):
    """A manager with a slow thread: the event is counted only some turns of the loop later."""
    side = WithAmi(clock)
    seen_at: list[float] = []

    async def count_later() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        side.client.events_seen += 1
        seen_at.append(clock.now())

    ring = side.ring

    async def ring_slowly(port: int) -> None:
        await ring(port)
        tasks = []

        def slow(data: bytes) -> None:
            before = side.client.events_seen
            AmiClient.data_received(side.client, data)
            for _ in range(side.client.events_seen - before):
                tasks.append(asyncio.create_task(count_later()))
            side.client.events_seen = before

        side.client.data_received = slow

    side.ring = ring_slowly
    said = await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', "WAIT FOR DIGIT 2000"],
        [(1.0, Speak(0.5))],
    )
    assert seen_at == [1.0, 1.66, 2.0]
    assert said.heard[2] == "200 result=0"


async def test_ops_hang_up_through_the_manager(clock):
    side = WithAmi(clock)
    said = await transcript(
        side,
        [
            "ANSWER",
            Do(lambda: side.client.action("Hangup", Channel=side.channel.uniqueid)),
            "WAIT FOR DIGIT 5000",
            "NOOP",
        ],
    )
    assert "HANGUP" in said.heard
    assert side.channel.ended_by == "us"


def test_the_account_of_the_fake_is_the_one_we_install():
    """Who relies on a right or an event in virtual time has it in earnest."""
    settings = ConfigParser()
    settings.read(Path(__file__).parents[2] / "asterisk/manager.conf")
    given = settings["sansheng"]
    assert frozenset(given["write"].split(",")) == Account("").write
    wanted = re.compile(given["eventfilter"])
    every = WANTED | {"Newchannel", "Newstate", "BridgeEnter", "UserEvent", "MusicOnHoldStart"}
    assert {name for name in every if wanted.match(f"Event: {name}\r\n")} == WANTED
