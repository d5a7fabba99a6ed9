"""Our own people on real phones, and callers who want them: what the live tests of transfers share.

Rules this module keeps:

- An office is one stage whose line `xjca` rings after a second, has agents 801 to 822, and calls
  nobody at home: each agent's phone is a real one that does what its plan says, ring after ring.
- A caller who keys a staff number gets that agent and nobody else, so that many cases run side
  by side.
- Who talks can be heard: an agent is one tone, a caller another.
- Judged is what was heard and what was written down; the service's own word only says when to act.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from harness import Stage
from sqlalchemy import select
from switches import channels
from watching import Watch

from ivr import floor, tables
from ivr.agents import Agents
from ivr.clock import SystemClock
from ivr.ear import Heard
from ivr.live_rehearsal import TORN
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.rtp import RATE, Samples
from ivr.store import Call

AGENTS = tuple(str(number) for number in range(801, 823))
ANYBODY = ("817", "818", "819", "820")
"""Those whom a caller gets who asks for nobody by number; all others have to be asked for."""
AGENT, CALLER = 1850, 2150
"""Hz of their voices: no key, no beep and no note of the music sounds like that."""
STEP = 0.02
"""Seconds of sound that are looked at at once."""

Does = Callable[[PhoneCall], Awaitable[None]]
"""What an agent does when the phone rings."""


# ---------------------------------------------------------------- what agents do


def voice(pitch: int, seconds: float = 180.0) -> Samples:
    """Somebody who talks."""
    when = np.arange(round(seconds * RATE)) / RATE
    return (3000 * np.sin(2 * np.pi * pitch * when)).astype(np.int16)


def takes(key: float = 1.0, after: float = 0.3) -> Does:
    """Picks up, presses 1 after `key` seconds, and talks until somebody hangs up."""

    async def does(call: PhoneCall) -> None:
        await picks_up(call, after)
        await asyncio.sleep(key)
        (pressed,) = call.press("1")
        await pressed.done()
        call.play(voice(AGENT), "talk")

    return does


def refuses(key: float = 1.0) -> Does:
    async def does(call: PhoneCall) -> None:
        await picks_up(call)
        await asyncio.sleep(key)
        call.press("2")

    return does


def drops(after: float = 0.0) -> Does:
    """Picks up and hangs up, after so long."""

    async def does(call: PhoneCall) -> None:
        await picks_up(call)
        await asyncio.sleep(after)
        await call.hang_up()

    return does


async def only_listens(call: PhoneCall) -> None:
    await picks_up(call)


async def lets_it_ring(call: PhoneCall) -> None:
    call.ring()


async def is_busy(call: PhoneCall) -> None:
    call.refuse(486)


async def declines(call: PhoneCall) -> None:
    call.ring()
    await asyncio.sleep(0.3)
    call.refuse(603)


async def picks_up(call: PhoneCall, after: float = 0.3) -> None:
    call.ring()
    await asyncio.sleep(after)
    call.answer()


@dataclass
class Desk:
    """One agent's phone. `plan` is what it does at successive rings, then for ever the last."""

    number: str
    phone: Phone | None = None
    plan: deque[Does] = field(default_factory=lambda: deque([lets_it_ring]))
    rings: list[PhoneCall] = field(default_factory=list)
    at_once: int = 0
    """The most calls that this phone has had at once."""

    async def open(self) -> int:
        """Plug it in; its port on 127.0.0.1."""
        self.phone = await Phone.open(user=self.number)
        self.phone.on_invite = self._rung
        return self.phone.address[1]

    async def close(self) -> None:
        if self.phone is not None:
            await self.phone.close()

    async def _rung(self, call: PhoneCall) -> None:
        self.rings.append(call)
        assert self.phone is not None
        self.at_once = max(self.at_once, len(self.phone.calls))
        does = self.plan.popleft() if len(self.plan) > 1 else self.plan[0]
        await does(call)


# ---------------------------------------------------------------- the office


def staffed(root: Path) -> None:
    """The data root of an office."""
    file = root / "flows/hotlines/xjca.yaml"
    text = file.read_text("utf-8").replace("{cycle: 5 s,", "{cycle: 1 s,")
    rows = "".join(
        f'  - {{staff_number: "{one}", phone: "{one}", title: 客服, '
        f"departments: [{'service' if one in ANYBODY else 'expert'}]}}\n"
        for one in AGENTS
    )
    text = re.sub(r"(?m)^agents:\n(  - .*\n)+", f"agents:\n{rows}", text)
    text = re.sub(
        r"(?m)^transfer: .*$",
        "transfer: {department: service, ring: 8 s, limit: 10 min, wrap_up: 1 s, misses: 2, "
        "attempts: 5, hold_limit: 5 min}",
        text,
    )
    file.write_text(text, "utf-8")


