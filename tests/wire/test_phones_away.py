"""Phones that go and come back while callers want them: the whole service in virtual time."""

from __future__ import annotations

import pytest
from meeting import Caller, Office, Ring, result

from ivr import actions, events
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
        presence = one.crew.switchboard.presence
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
        await presence.ask()
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
