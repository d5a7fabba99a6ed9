"""The fake Asterisk joins two people, and opens scripts by feature codes, as Asterisk 22 does."""

from __future__ import annotations

import pytest
from crowd import Crowd, Talk
from faked import KEYS

from ivr.fake_bridge import Feature
from ivr.scenario import HangUpAct, Press, Ring

CODES = (
    Feature("*1", "hold", arguments=("hold",)),
    Feature("*2", "back", "self", arguments=("back",)),
    Feature("*31", "slow", arguments=("slow",)),
)
FEATURES = {"AGIEXITONHANGUP": "yes", "DYNAMIC_FEATURES": "hold#back#slow"}
START = 2.0
"""Seconds after the beginning at which caller and agent are joined."""


async def leg(talk: Talk) -> None:
    await talk.ask("SET VARIABLE SANSHENG_ACCEPTED 1")


async def call(talk: Talk) -> None:
    """Waits for two seconds, then is joined, and afterwards hears a file."""
    await talk.ask("ANSWER")
    await talk.ask("WAIT FOR DIGIT 2000")
    await talk.ask("EXEC Bridge leg")
    await talk.ask("GET VARIABLE BRIDGERESULT")
    await talk.ask('STREAM FILE /s/two ""')


async def feature(talk: Talk) -> None:
    await talk.ask(f"STREAM FILE /s/one {KEYS}")


@pytest.fixture
async def joined(clock):
    """Places a caller and rings an agent, who has accepted when they are joined."""
    made: list[Crowd] = []

    async def joined(ring: Ring, *caller, **scripts) -> Crowd:
        chosen = {"call": call, "leg": leg, "feature": feature} | scripts
        crowd = Crowd(clock, chosen, {"801": [ring]}, CODES, variables=FEATURES)
        made.append(await crowd.__aenter__())
        crowd.caller = crowd.call()
        for at, act in caller:
            crowd.caller.after(at, act)
        crowd.originate("801")
        await crowd.run()
        (crowd.agent,) = crowd.phones["801"].calls
        return crowd

    yield joined
    for crowd in made:
        await crowd.__aexit__()


def talk_of(crowd: Crowd, script: str) -> Talk:
    return next(talk for talk in crowd.talks if talk.environment["network_script"] == script)


def heard(channel) -> list[tuple[float, str, str]]:
    return [(h.at, h.kind, h.name) for h in channel.ears.heard if h.kind not in ("file", "silence")]


async def test_a_bridge_lasts_until_the_agent_leaves_and_the_caller_stays(joined):
    crowd = await joined(Ring("ignore", after=1.0, talks=10.0))
    assert talk_of(crowd, "call").said[2:5] == [
        (12.0, "200 result=0"),
        (12.0, "200 result=1 (SUCCESS)"),
        (13.5, "200 result=0 endpos=12000"),
    ]
    assert heard(crowd.caller)[1:3] == [(2.0, "bridged", crowd.agent.name), (12.0, "parted", "")]
    assert heard(crowd.agent)[-2:] == [(2.0, "bridged", crowd.caller.name), (12.0, "left", "")]


async def test_a_caller_who_hangs_up_in_it_frees_the_agent(joined):
    crowd = await joined(Ring("ignore", after=1.0), (5.0, HangUpAct()))
    assert talk_of(crowd, "call").said[2:5] == [
        (5.0, "200 result=0"),
        (5.0, "HANGUP"),
        (5.0, "200 result=1 (SUCCESS)"),
    ]
    assert heard(crowd.agent)[-2:] == [(5.0, "parted", ""), (5.0, "hung up", "")]


async def test_a_channel_that_is_no_more_cannot_be_joined(joined):
    crowd = await joined(Ring("drop", after=1.0))
    assert talk_of(crowd, "call").said[2:4] == [
        (2.0, "200 result=0"),
        (2.0, "200 result=1 (NONEXISTENT)"),
    ]


