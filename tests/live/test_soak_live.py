"""Ten callers and three agents, all of them doing as they please, for ten minutes of real calls
(`make soak`; SANSHENG_SOAK sets other seconds): no phone is rung twice at once, nobody is left
without an outcome, who comes first is served first, and who waits hears from us.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from people import (
    ANYBODY,
    CALLER,
    Does,
    Office,
    declines,
    drops,
    is_busy,
    lets_it_ring,
    only_listens,
    picks_up,
    refuses,
    staffed,
    voice,
)
from sqlalchemy import select

from ivr import tables
from ivr.actions import JoinLine, LeaveLine, Say
from ivr.events import Claimed
from ivr.journal import Entry
from ivr.phone_call import PhoneCall, State
from ivr.store import Call

pytestmark = [pytest.mark.live, pytest.mark.slow_live]

SECONDS = float(os.environ.get("SANSHENG_SOAK", "600"))
CALLERS = 10
AGENTS = ANYBODY[:3]
GAP = 30.5
"""Seconds that a caller who waits may be without a sign of life."""
SAYS = ("transfer.begin", "transfer.still_here", "transfer.position", "transfer.next")
"""Signs of life of a wait."""


def patient(root: Path) -> None:
    """An office whose agents are never set busy for missing calls: they would all be, soon."""
    staffed(root)
    file = root / "flows/hotlines/xjca.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("misses: 2, attempts: 5", "misses: 9, attempts: 5"), "utf-8")


def whim(chance: random.Random) -> Does:
    """What an agent does this time."""

    async def talks(call: PhoneCall) -> None:
        await picks_up(call, chance.uniform(0.5, 4))
        await asyncio.sleep(chance.uniform(0.5, 9))
        call.press("1")
        call.play(voice(CALLER, 2.0), "talk")
        await asyncio.sleep(chance.uniform(5, 25))
        if call.state is State.UP and chance.random() < 0.8:
            await call.hang_up()

    rare = (refuses(2.0), is_busy, declines, drops(), drops(3.0), lets_it_ring, only_listens)
    return talks if chance.random() < 0.7 else chance.choice(rare)


async def lives(own: Office, who: str, until: float, chance: random.Random) -> int:
    """One caller's ten minutes: calls, and waits, leaves, or talks. How many calls it was."""
    calls = 0
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0.5, 6))
        call = await own.stage.dial(own.phone, "1001", who)
        calls += 1
        temper = asyncio.create_task(behaves(own, who, call, calls, chance))
        try:
            await call.ended(240)
        except TimeoutError:
            await call.hang_up()
        temper.cancel()
        await asyncio.gather(temper, return_exceptions=True)
        await own.at_rest_for(who)
    return calls


async def behaves(
    own: Office, who: str, call: PhoneCall, times: int, chance: random.Random
) -> None:
    """Wants a person; agrees to wait; perhaps leaves, takes 9, or hangs up in the talk."""
    await own.watch.until(who, "Say", "opening", times=times)
    await asyncio.sleep(0.5)
    call.press("0")
    temper = chance.random()
    if temper < 0.2:
        await asyncio.sleep(chance.uniform(1, 30))
        await call.hang_up()
        return
    agreeing = asyncio.create_task(agrees(own, who, call))
    try:
        if temper < 0.35:
            await asyncio.sleep(chance.uniform(12, 40))
            call.press("9")
            await asyncio.sleep(chance.uniform(1, 8))
            await call.hang_up()
        else:
            await asyncio.sleep(chance.uniform(40, 150))
            await call.hang_up()
    finally:
        agreeing.cancel()


async def agrees(own: Office, who: str, call: PhoneCall) -> None:
    """Says yes to waiting, and no to anything else."""
    place = len(own.watch.rows)
    while True:
        for _, row in own.watch.rows[place:]:
            place += 1
            if row.get("caller") == who and row["what"] == "Say":
                if row["prompt"] == "transfer.ask_wait":
                    await asyncio.sleep(0.5)
                    call.press("1")
                elif row["prompt"] in ("closing.anything_else", "closing.goodbye"):
                    await asyncio.sleep(1.5)
                    await call.hang_up()
        await asyncio.sleep(0.1)