class Office:
    """A stage, its agents' phones, and a phone that places callers' calls."""

    def __init__(
        self,
        directory: Path,
        desks: Iterable[str] = AGENTS,
        unplugged: Iterable[str] = (),
        **more: Any,
    ) -> None:
        self.desks = {one: Desk(one) for one in desks}
        self.callers: dict[str, PhoneCall] = {}
        """The latest call of each caller who wanted somebody."""
        unplugged = dict.fromkeys(unplugged, 0)
        self.stage = Stage(directory, desks=unplugged, name="office", **{"change": staffed, **more})
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            opening.push_async_callback(asyncio.to_thread, self.stage.close)
            for desk in self.desks.values():
                self.stage.desks[desk.number] = await desk.open()
                opening.push_async_callback(desk.close)
            await asyncio.to_thread(self.stage.__enter__)
            self.phone = await opening.enter_async_context(await Phone.open())
            self.watch = await opening.enter_async_context(Watch(self.stage))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    # -- what the database says

    def agents(self) -> dict[str, tuple[str, str, str]]:
        """By phone: state as it is now, reason, and the call that holds it."""
        now = SystemClock().utc()
        with self.stage.store.read() as connection:
            return {
                row.phone: (floor.phone(row, now).state, row.reason, row.call_id or "")
                for row in connection.execute(select(tables.agents))
            }

    def state(self, phone: str) -> str:
        return self.agents()[phone][0]

    def ready(self, *phones: str) -> None:
        """These agents take calls from now on."""
        people, now = Agents(self.stage.store, "test"), SystemClock().utc()
        for phone in phones or self.desks:
            people.set_ready(phone, "by the test", now)

    def busy(self, *phones: str) -> None:
        people, now = Agents(self.stage.store, "test"), SystemClock().utc()
        for phone in phones:
            people.set_busy(phone, "by the test", now)

    def held(self) -> list[str]:
        """Agents claimed and places taken: nothing, when no call is up."""
        with self.stage.store.read() as connection:
            waiting = connection.execute(
                select(tables.places.c.id).where(tables.places.c.kind == "caller")
            )
            return [
                *(
                    f"{phone} held by {call}"
                    for phone, (_, _, call) in self.agents().items()
                    if call
                ),
                *(f"place {row.id}" for row in waiting),
            ]

    def legs(self, call: Call) -> list[Call]:
        """The legs of a call, in their order."""
        with self.stage.store.read() as connection:
            query = select(tables.calls).where(tables.calls.c.leg_of == call.id)
            rows = connection.execute(query.order_by(tables.calls.c.offered_at))
            return [Call(**row._mapping) for row in rows]

    async def channels(self) -> int:
        return await asyncio.to_thread(channels, self.stage.switch)

    async def at_rest(self, within: float = 5.0) -> None:
        """Nobody is in any call: nothing is left of any in Asterisk, the service, the database."""
        left: dict[str, Any] = {}
        async with asyncio.timeout(within + 10):
            deadline = time.monotonic() + within
            while True:
                left = {
                    "channels": await self.channels(),
                    "calls": await self.stage.ask(ask="live"),
                    "held": self.held(),
                }
                if not any(left.values()):
                    return
                if time.monotonic() > deadline:
                    raise AssertionError(f"something is left: {left}")
                await asyncio.sleep(0.1)

    async def at_rest_for(self, caller: str, within: float = 10.0) -> None:
        """The service has nothing to do with this caller any more."""
        async with asyncio.timeout(within):
            while any(  # noqa: ASYNC110  # it tells nobody when a call has been written down
                one["caller"][-4:] == caller[-4:] for one in await self.stage.ask(ask="live")
            ):
                await asyncio.sleep(0.05)

    # -- callers

    def calls_of(self, caller: str) -> list[PhoneCall]:
        """This caller's latest call, and the agents' calls for this caller."""
        rings = [ring for desk in self.desks.values() for ring in desk.rings]
        own = [self.callers[caller]] if caller in self.callers else []
        return own + [ring for ring in rings if ring.caller == caller]

    async def all_leave(self) -> None:
        """Every caller hangs up who has not yet."""
        for call in self.callers.values():
            await call.hang_up()

    def agent_of(self, caller: str) -> PhoneCall:
        """The agent's call with this caller."""
        calls = [ring for desk in self.desks.values() for ring in desk.rings]
        return next(one for one in reversed(calls) if one.caller == caller and not one.ended_by)

    async def wants(self, caller: str, agent: str = "", number: str = "1001") -> PhoneCall:
        """A caller who is put through: to this agent, or to whoever is next."""
        call = self.callers[caller] = await self.stage.dial(self.phone, number, caller)
        await self.watch.until(caller, "Say", "opening")
        await asyncio.sleep(0.4)
        if not agent:
            call.press("0")
            return call
        call.press("7")
        await self.watch.until(caller, "Say", "extension.ask")
        await asyncio.sleep(0.3)
        call.press(f"{agent}#")
        return call

    async def dials(self, phone: Phone, number: str, within: float = 15.0) -> PhoneCall:
        """This phone dials something, and listens until that is over."""
        call = await phone.dial(number, self.stage.sip, phone.user)
        await call.ended(within)
        return call

    async def heard(self, call: PhoneCall) -> list[str]:
        """The prompts that were heard in a call."""
        return names(await asyncio.to_thread(self.stage.ear.recognise, call.heard))

    async def waits(self, caller: str) -> PhoneCall:
        """A caller for whom nobody is free, and who agrees to wait in line."""
        call = await self.wants(caller)
        await self.watch.until(caller, "Say", "transfer.ask_wait")
        await asyncio.sleep(1.0)
        call.press("1")
        await self.watch.until(caller, "JoinLine")
        return call