async def test_keys_in_it_are_heard_by_the_other_side_only(joined):
    ring = Ring("ignore", after=1.0, talks=10.0, keys=((1.0, "7"), (2.0, "*9")))
    crowd = await joined(ring, (4.0, Press("1")))
    keys = [(at, name) for at, kind, name in heard(crowd.caller) if kind == "key"]
    assert keys == [(3.1, "7"), (4.35, "*"), (4.35, "9")]
    assert [(at, name) for at, kind, name in heard(crowd.agent) if kind == "key"] == [(4.1, "1")]
    assert crowd.caller.lost == crowd.agent.lost == []
    assert len(crowd.talks) == 2


async def test_a_code_opens_a_script_on_the_other_side_and_both_talk_on(joined):
    crowd = await joined(Ring("ignore", after=1.0, talks=20.0, keys=((3.0, "*1"),)))
    hold = talk_of(crowd, "feature")
    assert hold.environment["arg_1"] == "hold"
    assert hold.environment["uniqueid"] == crowd.caller.uniqueid
    assert hold.said == [(pytest.approx(8.35), "200 result=0 endpos=24000")]
    assert [entry[1:] for entry in heard(crowd.caller)[1:]] == [
        ("bridged", crowd.agent.name),
        ("feature", "hold"),
        ("began", "one"),
        ("ended", "one"),
        ("resumed bridge", crowd.agent.name),
        ("parted", ""),
        ("began", "two"),
        ("ended", "two"),
        ("fallback", ""),
    ]
    assert talk_of(crowd, "call").said[2] == (22.0, "200 result=0")


async def test_the_caller_s_keys_are_heard_by_the_script_of_a_code(joined):
    crowd = await joined(
        Ring("ignore", after=1.0, talks=20.0, keys=((3.0, "*1"),)), (6.0, Press("1"))
    )
    assert talk_of(crowd, "feature").said[0][1].startswith("200 result=49")


async def test_ones_own_code_opens_a_script_on_ones_own_channel_meanwhile(joined):
    crowd = await joined(Ring("ignore", after=1.0, talks=20.0, keys=((3.0, "*1"), (4.0, "*2"))))
    own = [talk for talk in crowd.talks if talk.environment.get("arg_1") == "back"]
    assert [talk.environment["uniqueid"] for talk in own] == ["leg"]
    assert own[0].said[0][0] == pytest.approx(9.35)


async def test_codes_for_the_same_side_come_one_after_the_other(joined):
    crowd = await joined(Ring("ignore", after=1.0, talks=20.0, keys=((3.0, "*1"), (4.0, "*31"))))
    scripts = [talk for talk in crowd.talks if talk.environment["network_script"] == "feature"]
    assert [talk.environment["arg_1"] for talk in scripts] == ["hold", "slow"]
    assert [talk.said[0][0] for talk in scripts] == [pytest.approx(8.35), pytest.approx(11.35)]


async def test_a_code_that_was_not_switched_on_is_none(joined):
    async def without(talk: Talk) -> None:
        await talk.ask("SET VARIABLE DYNAMIC_FEATURES hold")
        await talk.ask("SET VARIABLE SANSHENG_ACCEPTED 1")

    crowd = await joined(Ring("ignore", after=1.0, talks=9.0, keys=((3.0, "*31"),)), leg=without)
    assert [name for _, kind, name in heard(crowd.caller) if kind == "key"] == ["*", "3", "1"]


async def test_an_agent_who_leaves_during_a_script_ends_the_bridge_after_it(joined):
    crowd = await joined(Ring("ignore", after=1.0, talks=4.0, keys=((3.0, "*1"),)))
    assert talk_of(crowd, "feature").said == [(pytest.approx(8.35), "200 result=0 endpos=24000")]
    assert talk_of(crowd, "call").said[2:4] == [
        (pytest.approx(8.35), "200 result=0"),
        (pytest.approx(8.35), "200 result=1 (SUCCESS)"),
    ]
    assert heard(crowd.agent)[-1] == (6.0, "left", "")


async def test_a_caller_who_leaves_during_a_script_ends_both_scripts(joined):
    crowd = await joined(Ring("ignore", after=1.0, keys=((3.0, "*1"),)), (6.0, HangUpAct()))
    assert talk_of(crowd, "feature").said == [(6.0, "200 result=-1 endpos=5200")]
    assert talk_of(crowd, "call").said[2:4] == [(6.0, "200 result=0"), (6.0, "HANGUP")]
    assert heard(crowd.agent)[-1] == (6.0, "hung up", "")
