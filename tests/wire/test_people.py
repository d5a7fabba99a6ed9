"""Callers and our own people in virtual time: the whole service, the real switchboard and its
database; only Asterisk, the phones and whoever holds them are stand-ins."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from meeting import MINUTES, SIGN_OF_LIFE, Caller, result

from ivr import actions, events
from ivr.fake_channel import Channel
from ivr.scenario import DOES, Ring

# ---------------------------------------------------------------- who gets whom


async def test_two_callers_and_one_agent_are_served_as_they_came(office):
    async with office(p801=[Ring(talks=40.0)]) as one:
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert one.talks() == [("13800000001", "801"), ("13800000002", "801")]
        assert [result(stage) for stage in one.stages] == ["transferred"] * 2
        assert one.crew.phones["801"].rung == 2
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


async def test_callers_and_agents_meet_in_the_order_of_the_line_and_of_idleness(office):
    phones = {f"p80{n}": [Ring(talks=20.0 + 30 * n)] for n in (1, 2, 3)}
    async with office(**phones) as one:
        for n in range(6):
            one.call(Caller(f"1380000000{n}"), at=3.0 * n)
        await one.until_all_is_over(6)
        callers = [caller for caller, _ in one.talks()]
        assert callers == [f"1380000000{n}" for n in range(6)]
        # the first to have wrapped up is the next
        assert [agent for _, agent in one.talks()] == ["801", "802", "803", "801", "802", "803"]
        await one.holds_nothing()


def at_random(chance: random.Random) -> list[Ring]:
    """What somebody does at twenty rings: mostly they take the call."""
    rings = []
    for _ in range(20):
        does = chance.choice(("accept",) * 6 + DOES)
        codes = ((chance.uniform(1, 5), "*1"), (chance.uniform(20, 80), "*2"))
        rings.append(
            Ring(
                does,
                after=chance.uniform(0.5, 18.0),
                hears=chance.choice((0.0, chance.uniform(0.2, 15.0))),
                talks=chance.uniform(0.0, 100.0),
                keys=codes if chance.random() < 0.3 else (),
            )
        )
    return rings


@pytest.mark.parametrize("seed", range(4))
async def test_ten_callers_and_three_agents_at_random_lose_nobody(office, seed):
    chance = random.Random(seed)
    async with office(**{f"p80{n}": at_random(chance) for n in (1, 2, 3)}) as one:
        for n in range(10):
            caller = Caller(f"1380000000{n}")
            if chance.random() < 0.4:
                caller.patience = chance.uniform(0.0, 120.0)
            one.call(caller, at=chance.uniform(0.0, 5 * MINUTES))
        await one.until_all_is_over(10)
        for stage in one.stages:
            record = stage.outcome.record
            assert record["ended_by"] in ("caller", "us")
            served = record.get("result") == "transferred" or any(
                wish.kind in ("person", "transfer_note") for wish in stage.kept
            )
            assert served or stage.outcome.ends == "caller"
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


# ---------------------------------------------------------------- the same instant


@pytest.mark.parametrize("late", [-0.002, -0.001, 0.0, 0.001, 0.002, 0.3])
async def test_a_caller_who_hangs_up_as_the_agent_accepts_leaves_a_free_agent(office, late):
    """The key that accepts is heard 0.1 s after it was pressed, 2 s after picking up."""
    async with office(p801=[Ring(talks=30.0)], p802=[]) as one:

        def picked_up(caller: str, what: object) -> None:
            if isinstance(what, events.AgentAnswered):
                accepts = 2.1 - (one.clock.now() - one.leg("801").ears.heard[0].at)
                one.clock.call_later(accepts + late, one.stages[0].channel.hang_up)

        one.on = picked_up
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.ends == "caller"
        assert one.leg("801").dead
        await one.holds_nothing()
        one.on = lambda caller, what: None
        one.call(Caller("13800000002"))
        await one.until_all_is_over(2)
        assert one.talks()[-1] == ("13800000002", "801"), "the agent is free for the next"
        await one.holds_nothing()


@pytest.mark.parametrize("phase", [actions.RingAgent, events.AgentAnswered, actions.Bridge])
@pytest.mark.parametrize("late", [0.0, 0.001, 0.01, 1.0])
async def test_a_caller_who_leaves_in_any_phase_lets_the_agent_go(office, phase, late):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, phase):
                one.clock.call_later(late, one.stages[0].channel.hang_up)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        await one.holds_nothing()


async def test_a_caller_who_leaves_as_an_agent_is_claimed_leaves_a_free_agent(office):
    """Both are known in the same instant; that the caller has left is heard first."""
    async with office(p801=[Ring(talks=30.0)]) as one:
        matched = one.crew.switchboard._matched

        def leaves(found) -> None:
            matched(found)
            if found.claims:
                (driver,) = one.world.service.drivers.values()
                driver.post(events.HungUp())
                one.stages[0].channel.hang_up()

        one.crew.switchboard._matched = leaves
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.crew.phones["801"].rung == 0
        await one.holds_nothing()


@pytest.mark.parametrize("after", [0.0, 0.001, 0.3])
async def test_an_agent_who_accepts_and_is_gone_before_the_talk_is_not_waited_for(office, after):
    """The caller hears the end of a prompt first, so that there is time to be gone."""
    async with office(p801=[Ring(after=0.5, hears=0.2, talks=30.0)]) as one:
        gone: list[float] = []

        def accepted(caller: str, what: object) -> None:
            if isinstance(what, events.AgentAccepted) and not gone:
                gone.append(one.clock.now())
                one.clock.call_later(after, one.leg("801").hang_up)

        one.on = accepted
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert gone
        assert result(one.stages[0]) == "transferred", "the agent was rung once more"
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


# ---------------------------------------------------------------- agents' own codes


@pytest.mark.parametrize("wish", ["ready", "busy"])
async def test_an_agent_in_a_call_is_not_told_to_be_what_holds_only_after_it(office, wish):
    async with office(p801=[Ring(talks=30.0)]) as one:
        dialled: list[Channel] = []

        def dials() -> None:
            channel = one.world.fake.place_call("*82", path="agent", arguments=[wish])
            channel.name = "PJSIP/801-00000009"
            dialled.append(channel)

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(5.0, dials)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert [Path(path).name for path in dialled[0].ears.prompts] == ["common.beep"]
