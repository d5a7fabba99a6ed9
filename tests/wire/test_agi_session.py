"""A session of AGI: one command at a time, and every end of a call is heard once."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest
import uvloop
from agi_peer import HANDSHAKE, call, some_bytes, tricky
from hypothesis import given, settings
from realtime import until

from ivr import agi
from ivr.clock import VirtualClock


async def test_a_session_begins_with_its_environment_and_arguments():
    async with call() as (session, _):
        assert session.environment["uniqueid"] == "1795287779.0"
        assert session.arguments == ("1001", "two words")
        assert session.peer == "127.0.0.1"
        assert (session.hung_up, session.busy, session.closed) == (False, False, False)


async def test_a_command_is_answered_by_its_reply():
    async with call() as (session, peer):
        peer.answers("200 result=1 (王女士)", "200 result=0 endpos=80")
        assert (await session.command("GET VARIABLE", "X")).data == "王女士"
        assert (await session.command("STREAM FILE", "a", "")).endpos == 80


def test_a_session_is_the_same_on_uvloop():
    async def work():
        async with call() as (session, peer):
            peer.answers("HANGUP\n200 result=0")
            assert (await session.command("NOOP")).result == 0
            assert session.hung_up

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


async def test_two_commands_at_once_are_a_bug_and_the_first_is_not_harmed():
    async with call() as (session, peer):
        first = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await asyncio.sleep(0)
        assert session.busy
        with pytest.raises(agi.Busy):
            await session.command("NOOP")
        assert await peer.reader.readline() == b'WAIT FOR DIGIT "2000"\n'
        peer.says("200 result=49")
        assert (await first).digit == "1"


async def test_a_command_that_nobody_waits_for_any_more_still_keeps_the_session_busy():
    async with call() as (session, peer):
        first = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(agi.Busy):
            await session.command("NOOP")
        peer.says("200 result=49")
        await until(lambda: not session.busy)
        peer.answers("200 result=6")
        assert (await session.command("CHANNEL STATUS")).result == 6


async def heard_hangup(session):
    heard = asyncio.Event()
    session.on_hangup = heard.set
    await heard.wait()


async def test_a_hangup_is_heard_while_nothing_runs_and_once():
    async with call() as (session, peer):
        times = []
        session.on_hangup = lambda: times.append(1)
        peer.says("HANGUP\nHANGUP")
        await until(lambda: session.hung_up)
        peer.goes()
        await session.wait_closed()
        assert times == [1]
        assert isinstance(session.gone, agi.HungUp)
        with pytest.raises(agi.HungUp):
            await session.command("NOOP")


async def test_the_reply_to_the_command_in_which_the_caller_left_still_arrives():
    async with call() as (session, peer):
        peer.answers("200 result=-1 (hangup) endpos=8000")
        reply = await session.command("RECORD FILE", "x", "wav", "#", 10000)
        assert reply.endpos == 8000
        assert session.hung_up
        with pytest.raises(agi.LeftInCommand):
            await session.command("NOOP")


async def test_511_is_a_hangup():
    async with call() as (session, peer):
        peer.answers("511 Command Not Permitted on a dead channel or intercept routine")
        with pytest.raises(agi.DeadChannel, match="STREAM FILE"):
            await session.command("STREAM FILE", "x", "")
        assert session.hung_up


async def test_minus_one_alone_is_no_hangup_and_asking_tells():
    async with call() as (session, peer):
        peer.answers("200 result=-1 endpos=0", "200 result=6")
        assert (await session.command("STREAM FILE", "missing", "")).result == -1
        assert not session.hung_up
        assert await session.alive()
    async with call() as (session, peer):
        peer.answers("511 Command Not Permitted on a dead channel or intercept routine")
        assert not await session.alive()
        assert not await session.alive()


async def test_the_end_of_the_stream_in_a_command_is_a_hangup():
    async with call() as (session, peer):
        waiting = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        peer.says("520-Invalid")
        peer.goes()
        with pytest.raises(agi.ConnectionLost):
            await waiting
        await session.wait_closed()
        assert session.hung_up
        assert session.closed


async def test_garbage_ends_the_session_and_says_nothing_of_what_it_was():
    async with call() as (session, peer):
        peer.answers("my PIN is 4711")
        with pytest.raises(agi.Garbled) as caught:
            await session.command("NOOP")
        assert "4711" not in str(caught.value)
        await session.wait_closed()
        assert session.hung_up


async def test_after_our_own_close_nothing_is_heard_and_nothing_can_be_said():
    async with call() as (session, peer):
        session.on_hangup = lambda: pytest.fail("our own close is no hang-up")
        session.close()
        peer.says("HANGUP")
        await session.wait_closed()
        assert not session.hung_up
        assert session.closed
        with pytest.raises(agi.Closed):
            await session.command("NOOP")


async def test_closing_frees_whoever_waits_for_a_reply():
    async with call() as (session, peer):
        waiting = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        session.close()
        with pytest.raises(agi.ConnectionLost):
            await waiting


async def test_dropping_the_connection_is_heard_as_a_hangup():
    async with call() as (session, _):
        hung_up = asyncio.create_task(heard_hangup(session))
        await asyncio.sleep(0)
        session.abort()
        await hung_up
        await session.wait_closed()


@pytest.mark.parametrize("greeting", [b"", b"agi_network: yes\n", b"agi_ne"])
async def test_a_peer_that_does_not_finish_its_handshake_is_dropped(greeting):
    clock = VirtualClock(datetime(2026, 11, 23, tzinfo=UTC))
    async with call(greeting, clock) as (session, peer):
        await clock.run(lambda: session.hung_up)
        assert clock.now() == 5.0
        assert await peer.reader.read() == b""
        assert "5 s" in str(session.gone)


async def test_a_handshake_in_time_stops_its_deadline():
    clock = VirtualClock(datetime(2026, 11, 23, tzinfo=UTC))
    async with call(clock=clock) as (session, _):
        await clock.run_for(60.0)
        assert not session.hung_up


async def test_a_bad_handshake_never_begins_a_session():
    async with call(b"agi_x: 1\nagi_x: 2\n") as (session, peer):
        assert await peer.reader.read() == b""
        await session.wait_closed()
        assert isinstance(session.gone, agi.Garbled)


@settings(deadline=None, max_examples=30)
@given(tricky | some_bytes)
def test_whatever_a_caller_is_called_arrives_and_leaves_as_one_command(name):
    async def work(name):
        raw = name.encode("utf-8", "surrogateescape")
        async with call(HANDSHAKE.replace(b"\xe7\x8e\x8b: \xff (x)", raw)) as (session, peer):
            assert session.environment["calleridname"] == name
            peer.answers("200 result=1")
            await session.command("SET VARIABLE", "NAME", session.environment["calleridname"])
            (line,) = peer.asked
        said = re.fullmatch(rb'SET VARIABLE "NAME" "((?:[^"\\]|\\.)*)"\n', line)
        assert said is not None
        assert re.sub(rb"\\(.)", rb"\1", said[1]) == raw

    asyncio.run(work(name))
