"""Callers and agents where the manager is lost, the lines are read again, or the service stops."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from meeting import MINUTES, SIGN_OF_LIFE, Caller, Office
from sqlalchemy import delete, select

from ivr import actions, events
from ivr.scenario import Ring
from ivr.tables import agents, places, seats

# ---------------------------------------------------------------- the manager is lost


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, events.AgentAccepted],
    ids=lambda kind: kind.__name__,
)
@pytest.mark.parametrize("late", [0.0, 0.5])
async def test_a_manager_connection_that_is_cut_loses_nobody(office, when, late):
    async with office(p801=[Ring(talks=30.0)]) as one:
        cut: list[float] = []
        one.expected = {"a phone cannot be rung"}

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when) and not cut:
                cut.append(one.clock.now())
                one.clock.call_later(late, one.world.fake.ami.cut)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert cut
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


async def test_a_manager_cut_in_a_conversation_does_not_end_it(office):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(5.0, one.world.fake.ami.cut)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.record["talked"] == "30"
        await one.holds_nothing()


async def away(one: Office, seconds: float) -> None:
    """The manager is away for so long."""
    fake = one.world.fake
    assert fake._server is not None
    port = fake._server.sockets[0].getsockname()[1]
    fake._server.close()
    fake.ami.cut()
    await one.clock.sleep(seconds)
    await fake.listen("127.0.0.1", port)


async def test_a_phone_that_rings_on_as_the_manager_is_away_is_hung_up_and_only_then_rung(office):
    async with office(p801=[Ring(after=15.0, talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.RingAgent) and caller == "13800000001":
                one.clock.call_later(6.0, leaves)

        def leaves() -> None:
            one.world.service.spawn(away(one, 3.0))
            one.stages[0].channel.hang_up()

        one.on = happened
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert one.talks() == [("13800000002", "801")]
        assert one.longest_silence() <= SIGN_OF_LIFE
        one.troubled.clear()  # it could not be hung up at once
        await one.holds_nothing()


@pytest.mark.parametrize("then", [Ring(talks=30.0), Ring("no_answer")], ids=lambda r: r.does)
async def test_a_leg_whose_end_was_missed_is_not_kept_and_not_in_the_way(office, then):
    """Both callers are told right what became of the phone that was rung for them."""
    async with office(p801=[Ring("refuse", hears=0.2), then, Ring(talks=30.0)]) as one:
        reasons: list[tuple[str, str]] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, events.AgentFailed):
                reasons.append((caller, what.reason))
                if len(reasons) == 1:
                    one.world.service.spawn(away(one, 2.0))

        one.on = happened
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert reasons[0] == ("13800000001", "refused")
        assert {reason for _, reason in reasons[1:]} <= {"no_answer"}
        assert one.talks()
        await one.holds_nothing()


async def test_an_agent_who_hangs_up_while_the_manager_is_away_is_not_rung_for_ever(office):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(29.0, lambda: one.world.service.spawn(away(one, 3.0)))

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.record["talked"] == "30"
        await one.holds_nothing()


# ---------------------------------------------------------------- the lines are read again


async def test_an_agent_claimed_as_the_caller_left_and_the_line_went_is_free(office):
    async with office(p801=[Ring(talks=30.0)]) as one:
        matched = one.crew.switchboard._matched

        def leaves(found) -> None:
            if found.claims:
                one.crew.switchboard._places.clear()
                one.world.service.hotlines = replace(one.world.service.hotlines, lines={})
                one.stages[0].channel.hang_up()
            matched(found)

        one.crew.switchboard._matched = leaves
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        await one.holds_nothing()


async def test_a_phone_that_signs_in_before_the_database_knows_it_is_ready(office):
    async with office(p801=[]) as one:
        service, board = one.world.service, one.crew.switchboard
        with one.crew.store.write() as connection:
            connection.execute(delete(seats))
            connection.execute(delete(agents))
        asked, known = threading.Event(), one.crew.agents.set_ready

        def set_ready(*what) -> str:
            try:
                return known(*what)
            finally:
                asked.set()

        one.crew.agents.set_ready = set_ready
        board._do(lambda: asked.wait(10), lambda _: None)  # the database is slow
        board.sync(service.hotlines.lines)
        channel = one.world.fake.place_call("*81", path="agent", arguments=["ready"])
        channel.name = "PJSIP/801-00000001"
        await one.clock.run(lambda: channel.dead, limit=MINUTES)
        with one.crew.store.read() as connection:
            rows = connection.execute(select(agents.c.state).where(agents.c.phone == "801"))
            assert rows.scalar_one() == "ready"


# ---------------------------------------------------------------- the service is to stop


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, events.AgentAccepted],
    ids=lambda kind: kind.__name__,
)
async def test_a_service_that_drains_still_hears_the_agents_of_its_callers(office, when):
    async with office(p801=[Ring(talks=30.0)]) as one:
        draining: list[asyncio.Task[int]] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when) and not draining:
                draining.append(asyncio.create_task(one.world.service.drain(10 * MINUTES)))

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.talks() == [("13800000001", "801")]
        assert one.stages[0].outcome.record["talked"] == "30"
        assert await draining[0] == 0
        await one.holds_nothing()


async def test_an_agents_codes_work_while_the_service_drains(office):
    async with office(p801=[Ring(talks=60.0, keys=((5.0, "*1"), (20.0, "*2")))]) as one:
        draining: list[asyncio.Task[int]] = []
        asked: list[str] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge) and not draining:
                draining.append(asyncio.create_task(one.world.service.drain(10 * MINUTES)))
            elif isinstance(what, events.FeatureAsked):
                asked.append(what.feature)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert asked == ["hold", "back"]
        assert await draining[0] == 0
        await one.holds_nothing()


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, actions.Bridge],
    ids=lambda kind: kind.__name__,
)
async def test_a_service_that_ends_at_once_has_hung_up_its_phones_and_freed_its_agents(
    office, when
):
    """And its calls' ends are no errors of ours: none is logged."""
    async with office(p801=[Ring(after=10.0, talks=60.0)]) as one:
        moments: list[float] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when):
                moments.append(one.clock.now())

        one.on = happened
        one.call(Caller("13800000001"))
        await one.clock.run(lambda: bool(moments), limit=5 * MINUTES)
        await one.clock.run_for(1.0)
        closing = asyncio.create_task(one.world.service.close())
        await one.clock.run(closing.done, limit=10.0)
        assert all(call.dead for call in one.crew.phones["801"].calls)
        assert one.world.service._errands == set()
        await one.crew.switchboard.close()
        with one.crew.store.read() as connection:
            assert set(connection.execute(select(agents.c.call_id)).scalars()) == {None}
            assert connection.execute(select(places.c.call_id)).all() == []
