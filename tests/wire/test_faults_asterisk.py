"""Whatever the caller, Asterisk and the network between us do, the caller is not left alone and
nothing of the call stays behind. Every call is gone through with the same fault at every moment.
"""

from __future__ import annotations

from functools import partial

import pytest
from disturbed import CALLS, HOLD, MESSAGE, SILENT, heard, house
from realtime import until

from ivr import actions, channel, events, fake_vocabulary, store
from ivr.fake_channel import Channel
from ivr.hotlines import Hotlines
from ivr.messages import Kept
from ivr.wire_rehearsal import SOUNDS

pytestmark = pytest.mark.usefixtures("service_logs")

# ---------------------------------------------------------------- the caller


@pytest.mark.parametrize("name", CALLS)
async def test_a_caller_may_hang_up_at_any_moment(
    lines: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    async with house(lines, name) as world:
        for moment in every_moment[name][:-1]:
            stage = world.call()
            world.later(moment, stage.channel.hang_up)
        await world.end()
        rows = world.rows()
        assert len(rows) == len(world.stages)
        assert {row.problem for row in rows} == {""}
        gone = [stage for stage in world.stages.values() if stage.channel.ended_by == "caller"]
        assert len(gone) > len(rows) * 0.8
        assert all(world.row(stage).ended_by in ("caller", "us") for stage in gone)


async def test_who_hangs_up_while_the_message_is_being_kept_has_left_it(lines: Hotlines) -> None:
    async with house(lines, MESSAGE) as world:
        stage = world.call()
        keep = world.keep

        async def slow(call: store.Call, line: object, wish: actions.Keep) -> Kept:
            stage.channel.hang_up()
            told = world.journal.entries
            await until(lambda: any(isinstance(one.what, events.HungUp) for one in told(call.id)))
            return await keep(call, line, wish)  # type: ignore[arg-type]

        world.keep = slow  # type: ignore[method-assign]
        await world.end()
        assert [wish.kind for wish in stage.kept] == ["suggestion"]
        assert world.row(stage).ended_by == "caller"


# ---------------------------------------------------------------- Asterisk and the network


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_may_break_at_any_moment(
    lines: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    def cut(placed: Channel) -> None:
        if placed.session is not None:
            placed.session.abort()

    async with house(lines, name) as world:
        for moment in every_moment[name][:-1]:
            world.later(moment, partial(cut, world.call().channel))
        await world.end()
        world.rows()


@pytest.mark.parametrize("name", CALLS)
async def test_a_channel_may_be_dead_before_anybody_says_so(
    lines: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """From then on every command of a living call is answered with 511."""

    def die(placed: Channel) -> None:
        placed.dead = True

    async with house(lines, name) as world:
        for moment in every_moment[name][:-1]:
            world.later(moment, partial(die, world.call().channel))
        await world.end()
        world.rows()


async def test_an_asterisk_that_says_nothing_more_is_given_up(lines: Hotlines) -> None:
    """Its machine lost power: no reply, no hang-up, no end of the connection."""
    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)  # in the opening
        session = stage.channel.session
        assert session is not None
        assert session.running is not None
        session.running.stop()
        session.running.listens = False
        stage.channel.absolute(0)
        began = world.clock.now()
        await world.end()
        assert world.clock.now() - began < 8 + channel.GRACE + channel.HALF_OPEN + 2
        assert world.row(stage).ended_by == "us"
        assert "dialplan took the call back" in world.row(stage).problem


async def test_a_call_that_the_dialplan_takes_back_is_not_said_to_be_ended_by_the_caller(
    lines: Hotlines,
) -> None:
    async with house(lines, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        # as if we had been frozen since: the command is over, and we never heard of it
        session = stage.channel.session
        assert session is not None
        assert session.running is not None
        session.running.stop()
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        row = world.row(stage)
        assert (row.ended_by, row.record["ended_by"]) == ("us", "us")
        assert row.problem == "we were too late, and the dialplan took the call back"


async def test_a_missing_sound_is_replaced_by_an_apology_and_the_call_goes_on(
    lines: Hotlines,
) -> None:
    async with house(lines, HOLD) as world:
        undisturbed = world.call()
        await world.end()
    for gone in ("opening", "hold.ask", "closing.goodbye"):
        async with house(lines, HOLD) as world:
            path = world.hotlines.library.recorded("ems", gone)[0]
            world._lengths.pop(str(SOUNDS / f"{path}"))
            stage = world.call()
            await world.end()
            at = heard(undisturbed).index(gone)
            assert heard(stage)[: at + 1] == [*heard(undisturbed)[:at], "sorry.trouble"]
            assert [e for e in world.entries(stage) if isinstance(e.what, events.Unplayable)]
            assert not world.row(stage).problem


async def test_with_the_apology_missing_too_the_call_still_goes_on(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        for gone in ("opening", "sorry.trouble"):
            world._lengths.pop(str(SOUNDS / f"{lines.library.recorded('xjca', gone)[0]}"))
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"


async def test_a_recording_that_cannot_be_written_is_not_taken_for_a_hangup(
    lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RECORD FILE then says `200 result=-1 (writefile)`: the disk is full, the folder is gone."""
    monkeypatch.setitem(
        fake_vocabulary.COMMANDS, "RECORD FILE", lambda session, words: "200 result=-1 (writefile)"
    )
    async with house(lines, MESSAGE) as world:
        stage = world.call()
        await world.end()
        assert "closing.anything_else" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith(("message.kept", "suggestion.kept"))]
        assert stage.kept == []