async def test_ten_callers_and_three_agents_do_as_they_please(
    tmp_path: Path, figures: list[str]
) -> None:
    seed = int(os.environ.get("SANSHENG_SEED", "0")) or random.randrange(1, 10**6)
    chance = random.Random(seed)
    figures.append(f"seed {seed} (SANSHENG_SEED)")
    async with Office(tmp_path, AGENTS, change=patient) as own:
        own.ready(*AGENTS)
        for desk in own.desks.values():
            desk.plan = deque(whim(chance) for _ in range(1000))
        keeping = asyncio.create_task(at_work(own))
        until = time.monotonic() + SECONDS
        callers = [f"138003{n:05d}" for n in range(CALLERS)]
        calls = await asyncio.gather(
            *(lives(own, who, until, random.Random(chance.random())) for who in callers)
        )
        keeping.cancel()
        await own.at_rest(within=30)
        judge(own, callers, sum(calls), figures)


async def at_work(own: Office) -> None:
    """Who was unreachable, or missed too many calls, is back at work after a while."""
    while True:
        await asyncio.sleep(5)
        away = [
            one for one, (state, *_) in own.agents().items() if state in ("busy", "unreachable")
        ]
        own.ready(*(one for one in away if one in AGENTS))


# ---------------------------------------------------------------- what must hold


def judge(own: Office, callers: list[str], placed: int, figures: list[str]) -> None:
    """Everything that must hold of all these calls."""
    stage = own.stage
    with stage.store.read() as connection:
        query = select(tables.calls).where(tables.calls.c.leg_of == "")
        calls = [Call(**row._mapping) for row in connection.execute(query)]
    assert len(calls) == placed
    # no phone has ever had two calls
    assert {desk.number: desk.at_once for desk in own.desks.values() if desk.at_once > 1} == {}
    # every call ended, and says how; nothing went wrong with us
    assert [call.id for call in calls if not call.ended_at or not call.ended_by] == []
    assert [call.problem for call in calls if call.problem] == []
    assert stage.logged("a call has ended and still held") == []
    # whoever asked to be put through has an outcome
    outcomes = Counter(map(outcome, calls))
    assert not outcomes["none"], outcomes
    in_turn(own, calls)
    gap = max((one for call in calls for one in gaps(stage.entries(call))), default=0.0)
    figures.append(
        f"soak of {SECONDS:.0f} s: {len(calls)} calls, "
        f"{', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}; "
        f"phones rung {sum(len(desk.rings) for desk in own.desks.values())} times, "
        f"never two at once; longest time without a sign of life {gap:.2f} s"
    )
    assert gap <= GAP


def outcome(call: Call) -> str:
    """What became of a caller: one of the property's three, or what came before a transfer."""
    result = call.record.get("result", "")
    if result == "transferred":
        return "talked"
    if call.ended_by == "caller":
        return "hung up"
    return "left contact" if call.record.get("kind") else "none"


def gaps(entries: list[Entry]) -> Iterator[float]:
    """Seconds between the beginnings of two signs of life, while the caller waits in line."""
    waiting, last = False, 0
    for entry in entries:
        match entry.what:
            case JoinLine():
                waiting = True
            case LeaveLine():
                waiting, last = False, 0
            case Say(prompt=prompt) if waiting or prompt in SAYS:
                if last and waiting:
                    yield (entry.at_ms - last) / 1000
                last = entry.at_ms


def in_turn(own: Office, calls: list[Call]) -> None:
    """Whoever joined first is claimed for first, as long as both wait. (A caller for whom a phone
    was just rung in vain lets others by for that phone.)"""
    waits = []
    for call in calls:
        joined, tried = 0.0, False
        for entry in own.stage.entries(call):
            when = call.offered_at.timestamp() + entry.at_ms / 1000
            match entry.what:
                case JoinLine():
                    joined, tried = when, False
                case Claimed() if joined and not tried:
                    waits.append((joined, when, call.caller))
                    tried = True
                case LeaveLine() if joined and not tried:
                    waits.append((joined, float("inf"), call.caller))
    waits.sort()
    for (_, claimed, who), (joined, later, other) in pairwise(waits):
        left = claimed == float("inf")
        assert left or later >= claimed - 0.05 or joined > claimed, (who, other)
