"""A rolling restart: one worker drains while the next takes new calls, with the same Asterisk."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from itertools import pairwise
from pathlib import Path

import pytest
from conversations import in_conversation, on_hold, starts
from people import AGENT, CALLER, Office, names, staffed, takes, talk, voice

from ivr.phone_call import PhoneCall

pytestmark = [pytest.mark.live, pytest.mark.slow_live]

FIRST, SECOND = "13800218001", "13800218002"
"""Callers: of the worker that drains, and of the next."""
ALIVE = 2.0
"""How long a sign of life of the worker is waited for before a code, in seconds."""


async def test_a_worker_drains_with_its_agents_codes_while_the_next_takes_new_calls(
    tmp_path: Path, figures: list[str]
) -> None:
    async with Office(tmp_path, ("801", "802"), change=staffed) as own:
        own.ready("801", "802")
        for desk in own.desks.values():
            desk.plan = deque([takes(key=0.5)])
        call, ring = await in_conversation(own, FIRST, "801")
        told = time.monotonic()
        drained = await asyncio.to_thread(own.stage.relieve_service)
        ready = time.monotonic() - told
        assert drained.poll() is None

        # a new caller is answered by the next worker, and put through by it
        other, other_ring = await in_conversation(own, SECOND, "802")
        one, two = own.stage.call_of(FIRST), own.stage.call_of(SECOND)
        assert one.owner != two.owner
        both = {row["caller"] for row in await own.stage.ask(ask="live") if not row["leg_of"]}
        assert both == {f"*******{who[-4:]}" for who in (FIRST, SECOND)}

        # meanwhile the agents of both have a hold, and their callers back
        await asyncio.gather(
            on_hold(own, FIRST, call, ring), on_hold(own, SECOND, other, other_ring)
        )
        await asyncio.sleep(3.0)
        for agent in (ring, other_ring):
            agent.press("*2")
        for who in (FIRST, SECOND):
            await own.watch.until(who, "Resume")
        again = time.monotonic()
        for one_call in (call, other):
            one_call.play(voice(CALLER, 2.0), "talk")
        await asyncio.sleep(2.5)
        assert talk(ring, CALLER)[-1][0] > again - 0.1
        assert talk(other_ring, CALLER)[-1][0] > again - 0.1

        # the call of the first goes on to its end, and then it ends by itself
        await ring.hang_up()
        await own.watch.until(FIRST, "Say", "closing.anything_else")
        await asyncio.sleep(1.0)
        await call.hang_up()
        left = time.monotonic()
        assert await asyncio.to_thread(drained.wait, 15) == 0
        ended = time.monotonic() - left
        assert talk(other, AGENT)[-1][1] > left
        await other_ring.hang_up()
        await own.watch.until(SECOND, "Say", "closing.anything_else")
        await other.hang_up()
        await own.at_rest()

        heard = await asyncio.to_thread(own.stage.ear.recognise, call.heard)
        (thanks,) = starts(heard, "hold.thanks")
        assert talk(call, AGENT)[-1][0] > thanks
        assert "closing.anything_else" in names(heard)
        heard = await asyncio.to_thread(own.stage.ear.recognise, other.heard)
        assert names(heard)[0] == "opening"
        for who in (FIRST, SECOND):
            row = own.stage.call_of(who)
            assert (row.record["result"], row.problem) == ("transferred", "")
        figures.append(
            f"rolling: the next worker was ready {ready:.1f} s after SIGTERM; the first ended "
            f"{ended:.1f} s after its last call, agents' codes worked at both"
        )


async def test_no_caller_hears_the_apology_when_the_next_worker_begins_before_the_first_drains(
    tmp_path: Path, figures: list[str]
) -> None:
    async with Office(tmp_path, ()) as own:
        calls: dict[str, PhoneCall] = {}

        async def ring() -> None:
            who = f"138002190{len(calls):02d}"
            calls[who] = await own.stage.dial(own.phone, "1001", who)
            await asyncio.sleep(0.5)

        talking = await own.stage.dial(own.phone, "1001", FIRST)
        await own.watch.until(FIRST, "Say", "opening")
        await own.stage.ask(ask="maintenance", on=True, lines=["ems"])
        relief = asyncio.create_task(asyncio.to_thread(own.stage.relieve_service, first=True))
        while not relief.done():
            await ring()
        drained = relief.result()
        assert (await own.stage.ask(ask="maintenance"))["maintenance"] == ["ems"]
        for _ in range(4):
            await ring()
        await asyncio.sleep(4.0)
        for call in (talking, *calls.values()):
            await call.hang_up()
        assert await asyncio.to_thread(drained.wait, 15) == 0
        await own.at_rest()
        for call in calls.values():
            heard = names(await asyncio.to_thread(own.stage.ear.recognise, call.heard))
            assert heard
            assert not any(name.startswith("maintenance.") for name in heard)
        rows = [own.stage.call_of(who) for who in calls]
        assert rows[0].owner != rows[-1].owner
        assert {row.problem for row in rows} == {""}
        figures.append(f"rolling, the next first: {len(calls)} calls by two workers, no apology")


async def test_a_worker_that_freezes_while_it_drains_keeps_nobody_in_silence(
    tmp_path: Path, figures: list[str]
) -> None:
    """Its sign of life is asked of itself: the next one's says nothing of it."""
    async with Office(tmp_path, ("801",), change=staffed) as own:
        own.ready("801")
        own.desks["801"].plan = deque([takes(key=0.5)])
        call, ring = await in_conversation(own, FIRST, "801")
        drained = await asyncio.to_thread(own.stage.relieve_service)
        drained.send_signal(signal.SIGSTOP)
        keyed = time.monotonic()
        ring.press("*1")
        await asyncio.sleep(ALIVE + 10.0)
        stretches = talk(call, AGENT)
        longest = max(later[0] - one[1] for one, later in pairwise(stretches))
        assert longest < ALIVE + 0.6
        assert stretches[-1][1] > keyed + ALIVE + 9.0
        drained.kill()  # and one that has died is asked in vain
        killed = time.monotonic()
        ring.press("*1")
        await asyncio.sleep(4.0)
        assert talk(call, AGENT)[-1][1] > killed + 3.0
        for one in (call, ring):
            assert not one.ended_by
        await call.hang_up()
        await ring.ended(5)
        figures.append(f"frozen while it drains: a code makes a pause of {longest:.2f} s")
