"""When we are what fails (storage, an error of ours, a stop), nothing is promised that is not kept,
and the caller is not left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace

import pytest
from disturbed import HOLD, MESSAGE, SILENT, House, heard, house, peer, read, starts

from ivr import actions, driver, events
from ivr.clock import Clock
from ivr.errands import SURVEY
from ivr.hotlines import Hotlines
from ivr.house import Nobody
from ivr.store import StorageFailed

pytestmark = pytest.mark.usefixtures("service_logs")

PERSON = "xjca-person-in-working-hours"

# ---------------------------------------------------------------- storage


async def test_storage_that_fails_means_that_nothing_is_promised(lines: Hotlines) -> None:
    async with house(lines, MESSAGE) as world:
        world.journal.fails = True
        stage = world.call()
        await world.end()
        assert "message.lost" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith("message.kept")]
        assert stage.kept == []


async def test_an_error_of_ours_while_keeping_means_that_nothing_is_promised(
    lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(lines, MESSAGE) as world:

        async def broken(*_: object) -> str:
            raise ZeroDivisionError("a bug of ours")

        world.keep = broken  # type: ignore[method-assign,assignment]
        stage = world.call()
        await world.end()
        assert "message.lost" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith("message.kept")]


async def test_a_journal_that_takes_nothing_leaves_the_call_to_the_dialplan(
    lines: Hotlines,
) -> None:
    async with house(lines, SILENT) as world:
        append = world.journal.append
        world.journal.append = full  # type: ignore[method-assign,assignment]
        refused = world.call()
        world.later(1, lambda: setattr(world.journal, "append", append))
        await world.clock.run_for(2)
        admitted = world.call()
        world.later(9, lambda: setattr(world.journal, "append", full))
        with contextlib.suppress(KeyError):
            await world.end()
        assert refused.channel.ended_by == "dialplan"
        assert admitted.channel.ended_by == "dialplan"


def full(row: object) -> None:
    raise StorageFailed("100000 rows wait for the disk already")


class Mute(Nobody):
    """People of whom nobody can say in time who is there."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def survey(self, call: object, line: object, wish: actions.Survey) -> events.Surveyed:
        await self.clock.sleep(60.0)
        return events.Surveyed(wish.id, staffed=True)


async def test_a_database_that_says_nothing_of_our_people_means_that_nobody_is_there(
    lines: Hotlines,
) -> None:
    async with house(lines, PERSON) as world:
        stage = world.call()
        await world.end()
        at_once = heard(stage)
        first = stage.channel.ears.heard
    async with house(lines, PERSON) as world:
        world.service.people = Mute(world.clock)
        stage = world.call()
        await world.end()
        assert heard(stage) == at_once
    longer = stage.channel.ears.heard[-1].at - first[-1].at
    assert longer == pytest.approx(SURVEY, abs=0.2)


# ---------------------------------------------------------------- errors of ours


async def test_an_error_of_ours_hands_the_caller_to_the_dialplan_at_once(
    lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = driver.step

    def breaks(line: object, call: object, event: events.Event) -> object:
        if isinstance(event, events.Said):
            raise ZeroDivisionError("a bug of ours")
        return step(line, call, event)  # type: ignore[arg-type]

    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(6)
        monkeypatch.setattr(driver, "step", breaks)
        began = starts(stage, "opening")[0]
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        (over,) = [h.at for h in stage.channel.ears.heard if h.kind == "fallback"]
        length = lines.library.seconds("xjca", "opening")
        assert over - began == pytest.approx(length, abs=0.1)
        row = world.row(stage)
        assert (row.ended_by, row.problem) == ("us", "an error of ours: ZeroDivisionError")


async def test_who_watches_cannot_break_a_call(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:

        def breaks(*_: object) -> None:
            raise KeyError("a prompt nobody has heard of")

        world.service.on_entry = breaks
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"


@pytest.mark.parametrize("how", ["never", "raises"])
async def test_a_back_end_that_never_answers_or_breaks_is_told_to_the_caller(
    lines: Hotlines, how: str
) -> None:
    async with house(lines, HOLD) as world:

        async def look_up(*_: object) -> events.Event:
            if how == "raises":
                raise ZeroDivisionError("a bug in a plug-in")
            await world.clock.sleep(100_000)
            raise AssertionError

        world.service.lookups = look_up  # type: ignore[assignment]
        stage = world.call()
        await world.end()
        assert "item.in_transit" not in heard(stage)
        assert stage.channel.ended_by == "us"
        signs = [*starts(stage, "hold.still_here")]
        assert all(b - a <= 30.0 + 0.001 for a, b in itertools.pairwise(signs))
        world.rows()


async def test_a_timer_that_fires_as_it_is_cancelled_breaks_nothing(lines: Hotlines) -> None:
    """The lookup ends at the very instant at which a sign of life is due."""
    one = read(HOLD)
    assert one.world.lookup is not None
    for after in (30.0, 60.0, 90.0):
        async with House(lines, one) as world:
            world.one = replace(
                one, world=replace(one.world, lookup=replace(one.world.lookup, after=after))
            )
            stage = world.call()
            await world.end()
            world.nothing_left()
            assert not world.row(stage).problem


# ---------------------------------------------------------------- the end of the service


async def test_draining_lets_calls_end_and_takes_no_new_ones(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        draining = asyncio.create_task(world.service.drain(600))
        await world.clock.run_for(0.5)
        late = world.call()
        await world.end()
        assert await draining == 0
        assert stage.channel.ended_by == "us"
        assert late.channel.ended_by == "dialplan"
        with pytest.raises(ConnectionRefusedError):
            await peer(world, b"")  # the port is free for the next service


async def test_a_drain_that_takes_too_long_ends_calls_and_their_records_say_so(
    lines: Hotlines,
) -> None:
    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        draining = asyncio.create_task(world.service.drain(3))
        await world.clock.run(draining.done)
        assert draining.result() == 1
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        row = world.row(stage)
        assert (row.ended_by, row.problem) == ("us", "the service was stopped")


async def test_a_call_keeps_its_words_through_a_reload(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        empty = replace(lines, lines={}, numbers={}, library=None)  # type: ignore[arg-type]
        world.service.reload(empty, world.service.lookups)
        late = world.call()
        await world.end()
        assert heard(stage) == list(world.one.hears)
        assert stage.channel.ended_by == "us"
        assert late.channel.ended_by == "dialplan"