@asynccontextmanager
async def at_work(directory: Path, *desks: str, **more: Any) -> AsyncIterator[Office]:
    """An office whose agents are ready, and take every call half a second into the note; `more` is
    as for `Office`."""
    async with Office(directory, desks, **more) as own:
        own.ready(*desks)
        for desk in own.desks.values():
            desk.plan = deque([takes(key=0.5)])
        yield own


# ---------------------------------------------------------------- what was heard


def names(heard: Iterable[Heard], line: str = "xjca") -> list[str]:
    """The prompts heard, without the line's name; digits and the like left out."""
    found = []
    for one in heard:
        name = next((n for n in one.names if n.startswith((f"{line}.", "common."))), one.name)
        short = name.partition(".")[2]
        part = short.startswith(("digit.", "count.", "letter.", "beep")) or "." not in name
        if not part and (not found or found[-1] != short):
            found.append(short)
    return found


def talk(call: PhoneCall, pitch: int) -> list[tuple[float, float]]:
    """When this voice was heard, as stretches in monotonic seconds."""
    sound = call.heard.samples().astype(float)
    step = round(STEP * RATE)
    when = np.arange(step) / RATE
    wave = np.exp(-2j * np.pi * pitch * when)
    stretches: list[tuple[float, float]] = []
    for place in range(0, len(sound) - step, step):
        part = sound[place : place + step]
        level = abs((part * wave).sum()) * 2 / step
        power = np.sqrt((part**2).mean())
        if level > 800 and level > 1.2 * power:
            begin = call.heard.began + place / RATE
            if stretches and begin - stretches[-1][1] < 0.1:
                stretches[-1] = (stretches[-1][0], begin + STEP)
            else:
                stretches.append((begin, begin + STEP))
    return [one for one in stretches if one[1] - one[0] >= 0.1]


def silences(call: PhoneCall, pitch: int, since: float) -> list[tuple[float, float]]:
    """The times in which this voice was not heard, from this moment on: begin and length. A busy
    machine tears shorter ones into it."""
    heard = [(since, since), *(one for one in talk(call, pitch) if one[1] > since)]
    return [
        (begin, later - begin) for (_, begin), (later, _) in pairwise(heard) if later - begin > 0.3
    ]


def torn(*calls: PhoneCall) -> bool:
    """Whether the machine was too busy to play the sound of these calls in one piece."""
    return any(late > TORN for call in calls for _, late in call.heard.slips())


def pressed(call: PhoneCall, key: str) -> float:
    """When we had pressed this key."""
    return next(when for when, what in call.marks if what == f"press {key} ended")
