"""Both clocks: what they promise about order, waiting, idleness and being stuck."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ivr.clock import Clock, Stuck, SystemClock, VirtualClock

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@pytest.fixture
def clock():
    clock = VirtualClock(START)
    yield clock
    clock.close()


async def test_virtual_time_stands_still_until_it_is_moved(clock):
    clock.call_later(1.0, lambda: None)
    await asyncio.sleep(0)
    assert clock.now() == 0.0
    assert clock.utc() == START


async def test_timers_due_at_the_same_instant_run_in_the_order_set(clock):
    ran = []
    clock.call_later(0.3, lambda: ran.append("first"))
    clock.call_later(0.1, lambda: clock.call_later(0.2, lambda: ran.append("second")))
    await clock.run(lambda: len(ran) == 2)
    assert ran == ["first", "second"]
    assert clock.now() == 0.3


async def test_a_timer_set_for_now_by_a_timer_waits_until_the_loop_has_had_its_turn(clock):
    ran = []

    def first() -> None:
        asyncio.get_running_loop().call_soon(ran.append, "loop")
        clock.call_later(0, lambda: ran.append("timer"))

    clock.call_later(1.0, first)
    await clock.run(lambda: len(ran) == 2)
    assert ran == ["loop", "timer"]
    assert clock.now() == 1.0


async def test_a_cancelled_timer_never_runs_and_time_does_not_stop_there(clock):
    ran = []
    clock.call_later(1.0, lambda: ran.append(1)).cancel()
    clock.call_later(2.0, lambda: ran.append(2))
    await clock.run(lambda: bool(ran))
    assert ran == [2]
    assert clock.jumps == 1


async def test_a_sleeper_wakes_at_its_time_and_ten_minutes_pass_at_once(clock):
    async def sleeper() -> float:
        await clock.sleep(600.0)
        return clock.now()

    task = asyncio.create_task(sleeper())
    await clock.run(task.done)
    assert task.result() == 600.0
    assert clock.utc() == START + timedelta(minutes=10)


async def test_a_cancelled_sleeper_leaves_no_timer_behind(clock):
    task = asyncio.create_task(clock.sleep(5.0))
    await clock.settle()
    task.cancel()
    await clock.settle()
    assert task.cancelled()
    assert not clock.advance()


async def test_time_does_not_move_while_somebody_is_busy(clock):
    release = asyncio.Event()
    seen = []

    async def worker() -> None:
        with clock.busy("worker"):
            for _ in range(20):
                await asyncio.sleep(0)
            seen.append(clock.now())
        release.set()

    clock.call_later(1.0, lambda: seen.append(clock.now()))
    task = asyncio.create_task(worker())
    await clock.run(lambda: len(seen) == 2)
    await task
    assert seen == [0.0, 1.0]


async def test_time_stands_still_while_a_job_runs_in_the_executor(clock):
    ticks = []
    clock.call_later(0.001, lambda: ticks.append(clock.now()))
    gate = threading.Event()
    asyncio.get_running_loop().call_later(0.02, gate.set)
    task = asyncio.create_task(clock.in_executor(gate.wait, 5.0))
    await clock.run(task.done)
    assert task.result() is True
    assert ticks == []
    await clock.run(lambda: bool(ticks))


async def test_what_a_job_in_the_executor_raises_comes_back(clock):
    task = asyncio.create_task(clock.in_executor(int, "x"))
    await clock.run(task.done)
    assert isinstance(task.exception(), ValueError)
    assert clock.idle()


async def test_a_hold_keeps_time_from_moving(clock):
    open_ = []
    clock.holds.append(lambda: bool(open_))
    ran = []
    clock.call_later(1.0, lambda: ran.append(bool(open_)))
    asyncio.get_running_loop().call_later(0.01, open_.append, 1)
    await clock.run(lambda: bool(ran))
    assert ran == [True]


async def test_parked_sessions_are_counted(clock):
    with clock.parked("a"), clock.parked("a"), clock.parked("b"):
        assert clock.sessions_parked() == 3
    assert clock.sessions_parked() == 0


async def test_a_run_in_which_nothing_can_happen_says_who_waits(clock):
    clock.witnesses.append(lambda: "channel 1 waits for the service")
    with clock.parked("driver"), pytest.raises(Stuck) as stuck:
        await clock.run(lambda: False)
    assert "nothing can happen any more" in str(stuck.value)
    assert "parked: driver (1)" in str(stuck.value)
    assert "channel 1 waits for the service" in str(stuck.value)


async def test_a_run_that_makes_no_progress_in_real_time_is_ended():
    clock = VirtualClock(START, patience=0.05)

    def never() -> bool:
        return False

    clock.holds.append(never)
    with pytest.raises(Stuck, match=r"no progress in 0.05 s.*held by .*never"):
        await clock.run(lambda: False)


async def test_a_run_that_goes_round_in_circles_is_ended(clock):
    def again() -> None:
        clock.call_later(10.0, again)

    again()
    with pytest.raises(Stuck, match="60 s have gone by"):
        await clock.run(lambda: False, limit=60.0)
    assert clock.now() == 70.0


async def test_what_a_timer_raises_comes_out_of_the_run(clock):
    clock.call_later(1.0, lambda: [].pop())
    with pytest.raises(IndexError):
        await clock.run(lambda: False)


async def test_a_waiter_behind_tasks_and_waits_runs_before_time_moves_again(clock):
    """The longest way asyncio goes from a future to the one who waits for it."""
    woken = []

    async def waiter() -> None:
        task = asyncio.ensure_future(clock.sleep(1.0))
        await asyncio.wait([task])
        woken.append(clock.now())

    clock.call_later(1.000001, lambda: woken.append("late"))
    task = asyncio.create_task(waiter())
    await clock.run(lambda: len(woken) == 2)
    await task
    assert woken == [1.0, "late"]


async def test_run_for_moves_time_by_exactly_that_much(clock):
    clock.call_later(10.0, lambda: None)
    await clock.run_for(2.5)
    assert clock.now() == 2.5


def test_the_start_of_a_virtual_clock_needs_a_time_zone():
    with pytest.raises(ValueError, match="time zone"):
        VirtualClock(datetime(2026, 11, 23, 10, 0))  # noqa: DTZ001
    local = datetime(2026, 11, 23, 10, 0, tzinfo=timezone(timedelta(hours=8)))
    assert VirtualClock(local).utc() == START


async def test_the_system_clock_runs_timers_sleeps_and_works_in_threads():
    clock = SystemClock()
    both: list[Clock] = [clock, VirtualClock(START)]
    assert both
    before = clock.now()
    fired = asyncio.Event()
    clock.call_later(0.0, fired.set)
    clock.call_later(0.0, lambda: pytest.fail("cancelled")).cancel()
    await fired.wait()
    await clock.sleep(-1)
    assert await clock.in_executor(threading.get_ident) != threading.get_ident()
    with clock.busy(), clock.parked():
        assert clock.now() >= before
    assert clock.utc().tzinfo is UTC
    clock.close()


async def test_a_thread_that_has_something_to_say_ends_the_wait_for_it(clock, monkeypatch):
    monkeypatch.setattr("ivr.clock.NAP", 3600.0)  # it does not look again by itself
    said = []
    clock.holds.append(lambda: bool(said))
    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=clock.from_thread, args=(loop, said.append, "done"))
    loop.call_later(0.01, thread.start)
    await clock.settle()
    assert said == ["done"]
    thread.join()


async def test_both_clocks_bring_what_a_thread_says_to_the_loop(clock):
    loop = asyncio.get_running_loop()
    for one in (clock, SystemClock()):
        heard = loop.create_future()
        await asyncio.to_thread(one.from_thread, loop, heard.set_result, "done")
        assert await heard == "done"
