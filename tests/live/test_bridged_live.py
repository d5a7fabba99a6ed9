"""Conversations between real phones: holds with consent, sentences by code, either side leaving,
two callers and one agent, and what an agent's own phone dials.

Holds last as long as the flow says: with 30 s between two signs of life in one slow test, and 3 s
in all others, so that a whole hold fits into a run of all tests.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from people import AGENT, CALLER, Office, lets_it_ring, names, staffed, takes, talk, voice

from ivr.ear import Heard
from ivr.phone import Phone
from ivr.phone_call import PhoneCall

pytestmark = pytest.mark.live

SHORT = 8
"""Seconds between two signs of life of a hold in a short test: a little more than one lasts."""


def hurried(root: Path) -> None:
    """An office whose holds have a sign of life every few seconds."""
    staffed(root)
    file = root / "flows/transfer.yaml"
    text = file.read_text("utf-8")
    head, bridge, rest = text.partition("bridge: {")
    file.write_text(head + bridge + rest.replace("every: 30 s", f"every: {SHORT} s", 1), "utf-8")


@asynccontextmanager
async def office(
    folder: Path, *desks: str, change: Callable[[Path], None] = hurried
) -> AsyncIterator[Office]:
    async with Office(folder, desks, change=change) as own:
        own.ready(*desks)
        for desk in own.desks.values():
            desk.plan = deque([takes(key=0.5)])
        yield own


async def in_conversation(own: Office, who: str, agent: str) -> tuple[PhoneCall, PhoneCall]:
    """A caller who talks to this agent: the caller's call and the agent's."""
    call = await own.wants(who, agent)
    await own.watch.until(who, "Bridge")
    await asyncio.sleep(0.5)
    return call, own.agent_of(who)


async def on_hold(own: Office, who: str, call: PhoneCall, ring: PhoneCall) -> None:
    """The agent asks for a hold, and the caller agrees."""
    ring.press("*1")
    await own.watch.until(who, "Say", "bridged.ask")
    await asyncio.sleep(1.2)
    call.press("1")
    await own.watch.until(who, "Say", "bridged.agreed")


def starts(heard: list[Heard], *prompts: str) -> list[float]:
    """When any of these was heard to begin."""
    wanted = {f"{line}.{prompt}" for line in ("xjca", "common") for prompt in prompts}
    return [one.start for one in heard if wanted & set(one.names)]


async def hold_and_return(own: Office, who: str, agent: str, every: float) -> str:
    """A whole hold: consent, two signs of life, the agent back, the talk goes on."""
    call, ring = await in_conversation(own, who, agent)
    await on_hold(own, who, call, ring)
    await own.watch.until(who, "Say", "hold.still_here", within=every + 20, times=2)
    await asyncio.sleep(4.0)
    back = time.monotonic()
    ring.press("*2")
    await own.watch.until(who, "Resume")
    await asyncio.sleep(0.3)
    again = time.monotonic()
    call.play(voice(CALLER, 1.0), "talk")
    await asyncio.sleep(1.5)
    await ring.hang_up()
    await own.watch.until(who, "Say", "closing.anything_else")
    await asyncio.sleep(1.0)
    await call.hang_up()
    heard = await asyncio.to_thread(own.stage.ear.recognise, call.heard)
    signs = starts(heard, "bridged.agreed", "hold.still_here")
    gaps = [later - earlier for earlier, later in pairwise(signs)]
    assert gaps == pytest.approx([every] * 2, abs=0.5)
    (thanks,) = starts(heard, "hold.thanks")
    assert thanks - back < every
    # nothing of the agent's voice is heard on hold, and each hears the other again afterwards
    (asked,) = starts(heard, "bridged.ask")
    agent_heard = talk(call, AGENT)
    assert not [one for one in agent_heard if one[0] > asked and one[1] < thanks]
    assert agent_heard[-1][0] > thanks
    assert talk(ring, CALLER)[-1][0] > again - 0.1
    assert own.stage.call_of(who).record["consent"] == "given"
    # the caller hears none of the codes
    assert call.keys == []
    longest = max(later - earlier for earlier, later in pairwise([*signs, thanks]))
    return (
        f"hold: signs of life after {', '.join(f'{gap:.3f}' for gap in gaps)} s, "
        f"longest gap {longest:.3f} s; talking again {agent_heard[-1][0] - thanks:.3f} s after "
        f"the beginning of the apology"
    )


async def test_holds_go_as_they_should_whoever_leaves(tmp_path: Path, figures: list[str]) -> None:
    async with office(tmp_path, "801", "802", "803", "804", "805") as own:

        async def agent_leaves() -> None:
            """The agent hangs up during the hold: the caller is asked for anything else."""
            who = "13800200002"
            call, ring = await in_conversation(own, who, "802")
            await on_hold(own, who, call, ring)
            await own.watch.until(who, "Music", times=2)
            left = time.monotonic()
            await ring.hang_up()
            told = await own.watch.until(who, "Say", "closing.anything_else")
            await asyncio.sleep(0.8)
            await call.hang_up()
            figures.append(f"the agent leaves on hold → the caller is asked: {told - left:.3f} s")
            assert told - left < 0.5
            heard = await asyncio.to_thread(own.stage.ear.recognise, call.heard)
            assert "closing.anything_else" in names(heard)

        async def caller_leaves() -> None:
            who = "13800200003"
            call, ring = await in_conversation(own, who, "803")
            await on_hold(own, who, call, ring)
            await own.watch.until(who, "Music", times=2)
            left = time.monotonic()
            await call.hang_up()
            await ring.ended(5)
            assert ring.ended_at is not None
            figures.append(f"the caller leaves on hold → the agent: {ring.ended_at - left:.3f} s")
            assert ring.ended_at - left < 0.5

        async def caller_declines() -> None:
            """No consent: the two talk on at once."""
            who = "13800200004"
            call, ring = await in_conversation(own, who, "804")
            ring.press("*1")
            await own.watch.until(who, "Say", "bridged.ask")
            await asyncio.sleep(0.6)
            call.press("2")
            await own.watch.until(who, "Resume")
            declined = time.monotonic()
            await asyncio.sleep(1.0)
            assert talk(call, AGENT)[-1][1] > declined + 0.5
            await call.hang_up()

        async def sentences() -> None:
            """A sentence, then harassment: first the warning, then the end of the call."""
            who = "13800200005"
            call, ring = await in_conversation(own, who, "805")
            ring.press("*32")
            await own.watch.until(who, "Resume")
            ring.press("*39")
            await own.watch.until(who, "Resume", times=2)
            await asyncio.sleep(0.5)
            ring.press("*39")
            await call.ended(20)
            await ring.ended(5)
            heard = await asyncio.to_thread(own.stage.ear.recognise, call.heard)
            said = names(heard)
            warning, end = "sentence.harassment_warning", "sentence.harassment_end"
            assert [one for one in said if one in ("unclear.quiet", warning, end)] == [
                "unclear.quiet",
                warning,
                end,
            ]
            # the agent hears nothing of it, and the caller nothing of the codes
            agent = names(await asyncio.to_thread(own.stage.ear.recognise, ring.heard))
            assert not [one for one in agent if one.startswith("sentence.")]
            assert call.keys == []
            assert call.ended_by == "them"
            assert own.stage.call_of(who).record["result"] == "harassment"

        told, *_ = await asyncio.gather(
            hold_and_return(own, "13800200001", "801", SHORT),
            agent_leaves(),
            caller_leaves(),
            caller_declines(),
            sentences(),
        )
        figures.append(told)
        await own.at_rest()


@pytest.mark.slow_live
async def test_a_hold_of_more_than_a_minute_has_its_signs_of_life(
    tmp_path: Path, figures: list[str]
) -> None:
    async with office(tmp_path, "801", change=staffed) as own:
        figures.append(await hold_and_return(own, "13800200011", "801", 30.0))
        await own.at_rest()


@pytest.mark.slow_live
async def test_two_callers_and_one_agent_are_served_in_turn(
    tmp_path: Path, figures: list[str]
) -> None:
    """Who came first is put through; the other is told where he stands, and is next."""
    async with office(tmp_path, "817") as own:
        first, second = "13800200021", "13800200022"
        one = await own.wants(first)
        await own.watch.until(first, "RingAgent")
        two = await own.wants(second)
        await own.watch.until(second, "Say", "transfer.ask_wait")
        await asyncio.sleep(1.0)
        two.press("1")
        await own.watch.until(second, "JoinLine")
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
            heard = await _dials(own, phone, code)
            assert f"agent.{state}" in heard
            assert own.state("801") == state
        # somebody else's phone changes nobody's state
        await _dials(own, own.phone, "*81")
        assert own.state("801") == "busy"
        await own.at_rest()


async def _dials(own: Office, phone: Phone, code: str) -> list[str]:
    """Dial a code, and what was heard."""
    call = await phone.dial(code, own.stage.sip, phone.user)
    await call.ended(10)
    return names(await asyncio.to_thread(own.stage.ear.recognise, call.heard))
