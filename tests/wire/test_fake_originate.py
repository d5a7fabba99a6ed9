"""The fake Asterisk rings phones as Asterisk 22 was seen to: events, their order, reasons."""

from __future__ import annotations

import pytest
from crowd import Crowd, Talk
from faked import KEYS

from ivr import dialplan
from ivr.fake_originate import DIALPLAN
from ivr.scenario import Ring


async def accepts(talk: Talk) -> None:
    """Hears the note out; 1 accepts."""
    await talk.ask("ANSWER")
    if "result=49" in await talk.ask(f"STREAM FILE /s/one {KEYS}"):
        await talk.ask("SET VARIABLE SANSHENG_ACCEPTED 1")


@pytest.fixture
def crowd(clock):
    return lambda *rings, **more: Crowd(clock, {"leg": accepts}, {"801": rings}, **more)


async def rung(crowd: Crowd, phone: str = "801", **headers: str) -> list[str]:
    """The events of one ring."""
    async with crowd:
        crowd.originate(phone, **headers)
        await crowd.clock.run_for(120.0)
        assert not crowd.fake.channels
        return crowd.events()


RINGS = ["Newchannel", "DialBegin", "Newstate", "DialState RINGING"]
ANSWERED = [*RINGS, "Newstate", "DialEnd ANSWER", "OriginateResponse Success 4"]


@pytest.mark.parametrize(
    ("ring", "events"),
    [
        (Ring("accept"), [*ANSWERED, "Hangup 16"]),
        (Ring("drop"), [*ANSWERED, "HangupRequest", "Hangup 0"]),
        (Ring("drop_in_note"), [*ANSWERED, "HangupRequest", "Hangup 0"]),
        (
            Ring("busy"),
            [
                "Newchannel",
                "DialBegin",
                "HangupRequest 17",
                "DialEnd BUSY",
                "OriginateResponse Failure 0",
                "Hangup 17",
            ],
        ),
        (
            Ring("decline"),
            [
                *RINGS,
                "HangupRequest 21",
                "DialEnd NOANSWER",
                "OriginateResponse Failure 0",
                "Hangup 21",
            ],
        ),
        (Ring("no_answer"), [*RINGS, "OriginateResponse Failure 3", "Hangup 19"]),
        (Ring("unreachable"), ["OriginateResponse Failure 0"]),
    ],
    ids=lambda value: value.does if isinstance(value, Ring) else "",
)
async def test_what_a_person_does_becomes_these_events(crowd, ring, events):
    assert await rung(crowd(ring)) == events


async def test_a_phone_that_does_not_exist_is_not_reachable(crowd):
    assert await rung(crowd(), "900") == ["OriginateResponse Failure 0"]


async def test_the_response_names_the_action_and_the_channel(crowd):
    one = crowd(Ring("accept"))
    await rung(one, channel_id="own-1", ActionID="a1", CallerID="13800138000")
    response = next(event for event in one.ami.events if event["Event"] == "OriginateResponse")
    assert (response["ActionID"], response["Uniqueid"]) == ("a1", "own-1")
    assert response["Channel"].startswith("PJSIP/801-")
    assert response["CallerIDNum"] == "13800138000"


async def test_the_script_hears_of_its_variables_only_after_the_phone_was_picked_up(crowd):
    one = crowd(Ring("accept", after=4.0, hears=2.0))
    await rung(one, Variable="SANSHENG_LEG=abc,OTHER=1", CallerID="<138>")
    (leg,) = one.talks
    assert leg.environment["arg_1"] == "abc"
    assert leg.environment["uniqueid"] == "leg"
    assert leg.environment["callerid"] == "138"
    assert leg.said[1] == (pytest.approx(6.1 + 0.001), "200 result=49 endpos=16792")


async def test_who_answers_and_hangs_up_at_once_never_hears_the_script(crowd):
    one = crowd(Ring("drop"))
    await rung(one)
    assert one.talks == []


async def test_a_script_may_begin_on_a_channel_that_is_dead_already(crowd):
    one = crowd(Ring("drop_in_note", hears=0.0))
    await rung(one)
    assert [reply for _, reply in one.talks[0].said] == ["HANGUP", "HANGUP"]
    assert one.events()[-2:] == ["HangupRequest", "Hangup 0"]


