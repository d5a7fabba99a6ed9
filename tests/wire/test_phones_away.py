"""Phones that go and come back while callers want them: the whole service in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from background import going_on
from meeting import Caller, Office, Ring, result

from ivr import actions, events, presence, serve
from ivr.agents import Agents
from ivr.back_ends import LookUps
from ivr.hotlines import Hotlines
from ivr.roster import listed

BY_KEYS = 30.5
"""Seconds between two signs of life without a manager, at most."""
FIRST, SECOND = "13800000001", "13800000002"


async def state(one: Office, phone: str) -> str:
    await one.crew.switchboard.settled()
    rows = listed(one.crew.store, one.clock.utc(), "xjca")
    return next(row["state"] for row in rows if row["phone"] == phone)


async def test_a_phone_that_has_gone_is_not_rung_and_one_that_is_back_is(office) -> None:
    async with office(p801=[Ring(talks=20.0)], p802=[Ring(talks=20.0)]) as one:
        one.world.fake.register("801", there=False)
        await one.clock.run_for(1.0)
        assert await state(one, "801") == "unreachable"
        one.call(Caller(FIRST))
        await one.until_all_is_over(1)
        one.world.fake.register("801")
        await one.clock.run_for(1.0)
        assert await state(one, "801") == "ready"
        one.world.fake.register("802", there=False)
        one.call(Caller(SECOND))
        await one.until_all_is_over(2)
        assert one.talks() == [(FIRST, "802"), (SECOND, "801")]
        await one.holds_nothing()


async def test_nothing_is_torn_when_a_phone_goes_in_a_talk(office) -> None:
    async with office(p801=[Ring(talks=40.0)]) as one:

        def goes(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(5.0, lambda: one.world.fake.register("801", there=False))

        one.on = goes
        one.call(Caller(FIRST))
        await one.until_all_is_over(1)
        assert one.talks() == [(FIRST, "801")]
        assert result(one.stages[0]) == "transferred"
        assert await state(one, "801") == "unreachable"
        await one.holds_nothing()


async def test_what_was_missed_while_the_manager_was_away_is_asked_for(office) -> None:
    async with office(p801=[Ring(talks=20.0)], p802=[]) as one:
        before = one.world.service.bells
        one.world.fake.ami.cut()
        one.world.fake.register("801", there=False)
        await one.clock.run(lambda: one.world.service.bells > before, limit=60.0)
        assert await state(one, "801") == "ready"
        await one.crew.switchboard.presence.ask()
        assert await state(one, "801") == "unreachable"
        one.world.fake.register("801")
        await one.clock.run_for(1.0)
        assert await state(one, "801") == "ready"


@asynccontextmanager
async def watched(one: Office) -> AsyncIterator[None]:
    """The service watches its manager, as `sansheng serve` does."""
    service = one.world.service
    assert one.world.manager is not None
    async with going_on(serve._watch(one.world.manager, service, one.crew.switchboard)):
        yield


async def test_who_watches_the_manager_asks_where_phones_are_when_it_is_back(office) -> None:
    async with office(p801=[Ring(talks=20.0)], p802=[]) as one, watched(one):
        before = one.world.service.bells
        one.world.fake.ami.cut()
        one.world.fake.register("801", there=False)
        await one.clock.run(lambda: one.world.service.bells > before, limit=60.0)
        await one.clock.run_for(serve.LOOK + 0.5)
        assert await state(one, "801") == "unreachable"
        assert await state(one, "802") == "ready"


async def test_an_account_that_hears_of_no_phone_takes_nobody_for_gone(office) -> None:
    """It would never hear of their return; who is found there is taken for that."""
    async with office(p801=[Ring()], p802=[Ring()]) as one, watched(one):
        one.world.fake.register("802", there=False)
        await one.clock.run_for(1.0)
        assert await state(one, "802") == "unreachable"
        ami = one.world.fake.ami
        old = replace(ami.accounts["sansheng"], system=False)
        ami.accounts["sansheng"] = old
        one.world.manager.hears_system = False  # as in a service that has begun with this account
        before = one.world.service.bells
        ami.cut()
        one.world.fake.register("801", there=False)
        one.world.fake.register("802")
        await one.clock.run(lambda: one.world.service.bells > before, limit=60.0)
        await one.clock.run_for(serve.LOOK + 0.5)
        assert await state(one, "801") == "ready"
        assert await state(one, "802") == "ready"


async def test_who_was_rung_in_vain_is_tried_once_more_when_asterisk_knows_the_phone(
    office,
) -> None:
    """Its power failed; it is there again, registers from where it was, and nobody says so."""
    away = Ring("unreachable")
    async with office(p801=[away, Ring(talks=20.0)]) as one, watched(one):
        one.call(Caller(FIRST))
        await one.until_all_is_over(1)
        await one.clock.run_for(2 * presence.AGAIN.total_seconds())
        assert await state(one, "801") == "ready"
        one.call(Caller(SECOND))
        await one.until_all_is_over(2)
        assert one.talks() == [(SECOND, "801")]


async def test_who_is_tried_once_more_in_vain_is_busy_and_not_rung_again(office) -> None:
    async with office(p801=[Ring("unreachable")]) as one, watched(one):
        for number in range(1, 3):
            one.call(Caller(FIRST))
            await one.until_all_is_over(number)
            await one.clock.run_for(2 * presence.AGAIN.total_seconds())
        assert await state(one, "801") == "busy"
        assert one.crew.phones["801"].rung == 2


async def test_who_was_rung_in_vain_is_left_alone_while_asterisk_does_not_know_the_phone(
    office,
) -> None:
    async with office(p801=[Ring("unreachable")]) as one, watched(one):
        one.call(Caller(FIRST))
        await one.clock.run(lambda: one.crew.phones["801"].rung == 1, limit=60.0)
        one.world.fake.register("801", there=False)
        await one.until_all_is_over(1)
        await one.clock.run_for(3 * presence.AGAIN.total_seconds())
        assert await state(one, "801") == "unreachable"


async def test_news_that_come_at_once_are_written_down_at_once(office) -> None:
    async with office(p801=[Ring()], p802=[Ring()]) as one:
        agents = one.crew.agents
        writes = []

        def reached(phones, now):
            writes.append(dict(phones))
            return Agents.reached(agents, phones, now)

        agents.reached = reached
        for phone in ("801", "802"):
            for _ in range(3):
                one.crew.switchboard.presence._tell(phone, False)
        await one.crew.switchboard.settled()
        assert writes == [{"801": False, "802": False}]
        assert await state(one, "802") == "unreachable"


async def test_a_phone_that_was_not_reached_is_back_when_it_is_found_elsewhere(office) -> None:
    dead = Ring("unreachable")
    async with office(p801=[dead, Ring(talks=20.0)]) as one:
        one.call(Caller(FIRST))
        await one.until_all_is_over(1)
        assert await state(one, "801") == "unreachable"
        one.world.fake.move("801")
        await one.clock.run_for(1.0)
        assert await state(one, "801") == "ready"
        one.call(Caller(SECOND))
        await one.until_all_is_over(2)
        assert one.talks() == [(SECOND, "801")]


async def test_what_is_heard_while_it_is_asked_is_newer_than_the_answer(
    office,
    lines: Hotlines,
) -> None:
    async with office(p801=[Ring()], p802=[Ring()]) as one:
        where = one.crew.switchboard.presence
        bell = one.world.service.bell
        assert bell is not None
        asked = bell.action

        async def action(name: str, headers=None):
            reply = await asked(name, headers)
            if "801" in str(headers):  # it goes just after it was asked for
                one.world.fake.register("801", there=False)
                await one.clock.run_for(0.1)
            return reply

        bell.action = action
        await where.ask()
        assert await state(one, "801") == "unreachable"
        assert await state(one, "802") == "ready"


@pytest.mark.parametrize(
    ("does", "comes_to"),
    [(Ring(after=8.0, talks=20.0), "transferred"), (Ring("no_answer"), "waiting")],
    ids=lambda one: getattr(one, "does", ""),
)
async def test_a_manager_that_goes_for_good_while_a_phone_rings_leaves_the_caller_in_good_hands(
    office, does: Ring, comes_to: str
) -> None:
    """Who picks up is put through as ever; who does not is given up a moment after the ringing
    should have ended, and the caller hears that nobody is there, and leaves contact."""
    async with office(p801=[does]) as one:
        one.expected = {"a phone cannot be rung"}
        rung: list[float] = []
        failed: list[float] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.RingAgent) and not rung:
                rung.append(one.clock.now())
                one.clock.call_later(2.0, goes)
            elif isinstance(what, events.AgentFailed):
                failed.append(one.clock.now())

        def goes() -> None:
            assert one.world.fake._server is not None
            one.world.fake._server.close()
            one.world.fake.ami.cut()

        one.on = happened
        one.call(Caller(FIRST))
        await one.until_all_is_over(1)
        assert result(one.stages[0]) == comes_to
        assert one.longest_silence() <= BY_KEYS
        if comes_to == "waiting":
            line = one.world.service.hotlines.lines["xjca"]
            assert failed[0] - rung[0] <= line.staff.transfer.ring + 5.1
        else:
            assert one.talks() == [(FIRST, "801")]


async def test_where_phones_are_is_asked_when_the_lines_are_read_again(
    office, lines: Hotlines, tmp_path: Path
) -> None:
    """A phone that was in no line's file was not listened to."""
    async with office(p801=[Ring()]) as one:
        service, people = one.world.service, one.crew.switchboard
        lookups = LookUps(lines, one.clock, tmp_path)
        service.reload(replace(lines, lines={}), lookups)
        one.world.fake.register("801", there=False)
        await one.clock.run_for(1.0)
        assert await state(one, "801") == "ready"
        service.reload(lines, lookups)
        await serve._taken(people, lines)
        assert await state(one, "801") == "unreachable"
        await lookups.close()
