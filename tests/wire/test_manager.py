"""The manager side, against a small AMI server that follows a script over a real socket."""

from __future__ import annotations

import asyncio

import asterisk.manager as pyst2
import pytest
import uvloop
from manager_line import Asterisk, line
from realtime import until

from ivr.clock import SystemClock
from ivr.manager import Manager, ManagerRefused, UnsafeValue


async def test_we_log_in_and_actions_are_answered_and_events_are_heard():
    async with line() as (manager, peer):
        assert manager.connected
        assert manager.pending == 0
        peer.answers["Ping"] = ["Response: Success", "Ping: Pong"]
        reply = await manager.action("Ping")
        assert reply["Ping"] == "Pong"
        peer.event("Hangup", "Channel: PJSIP/a-1", "Cause: 17")
        await until(lambda: manager.events_seen == 1)
        assert manager.heard[0]["Cause"] == "17"
    assert not manager.connected


def test_a_manager_is_the_same_on_uvloop():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_we_log_in_and_actions_are_answered_and_events_are_heard())


async def test_every_action_has_headers_and_a_number_of_its_own():
    async with line() as (manager, peer):
        await manager.action("Originate", {"Channel": "PJSIP/8001", "Exten": "s"})
        await manager.action("Ping")
        assert [dict(headers).keys() for headers in peer.sent[1:]] == [
            {"Action", "Channel", "Exten", "ActionID"},
            {"Action", "ActionID"},
        ]
        assert len({dict(headers)["ActionID"] for headers in peer.sent}) == 3


async def test_many_actions_at_once_each_get_their_own_reply():
    class Echo(Asterisk):
        def reply(self, writer, action):
            extra = [f"Echo: {action['Channel']}"] if "Channel" in action else []
            self.say(writer, "Response: Success", f"ActionID: {action['ActionID']}", *extra)

    async with line(asterisk=Echo()) as (manager, _):
        asked = [manager.action("Hangup", {"Channel": f"c{n}"}) for n in range(100)]
        replies = await asyncio.gather(*asked)
        assert [reply["Echo"] for reply in replies] == [f"c{n}" for n in range(100)]


async def test_a_header_with_several_values_is_sent_once_for_each():
    async with line() as (manager, peer):
        await manager.action("Originate", {"Variable": ["A=1", "B=2"], "Channel": "王"})
        assert peer.sent[-1][1:4] == [("Variable", "A=1"), ("Variable", "B=2"), ("Channel", "王")]


async def test_the_doorbell_is_a_digit_d_that_the_channel_receives():
    async with line() as (manager, peer):
        assert await manager.doorbell("PJSIP/a-1")
        expected = {"Action": "PlayDTMF", "Channel": "PJSIP/a-1", "Digit": "D", "Receive": "true"}
        assert dict(peer.sent[-1]).items() >= {**expected, "Duration": "20"}.items()
        peer.answers["PlayDTMF"] = ["Response: Error", "Message: Channel not found"]
        assert not await manager.doorbell("PJSIP/a-1")
        peer.answers["PlayDTMF"] = ["Response: Error", "Message: Permission denied"]
        with pytest.raises(ManagerRefused, match="Permission denied"):
            await manager.doorbell("PJSIP/a-1")


async def test_an_error_is_told_with_its_reason():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = ["Response: Error", "Message: No such channel"]
        with pytest.raises(ManagerRefused, match="No such channel"):
            await manager.action("Hangup", {"Channel": "x"})
        assert issubclass(ManagerRefused, pyst2.ManagerException)
        await manager.action("Ping")


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Ping\r\nAction: Command", {}),
        ("Ping", {"X\r\nY": "1"}),
        ("Ping", {"ActionID": "mine"}),
        ("Ping", {"action": "Command"}),
        ("Ping", {"X": "1\r\nAction: Command"}),
        ("Ping", {"X": "1\n"}),
        ("Ping", {"X": "\r"}),
        ("Ping", {"X": "a\0b"}),
        ("Ping", {"X": "\udcff"}),
        ("Ping", {"X": ["fine", "\n"]}),
        ("Ping", {"X": "y" * 1020}),
        ("Ping", {"X": ["y"] * 127}),
        ("Originate", {"Variable": "A=1,B=2"}),
        ("Originate", {"Variable": ["A=1", 'B="']}),
        ("Originate", {"Variable": "A"}),
        ("Originate", {"Variable": "SHELL(id)=1"}),
    ],
)
async def test_what_would_be_a_second_header_or_action_is_refused(name, headers):
    async with line() as (manager, peer):
        with pytest.raises(UnsafeValue) as caught:
            await manager.action(name, headers)
        assert "Command" not in str(caught.value)
        await manager.action("Ping")
        assert peer.actions() == ["Login", "Ping"]


def test_a_secret_with_a_line_break_is_refused_at_once():
    with pytest.raises(UnsafeValue):
        Manager("h", 1, "u", "a\r\nAction: x", clock=SystemClock(), on_event=print)


async def test_whoever_no_longer_waits_does_no_harm():
    async with line() as (manager, peer):
        peer.answers["Originate"] = None
        asked = asyncio.create_task(manager.action("Originate"))
        await until(lambda: peer.actions()[-1] == "Originate")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert manager.pending == 1
        (number,) = [value for name, value in peer.sent[-1] if name == "ActionID"]
        peer.say(peer.writers[-1], "Response: Success", f"ActionID: {number}")
        await until(lambda: manager.pending == 0)
        await manager.action("Ping")


async def test_a_reply_that_nobody_asked_for_is_nobodys_reply():
    async with line() as (manager, peer):
        peer.say(peer.writers[-1], "Response: Success", "ActionID: sansheng-99", "Evil: yes")
        peer.say(peer.writers[-1], "Response: Success", "Evil: yes")
        peer.say(peer.writers[-1], "Rest: of a value with line breaks in it")
        assert "Evil" not in await manager.action("Ping")