async def test_a_channel_is_also_found_by_the_beginning_of_its_id(crowd):
    """So an id that begins another is taken, and whoever asks for it reaches the wrong one."""
    async with crowd(Ring("accept", after=5.0)) as one:
        one.originate("801", "leg-12")
        await one.clock.run_for(1.0)
        one.originate("900", "leg-1")
        await one.clock.run_for(1.0)
        assert one.events()[-1] == "OriginateResponse Failure 0"
        one.ami.action("Hangup", Channel="leg-1")
        await one.run()


async def test_who_accepted_waits_fifteen_seconds_to_be_fetched(crowd):
    one = crowd(Ring("accept", after=1.0, hears=1.0))
    await rung(one)
    (channel,) = one.phones["801"].calls
    assert channel.ears.heard[-1].kind == "hung up"
    assert channel.ears.heard[-1].at == pytest.approx(2.1 + 0.001 + 15.0, abs=0.01)


async def test_who_refuses_or_presses_nothing_is_hung_up(crowd):
    one = crowd(Ring("refuse", after=1.0), Ring("ignore", after=1.0))
    async with one:
        for _ in range(2):
            one.originate("801")
            await one.clock.run_for(30.0)
        assert [call.ears.heard[-1].kind for call in one.phones["801"].calls] == ["hung up"] * 2


@pytest.mark.parametrize("address", ["leg", "PJSIP/801-00000001"])
async def test_a_ringing_phone_is_hung_up_by_its_id_or_name(crowd, address):
    async with crowd(Ring("accept", after=10.0)) as one:
        one.originate("801")
        await one.clock.run_for(5.0)
        one.ami.action("Hangup", Channel=address)
        await one.run()
        assert one.events()[-3:] == [
            "DialEnd NOANSWER",
            "OriginateResponse Failure 0",
            "Hangup 0",
        ]
        await one.clock.run_for(60.0)
        assert one.talks == []


async def test_a_phone_in_a_call_is_busy_for_the_next(crowd):
    async with crowd(Ring("accept", after=5.0)) as one:
        one.originate("801", "first")
        await one.clock.run_for(1.0)
        one.originate("801", "second")
        await one.run()
        assert one.phones["801"].overlaps == 1
        ends = [event["Cause"] for event in one.ami.events if event["Event"] == "Hangup"]
        assert ends == ["17", "16"]


async def test_an_id_that_is_in_use_is_refused(crowd):
    async with crowd(Ring("accept", after=5.0)) as one:
        one.originate("801", "same")
        await one.clock.run_for(1.0)
        one.originate("900", "same")
        await one.clock.run_for(1.0)
        assert one.events()[-1] == "OriginateResponse Failure 0"
        await one.run()


async def test_errors_in_the_action_are_told_at_once(crowd):
    async with crowd() as one:
        one.originate("801", Channel="")
        one.originate("801", Channel="801")
        one.originate("801", Exten="")
        one.originate("801", Context="nowhere")
        one.originate("801", "x" * 150)
        one.originate("801", Application="AGI", Data="agi://127.0.0.1/leg")
        one.ami.action("UserEvent", UserEvent="")
        await one.clock.settle()
        assert [packet["Message"] for packet in one.ami.packets[-7:]] == [
            "Channel not specified",
            "Invalid channel",
            "Extension does not exist.",
            "Extension does not exist.",
            "Uniqueid length exceeds maximum of 149",
            "Originate Access Forbidden: app or data blacklisted",
            "Missing UserEvent",
        ]


async def test_a_user_event_reaches_every_client_with_its_headers(crowd):
    async with crowd() as one:
        one.ami.action("UserEvent", ActionID="7", UserEvent="Note", Call="c1", Text="a: b")
        await one.clock.settle()
        (event,) = one.ami.events
        assert (event["UserEvent"], event["Call"], event["Text"]) == ("Note", "c1", "a: b")


@pytest.mark.parametrize("name", DIALPLAN)
def test_the_contexts_of_the_fake_are_those_we_install(name, root):
    text = (root / "asterisk/extensions.conf").read_text()
    section = text.partition(f"\n[{name}]\n")[2].partition("\n[")[0]
    context = DIALPLAN[name]
    arguments = "".join(f",{argument}" for argument in context.arguments)
    assert f"AGI(agi://${{{dialplan.OWN}}}/{context.path}{arguments})" in section
    assert f'{dialplan.OWN}}}" = ""]?Set({dialplan.OWN}={{agi}}))' in section
    assert all(f"Set({key}={value})" in section for key, value in context.variables.items())
    assert bool(context.accepted) == ("Wait(" in section)
    assert context.accepted in section
    assert (context.absolute, context.wait) == (dialplan.PATIENCE, dialplan.BRIDGE)
