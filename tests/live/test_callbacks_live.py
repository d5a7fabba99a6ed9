"""Call-backs on real phones: an agent, then the person; and a service that is killed in each phase.

Nobody is rung twice for the same attempt, and nothing promised is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from moments import eventually
from people import AGENT, CALLER, Desk, Does, Office, names, picks_up, staffed, takes, talk, voice

from ivr import attempts, promises
from ivr.actions import Keep
from ivr.attempts import Attempt
from ivr.clock import SystemClock
from ivr.hours import parse
from ivr.messages import keep
from ivr.phone_call import PhoneCall
from ivr.promises import Promise
from ivr.store import Call, write_rows

pytestmark = pytest.mark.live

SEAT = "820"
CARRIER = "carrier"
PERSON = "13912345678"
RULES = 'callbacks: {hours: {mon-sun: "00:00-24:00"}, spacing: 60 s, ring: 12 s}\n'
PATIENCE = 60.0
"""Seconds within which what is waited for happens, unless it has to wait itself."""
DEAD = 12.0
"""Seconds after which what a killed process held is free."""


def promising(root: Path) -> None:
    staffed(root)
    file = root / "flows/hotlines/xjca.yaml"
    file.write_text(file.read_text("utf-8") + "\n" + RULES, "utf-8")


class Promised:
    """An office with one agent and one way out, at whose end the person's phone is."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(
            directory,
            desks=(SEAT, CARRIER),
            change=promising,
            environment={"SANSHENG_CARRIER": CARRIER},
        )

    @property
    def agent(self) -> Desk:
        return self.office.desks[SEAT]

    @property
    def person(self) -> Desk:
        return self.office.desks[CARRIER]

    def does(self, agent: Does, person: Does) -> None:
        self.agent.plan, self.person.plan = deque([agent]), deque([person])

    def leave(self) -> None:
        """A caller has left a message, and was promised an answer."""
        stage = self.office.stage
        line = stage.hotlines.lines["xjca"]
        now = SystemClock().utc()
        call = Call("left-1", stage.name, "left-1", "xjca", "1001", PERSON, now, ended_at=now)
        with stage.store.write() as connection:
            write_rows(connection, Call, [call])
        wish = Keep(9, "message", (("contact", PERSON),), "24 h")
        keep(stage.store, call, wish, parse(line.document), now, line.tickets, tuple(line.numbers))

    @property
    def promise(self) -> Promise:
        (one,) = promises.listed(self.office.stage.store, states=promises.STATES)
        return one

    @property
    def attempts(self) -> list[Attempt]:
        return attempts.tried(self.office.stage.store, self.promise.id)

    async def killed(self) -> None:
        """kill -9, and a new start at once."""
        await asyncio.to_thread(self.office.stage.kill_service)
        await asyncio.to_thread(self.office.stage.start_service)

    async def kept_after_all(self) -> None:
        """The agent comes back once the dead process is known to be dead; all is kept."""
        self.does(takes(), says_yes)
        await asyncio.sleep(DEAD)
        self.office.ready(SEAT)
        await eventually(lambda: self.promise.state == "calling", 90)
        await eventually(lambda: talking(self.person), 60)
        await asyncio.sleep(2)
        await self.agent.rings[-1].hang_up()
        await eventually(lambda: self.promise.state == "kept", PATIENCE)

    def judge(self) -> None:
        """However it went: each attempt rang the person once at most."""
        dialled = [one for one in self.attempts if one.dialled_at]
        assert len(self.person.rings) <= len(dialled) <= 3
        assert all(one.ended_at for one in self.attempts)
        assert self.person.at_once == 1
        assert self.promise.state == "kept"


def talking(desk: Desk) -> list[tuple[float, float]]:
    return talk(desk.rings[-1], AGENT) if desk.rings else []


async def says_yes(call: PhoneCall) -> None:
    """Picks up, says by key who it is, and talks."""
    await picks_up(call)
    await asyncio.sleep(4.0)
    (pressed,) = call.press("1")
    await pressed.done()
    call.play(voice(CALLER), "talk")


async def rings_on(call: PhoneCall) -> None:
    call.ring()


async def listens(call: PhoneCall) -> None:
    await picks_up(call)


@asynccontextmanager
async def promised(directory: Path, agent: Does, person: Does) -> AsyncIterator[Promised]:
    """An office whose one agent has just become ready, and somebody who has been promised an
    answer; judged at the end."""
    one = Promised(directory)
    async with one.office:
        one.does(agent, person)
        one.office.ready(SEAT)
        one.leave()
        yield one
        one.judge()


async def test_an_agent_takes_it_the_person_says_who_they_are_and_the_two_talk(
    tmp_path: Path,
) -> None:
    async with promised(tmp_path, takes(), says_yes) as one:
        await eventually(lambda: talking(one.person), PATIENCE)
        await asyncio.sleep(2)
        agent, person = one.agent.rings[-1], one.person.rings[-1]
        assert talk(agent, CALLER)
        await agent.hang_up()
        await asyncio.sleep(1.5)
        (nothing_else,) = person.press("2")
        await nothing_else.done()
        await eventually(lambda: one.promise.state == "kept", PATIENCE)
        await one.office.at_rest()
        assert person.caller == "1001"  # the line's own number
        heard = names(one.office.stage.ear.recognise(person.heard))
        assert heard[0] == "callback.hello"
        assert heard[-1] == "callback.goodbye"
        assert [attempt.result for attempt in one.attempts] == ["connected"]


@pytest.mark.slow_live
async def test_killed_before_the_person_is_rung(tmp_path: Path) -> None:
    async with promised(tmp_path, listens, says_yes) as one:
        await eventually(lambda: one.agent.rings, PATIENCE)
        await asyncio.sleep(2)
        await one.killed()
        assert one.person.rings == []
        await one.kept_after_all()
        assert len(one.person.rings) == 1


@pytest.mark.slow_live
async def test_killed_while_it_rings_at_the_persons(tmp_path: Path) -> None:
    async with promised(tmp_path, takes(), rings_on) as one:
        await eventually(lambda: one.person.rings, PATIENCE)
        await one.killed()
        await eventually(lambda: one.attempts[0].ended_at, 40)
        assert len(one.person.rings) == 1
        assert one.attempts[0].result == "unknown"
        await one.kept_after_all()
        assert len(one.person.rings) == 2


@pytest.mark.slow_live
async def test_killed_while_the_two_talk_who_talk_on(tmp_path: Path) -> None:
    async with promised(tmp_path, takes(), says_yes) as one:
        await eventually(lambda: talking(one.person), PATIENCE)
        await asyncio.sleep(1)
        await one.killed()
        again = time.monotonic()
        await asyncio.sleep(DEAD)
        assert talking(one.person)[-1][1] > again  # a conversation needs no service
        assert one.promise.state == "calling"
        await one.agent.rings[-1].hang_up()
        await eventually(lambda: one.promise.state == "kept", 40)
        assert len(one.person.rings) == 1


@pytest.mark.slow_live
async def test_killed_as_the_two_have_talked(tmp_path: Path) -> None:
    async with promised(tmp_path, takes(), says_yes) as one:
        await eventually(lambda: talking(one.person), PATIENCE)
        await asyncio.sleep(1)
        await one.agent.rings[-1].hang_up()
        await one.killed()
        await eventually(lambda: one.promise.state == "kept", 60)
        assert len(one.person.rings) == 1
        assert [attempt.result for attempt in one.attempts] == ["connected"]
