"""The doorbell and the manager: lost, late, for nothing, gone; what is heard stays right."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
from disturbed import CALLS, HOLD, SILENT, House, heard, house, read, starts

from ivr import events
from ivr.hotlines import Hotlines

pytestmark = pytest.mark.usefixtures("service_logs")

# ---------------------------------------------------------------- the doorbell


@pytest.mark.parametrize("name", CALLS)
async def test_a_doorbell_may_ring_at_any_moment_for_nothing(
    lines: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """A stale ring, or the caller's own key D: what is being said or waited for goes on. (A key
    pressed in the very millisecond is lost: Asterisk hears none between two commands.)"""
    async with house(lines, name) as world:
        undisturbed = world.call()
        for moment in (between + 0.01 for between in every_moment[name][:-1]):
            world.later(moment, partial(world.call().channel.doorbell, "D"))
        await world.end()
        for stage in world.stages.values():
            assert heard(stage) == heard(undisturbed)
            assert stage.channel.ended_by == undisturbed.channel.ended_by
            pauses = [(h.name, h.seconds) for h in stage.channel.ears.heard if h.kind == "silence"]
            expected = [
                (h.name, h.seconds) for h in undisturbed.channel.ears.heard if h.kind == "silence"
            ]
            assert [p for _, p in pauses] == pytest.approx([p for _, p in expected], abs=0.02)


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_doorbell_that_is_lost_is_rung_again(lines: Hotlines, lost: int) -> None:
    async with house(lines, HOLD) as world:
        rings = dict.fromkeys(world.fake.channels, 0)
        stage = world.call()
        ring = stage.channel.doorbell

        def deaf(key: str) -> None:
            rings["all"] = rings.get("all", 0) + 1
            if rings["all"] % (lost + 1) == 0:
                ring(key)

        stage.channel.doorbell = deaf  # type: ignore[method-assign]
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)
        signs = starts(stage, "hold.still_here")
        assert signs
        assert max(b - a for a, b in itertools.pairwise(signs)) <= 30.5


@pytest.mark.parametrize("late", [0.03, 0.09, 0.15, 0.5])
async def test_a_doorbell_that_comes_late_disturbs_nothing(lines: Hotlines, late: float) -> None:
    async with house(lines, HOLD) as world:
        stage = world.call()
        ring = stage.channel.doorbell
        stage.channel.doorbell = lambda key: world.later(late, partial(ring, key))  # type: ignore[method-assign,assignment]
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)


# ---------------------------------------------------------------- the manager


async def test_without_a_manager_a_hold_goes_by_keys_and_slices(lines: Hotlines) -> None:
    async with house(lines, HOLD, manager=False) as world:
        stage = world.call()
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)
        waits = [at for at, line in stage.channel.transcript if "WAIT FOR DIGIT" in line]
        assert len(waits) > 100


@pytest.mark.parametrize("name", CALLS)
async def test_a_manager_may_be_lost_for_good_at_any_moment(
    lines: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """Prompts, pauses and signs of life are right all the same."""
    spread = every_moment[name][:-1:4]
    for moment in spread:
        async with House(lines, read(name)) as world:
            undisturbed = list(world.one.hears)
            stage = world.call()

            def cut(world: House = world) -> None:
                assert world.fake._server is not None
                world.fake._server.close()
                world.fake.ami.cut()

            world.later(moment, cut)
            await world.end()
            assert heard(stage) == undisturbed
            assert not world.row(stage).problem
            signs = starts(stage, "hold.still_here")
            assert all(b - a <= 30.5 for a, b in itertools.pairwise(signs))


async def test_a_voice_heard_when_the_manager_was_lost_is_forgotten_and_the_next_one_heard(
    lines: Hotlines,
) -> None:
    """The word that it has stopped never comes: that must not last."""
    async with house(lines, SILENT) as world:
        stage = world.call(script=None)
        await world.clock.run_for(6.0)  # in the opening
        stage.channel.speak(1.0)
        await world.clock.run_for(0.5)
        world.fake.ami.cut()
        await world.clock.run_for(8.0)
        (driver,) = world.service.drivers.values()
        assert not driver.channel.hearing.talking
        assert world.service.bells == 2
        before = len(
            [e for e in world.journal.rows if isinstance(getattr(e, "what", 0), events.Voice)]
        )
        stage.channel.speak(1.0)
        await world.clock.run_for(1.5)
        after = len(
            [e for e in world.journal.rows if isinstance(getattr(e, "what", 0), events.Voice)]
        )
        assert after > before
        stage.channel.hang_up()
        await world.end()
