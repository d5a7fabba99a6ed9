"""What takes long among people on real phones: a hold of more than a minute, two callers for one
agent; and what an agent's own phone dials.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path

import pytest
from conversations import hold_and_return, hurried, in_conversation, on_hold
from people import AGENT, Office, at_work, lets_it_ring, silences, talk

pytestmark = pytest.mark.live

SURVIVED = 25.0
"""Seconds after which nothing that the service armed before its death is left to run out."""


@pytest.mark.slow_live
async def test_a_hold_of_more_than_a_minute_has_its_signs_of_life(
    tmp_path: Path, figures: list[str]
) -> None:
    async with at_work(tmp_path, "801") as own:
        talked = await hold_and_return(own, "13800200011", "801", 30.0)
        await own.at_rest()
        figures.append(talked.judge())


@pytest.mark.slow_live
async def test_a_service_that_is_killed_in_a_hold_takes_nobody_out_of_the_conversation(
    tmp_path: Path, figures: list[str]
) -> None:
    """What was armed for the music of the hold has run out long before the end of this test."""
    async with at_work(tmp_path, "801") as own:
        who = "13800200031"
        call, ring = await in_conversation(own, who, "801")
        await on_hold(own, who, call, ring)
        await asyncio.sleep(3.0)  # the music plays
        await asyncio.to_thread(own.stage.kill_service)
        killed = time.monotonic()
        await asyncio.sleep(SURVIVED)
        assert not call.ended_by
        assert not ring.ended_by
        again = [one for one in talk(call, AGENT) if one[1] > killed]
        begin, end = again[0][0], again[-1][1]
        figures.append(
            f"killed in a hold: the two talk again after {begin - killed:.3f} s, "
            f"and still {end - killed:.1f} s later"
        )
        assert begin - killed < 2.0
        assert end - killed > SURVIVED - 1.0
        assert silences(call, AGENT, begin) == []
        await ring.hang_up()
        await call.ended(15)


@pytest.mark.slow_live
async def test_two_callers_and_one_agent_are_served_in_turn(
    tmp_path: Path, figures: list[str]
) -> None:
    """Who came first is put through; the other is told where he stands, and is next."""
    async with at_work(tmp_path, "817", change=hurried) as own:
        first, second = "13800200021", "13800200022"
        one = await own.wants(first)
        await own.watch.until(first, "RingAgent")
        two = await own.waits(second)
        await own.watch.until(first, "Bridge")
        await asyncio.sleep(1.0)
        ring = own.agent_of(first)
        freed = time.monotonic()
        await ring.hang_up()
        wished = await own.watch.until(second, "RingAgent")
        await own.watch.until(second, "Bridge")
        took = wished - freed
        figures.append(f"the agent is free, and wraps up for 1 s → the next one: {took:.3f} s")
        assert 1.0 <= took <= 2.5
        assert own.desks["817"].at_once == 1
        await asyncio.sleep(0.5)
        await one.hang_up()
        await two.hang_up()
        await own.at_rest()


async def test_an_agents_own_phone_says_whether_it_takes_calls(tmp_path: Path) -> None:
    async with Office(tmp_path, ["801"]) as own:
        own.desks["801"].plan = deque([lets_it_ring])
        phone = own.desks["801"].phone
        assert phone is not None
        assert own.state("801") == "busy"
        for code, state in (("*81", "ready"), ("*82", "busy")):
            heard = await own.heard(await own.dials(phone, code, within=10))
            assert f"agent.{state}" in heard
            assert own.state("801") == state
        # somebody else's phone changes nobody's state
        await own.dials(own.phone, "*81", within=10)
        assert own.state("801") == "busy"
        await own.at_rest()
