"""One call, one worker: new calls go to whoever listens, what belongs to a call to its worker."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from disturbed import SILENT, handshake, house, peer
from meeting import MINUTES, Caller, offices
from promised import HELLO, office, person, who_does
from test_watched import Seen, opened

from ivr import actions, control, events, listening
from ivr.clock import VirtualClock
from ivr.control import Control
from ivr.doors import doors
from ivr.driver import Driver
from ivr.hotlines import Hotlines
from ivr.journal import MemoryJournal
from ivr.scenario import Ring
from ivr.screen import watched
from ivr.server import Service
from ivr.store import Store
from ivr.wire_rehearsal import SOUNDS, World


@asynccontextmanager
async def another(world: World, *, beside: bool = False) -> AsyncIterator[list[Driver]]:
    """Another worker at the same address; gives the calls that it has had."""
    done: list[Driver] = []
    service = worker(world, done)
    await service.listen(*world.fake.agi, beside=beside)
    try:
        yield done
    finally:
        await service.close()


def worker(world: World, done: list[Driver]) -> Service:
    """One that does not listen yet."""
    return Service(
        clock=world.clock,
        hotlines=world.hotlines,
        journal=MemoryJournal(),
        desk=world,
        lookups=world.look_up,
        sounds=SOUNDS,
        spool=Path("/spool"),
        system="fake",
        on_over=done.append,
    )


async def test_the_next_worker_takes_new_calls_while_the_first_drains(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        first = world.call()
        await world.clock.run_for(8)
        draining = asyncio.create_task(world.service.drain(600))
        await world.clock.run_for(0.5)
        async with another(world) as taken:
            late = world.call()
            await world.clock.run(lambda: not world.fake.channels, limit=600)
            assert await draining == 0
            assert [one.row.uniqueid for one in taken] == [late.channel.uniqueid]
        for stage in (first, late):
            assert stage.channel.ears.prompts == list(world.one.hears)
            assert stage.channel.ended_by == "us"


async def test_a_service_that_takes_calls_shares_its_address_only_with_its_own_kind(
    lines: Hotlines,
) -> None:
    async with house(lines, SILENT) as world:
        host, port = world.fake.agi
        with pytest.raises(OSError, match=rf"^{host}:{port} is in use: "):
            world.service.bind(host, port)
        async with another(world, beside=True) as taken:
            for _ in range(8):
                world.call()
            await world.clock.run(lambda: not world.fake.channels, limit=600)
            assert len(taken) + len(world.journal.calls()) == 8


async def test_the_address_of_a_service_that_does_not_listen_yet_is_in_use(
    lines: Hotlines,
) -> None:
    async with house(lines, SILENT) as world:
        first, second = worker(world, []), worker(world, [])
        with closing(listening.own("127.0.0.1")) as free:
            host, port = free.getsockname()
        first.bind(host, port)
        for _ in range(2):
            with pytest.raises(OSError, match=rf"^{host}:{port} is in use: "):
                second.bind(host, port)
        assert await first.listen(host, port) == port
        with pytest.raises(OSError, match=rf"^{host}:{port} is in use: "):
            second.bind(host, port)
        await first.close()
        second.bind(host, port)
        await second.close()
        first = worker(world, [])
        first.bind(host, port)
        await first.close()


async def test_no_call_comes_in_where_only_later_sessions_do(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        host, _, port = world.service.own.rpartition(":")
        world.fake.agi = (host, int(port))
        asks = await peer(world, handshake("call"))
        assert await asks.gone() == b""
        assert world.journal.calls() == {}


async def test_who_was_let_in_as_the_worker_was_told_to_stop_is_served(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        world.service.on_over = None
        hello = handshake("call")
        rings = await peer(world, hello[:20])
        await world.clock.settle()
        draining = asyncio.create_task(world.service.drain(600))
        await asyncio.sleep(0)
        rings.writer.write(hello[20:])
        async with asyncio.timeout(5):
            assert await rings.reader.readline() == b'EXEC "Ringing"\n'
        rings.writer.close()
        await rings.writer.wait_closed()
        await world.clock.run(draining.done, limit=600)
        assert draining.result() == 0


async def test_notes_and_codes_of_a_call_go_to_its_worker_while_the_next_takes_calls(
    lines: Hotlines,
) -> None:
    talks = Ring(talks=60.0, keys=((5.0, "*1"), (20.0, "*2")))
    async with offices(lines)(p801=[talks]) as one:
        asked: list[str] = []
        begun: list[asyncio.Task[int]] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.JoinLine) and not begun:
                begun.append(asyncio.create_task(one.world.service.drain(10 * MINUTES)))
            elif isinstance(what, events.FeatureAsked):
                asked.append(what.feature)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.clock.run(lambda: bool(begun), limit=MINUTES)
        await one.clock.run_for(0.3)
        async with another(one.world) as taken:
            await one.until_all_is_over(1)
            assert taken == []
        assert one.talks() == [("13800000001", "801")]
        assert asked == ["hold", "back"]
        assert await begun[0] == 0
        assert one.leg("801").variables["SANSHENG_AGI"] == one.world.service.own
        await one.holds_nothing()


@pytest.mark.parametrize("when", ["the agent is rung", "the person is rung"])
async def test_a_call_back_that_has_begun_is_made_by_a_worker_that_drains_and_no_other(
    lines: Hotlines, store: Store, monday: VirtualClock, when: str
) -> None:
    agent, called = who_does("accept", after=6.0), person(HELLO, after=6.0)
    async with office(lines, store, monday, agent=agent, called=called) as one:
        one.leave()
        phone = agent if when == "the agent is rung" else called
        await monday.run(lambda: bool(phone.calls), limit=600)
        draining = asyncio.create_task(one.service.drain(600))
        await one.until("kept", limit=600)
        await monday.run(draining.done, limit=600)
        assert draining.result() == 0
        one.leave(2)
        await one.quiet(300)
        assert len(called.calls) == 1


async def test_workers_side_by_side_give_one_answer(lines: Hotlines) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at, seen = Path(folder) / "control.sock", Seen()
        async with house(lines, SILENT) as one, house(lines, SILENT) as two:
            first = await opened(one, at)
            async with watched(at, seen.show) as there:
                assert there
                second = await opened(two, at)
                one.call()
                two.call()
                for world in (one, two):
                    await world.clock.run_for(8)

                async def ask(**what: object) -> object:
                    (answer,) = [row async for row in control.ask(at, what)]
                    return answer

                rows = await ask(ask="live")
                assert isinstance(rows, list)
                assert len(rows) == 2
                assert await ask(ask="maintenance", on=True, lines=["ems"]) == {
                    "maintenance": ["ems"]
                }
                assert one.service.maintenance == two.service.maintenance == {"ems"}
                assert await ask(ask="hangup", call=rows[0]["call"]) == {"ended": 2}  # of one name
                await first.close()  # who is left is still found
                assert len(await ask(ask="live") or ()) == 1
                while not second.watchers:  # noqa: ASYNC110  # nobody tells who watches
                    await asyncio.sleep(0.01)
                third = await opened(one, at)
                assert isinstance(third, Control)
                for world in (one, two):
                    await world.end()
                await seen.prompt("closing.goodbye")
                await third.close()
                await second.close()
            with pytest.raises(control.NoService):
                await ask(ask="live")


async def test_maintenance_that_began_or_ended_while_the_next_worker_loaded_is_not_lost(
    lines: Hotlines,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "control.sock"
        async with house(lines, SILENT) as one, house(lines, SILENT) as two:
            two.service.maintenance = {"xjca"}  # as the first said when the second began
            first = Control(one.service, at, "ours")
            await first.listen()
            one.service.maintenance = {"ems"}
            second = Control(two.service, at, "ours")
            await second.listen()
            assert two.service.maintenance == {"ems"}
            await first.close()
            again = Control(one.service, at, "another's")
            await again.listen()
            assert one.service.maintenance == {"ems"}
            two.service.maintenance = set()
            await again.close()
            again = Control(one.service, at, "another's")
            await again.listen()
            assert one.service.maintenance == {"ems"}, "that of another service is its own"
            await again.close()
            await second.close()


async def test_maintenance_that_all_are_told_as_the_next_worker_opens_its_door_is_the_last_word(
    lines: Hotlines,
) -> None:
    """The first has answered `about` already, and its answer is on its way."""
    with tempfile.TemporaryDirectory() as folder:
        first, second, *_ = doors(Path(folder) / "control.sock")
        asked, go = asyncio.Event(), asyncio.Event()

        async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            asked.set()
            await go.wait()
            writer.write(b'{"serves": "ours", "draining": false, "maintenance": ["ems"]}\n')
            writer.close()

        async with house(lines, SILENT) as world, await asyncio.start_unix_server(answers, first):
            door = Control(world.service, first, "ours")
            opening = asyncio.create_task(door.listen())
            await asked.wait()
            end = {"ask": "maintenance", "on": False, "lines": ["ems"]}
            told = asyncio.create_task(control.answers(second, end))
            (about,) = await control.answers(second, {"ask": "about"}) or ()
            assert about["maintenance"] == []  # it is asked itself meanwhile
            go.set()
            await opening
            assert await told == [{"maintenance": []}]
            assert world.service.maintenance == set()
            await door.close()
