"""The service's account at a real Asterisk's manager: what it hears, and what it may do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from answering import command, manager, service
from moments import eventually
from toned import dial

from ivr.phone import Phone
from ivr.switch import Switch

pytestmark = pytest.mark.live


async def test_the_account_hears_what_it_needs_and_nothing_else(
    switch: Switch, phone: Phone
) -> None:
    events: list[Mapping[str, str]] = []
    woken: list[str] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await command(r, w, "ANSWER")
        await command(r, w, 'SET VARIABLE TALK_DETECT(set) "160,256"')
        woken.append(await command(r, w, "WAIT FOR DIGIT 10000"))
        await command(r, w, "SET VARIABLE SANSHENG_DONE 1")

    def seen(name: str) -> list[Mapping[str, str]]:
        return [event for event in events if event["Event"] == name]

    async with manager(switch, events) as ask, service(switch, serve):
        call = await dial(phone, switch, "1001")
        await call.answered(3)
        await call.speak(0.6).done()
        await eventually(lambda: seen("ChannelTalkingStop"))
        assert seen("ChannelTalkingStart")
        channel = seen("ChannelTalkingStart")[0]["Channel"]
        answer = await ask("PlayDTMF", Channel=channel, Digit="D", Duration="20", Receive="true")
        assert answer["Response"] == "Success"
        await call.ended(5)
        answer = await ask(
            "Originate",
            Channel="PJSIP/8001",
            Context="sansheng-collect",
            Exten="wait",
            Priority="1",
            Timeout="200",
            Async="true",
        )
        assert answer["Response"] == "Success"
        await eventually(lambda: seen("OriginateResponse") and seen("Hangup"))
    assert woken == ["200 result=68"]
    assert {event["Event"] for event in events} <= {
        "ChannelTalkingStart",
        "ChannelTalkingStop",
        "Hangup",
        "OriginateResponse",
        "DialBegin",
        "DialEnd",
        "DialState",
        "PeerStatus",
        "ContactStatus",
        "FullyBooted",
    }


@pytest.mark.parametrize(
    ("action", "headers"),
    [
        ("Command", {"Command": "core show channels"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("UpdateConfig", {"SrcFilename": "a.conf", "DstFilename": "a.conf"}),
        ("Originate", {"Channel": "Local/s@x", "Application": "System", "Data": "id"}),
        ("ModuleLoad", {"LoadType": "reload"}),
        ("DBPut", {"Family": "sansheng", "Key": "a", "Val": "b"}),
    ],
)
async def test_the_account_may_do_nothing_else(
    switch: Switch, action: str, headers: dict[str, str]
) -> None:
    async with manager(switch) as ask:
        answer = await ask(action, **headers)
    assert answer["Response"] == "Error"
