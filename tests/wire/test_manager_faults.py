"""What goes wrong with a manager connection frees whoever waits, and it comes back."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
from manager_line import SECRET, START, Asterisk, line
from realtime import until

from ivr.clock import SystemClock, VirtualClock
from ivr.manager import Manager, ManagerDown


async def test_a_late_reply_ends_the_connection_and_a_new_one_is_made():
    clock = VirtualClock(START)
    async with line(clock=clock) as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup", {"Channel": "x"}))
        behind = asyncio.create_task(manager.action("Ping"))
        await until(lambda: peer.actions() == ["Login", "Hangup"])
        assert manager.pending == 2
        await clock.run(asked.done)
        assert clock.now() == 5.0
        for task in (asked, behind):
            with pytest.raises(ManagerDown, match="no reply in 5 s"):
                await task
        assert not manager.connected
        assert manager.pending == 0
        clock.holds.append(lambda: manager.pending == 0)
        await clock.run(lambda: manager.connected)
        assert clock.now() == 5.5
        await manager.action("Ping")
        assert (peer.visits, manager.connections) == (2, 2)


async def test_when_the_peer_dies_those_who_wait_are_told_and_we_come_back():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup"))
        await until(lambda: peer.actions()[-1] == "Hangup")
        peer.hang_up()
        with pytest.raises(ManagerDown):
            await asked
        with pytest.raises(ManagerDown):
            await manager.action("Ping")
        await until(lambda: manager.connected)
        await manager.action("Ping")


async def test_coming_back_waits_longer_each_time():
    clock = VirtualClock(START)
    async with line(clock=clock) as (manager, peer):
        clock.holds.append(lambda: manager.pending == 0)
        await peer.close()
        await until(lambda: not manager.connected)
        await clock.run_for(0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 29)
        await peer.listen(peer.port)
        await clock.run(lambda: manager.connected)
        assert clock.now() == 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30
        assert peer.visits == 2


async def test_a_refused_login_says_why_and_tries_again_later():
    clock = VirtualClock(START)
    async with line("wrong", clock=clock) as (manager, peer):
        clock.holds.append(lambda: manager.pending == 0)
        assert not manager.connected
        assert manager.problem == "Authentication failed"
        with pytest.raises(ManagerDown, match="Authentication failed"):
            await manager.action("Ping")
        await clock.run(lambda: peer.visits == 2)


async def test_no_manager_at_all_is_a_problem_and_no_exception():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        manager = Manager(
            *taken.getsockname(), "u", SECRET, clock=SystemClock(), on_event=print
        )  # fmt: skip
        await manager.start()
        assert "refused" in manager.problem
        await manager.stop()
        await manager.stop()


@pytest.mark.parametrize("greeting", [b"220 mail ESMTP\r\n", b"x" * 70_000])
async def test_a_peer_that_is_no_manager_is_left_alone(greeting):
    peer = Asterisk()
    peer.greeting = greeting
    async with line(asterisk=peer) as (manager, _):
        assert not manager.connected
        assert peer.sent == []


async def test_a_peer_that_never_greets_is_given_up_after_five_seconds():
    clock = VirtualClock(START)
    peer = Asterisk()
    peer.greeting = b""
    clock.holds.append(lambda: peer.visits == 1)
    tried = []
    running = asyncio.create_task(clock.run(lambda: bool(tried)))
    async with line(clock=clock, asterisk=peer) as (manager, _):
        tried.append(manager.problem)
        assert tried == ["no reply in 5 s"]
        assert clock.now() >= 5.0
        await running


async def test_a_ping_goes_out_every_ten_seconds_and_finds_a_dead_peer():
    clock = VirtualClock(START)
    async with line(clock=clock, ping_every=10.0) as (manager, peer):
        busy = lambda: manager.pending == 0  # noqa: E731
        clock.holds.append(busy)
        await clock.run_for(35.0)
        assert peer.actions() == ["Login", "Ping", "Ping", "Ping"]
        clock.holds.remove(busy)
        peer.answers["Ping"] = None
        await clock.run(lambda: not manager.connected)
        assert clock.now() == 45.0


async def test_stopping_frees_whoever_waits():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup"))
        await until(lambda: peer.actions()[-1] == "Hangup")
        await manager.stop()
        with pytest.raises(ManagerDown, match="stopped"):
            await asked


@pytest.mark.parametrize("silent", [False, True])
async def test_stopping_at_any_moment_leaves_nothing_behind(silent):
    """A socket that is left is a warning, and a warning is an error here."""
    peer = Asterisk()
    peer.greeting = b"" if silent else peer.greeting
    await peer.listen()
    clock = SystemClock()
    before = threading.active_count()
    for turns in range(40):
        manager = Manager("127.0.0.1", peer.port, "u", SECRET, clock=clock, on_event=print)
        starting = asyncio.create_task(manager.start())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        await manager.stop()
        await starting
        assert not manager.connected
    await peer.close()
    clock.close()
    assert threading.active_count() <= before


@contextmanager
def nobody_answers():
    """An address where connecting takes for ever: the queue of its listener is full."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        yield full.getsockname()


async def test_connecting_to_where_nobody_answers_is_given_up_after_five_seconds():
    clock = VirtualClock(START)
    with nobody_answers() as where:
        manager = Manager(*where, "u", SECRET, clock=clock, on_event=print)
        starting = asyncio.create_task(manager.start())
        await clock.settle()
        clock.advance()
        await starting
        assert (clock.now(), manager.problem) == (5.0, "nobody answers there")
        await manager.stop()
    clock.close()


@pytest.mark.parametrize("turns", range(8))
async def test_stopping_just_when_an_attempt_is_given_up_leaves_no_socket(turns):
    clock = VirtualClock(START)
    manager = Manager("", 1, "u", SECRET, clock=clock, on_event=print)
    with nobody_answers() as where, socket.socket() as sock:
        dialling = asyncio.create_task(manager._dial_one(sock, where))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance()
        for _ in range(turns):
            await asyncio.sleep(0)
        dialling.cancel()
        await asyncio.wait([dialling])
        assert sock.fileno() == -1
    clock.close()
