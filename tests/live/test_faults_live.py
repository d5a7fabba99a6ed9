"""The service dies, freezes or is away around real calls, judged by what the callers hear
(docs/faults.md is the table).

Calls that do not disturb each other share a stage and a fault: when the service is killed, one
caller is in a prompt, one in a pause, one on hold and one leaving a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from faulted import (
    APOLOGY,
    HOLD,
    LATER,
    PAUSE,
    PROMPT,
    QUIET,
    RINGS,
    SPEAKS,
    apology,
    hear,
    messages,
    names,
)
from harness import Stage
from moments import at
from watching import Watch

from ivr.lengths import BEEP
from ivr.phone import Phone
from ivr.phone_call import PhoneCall

pytestmark = pytest.mark.live

FROZEN = 10.0
"""Seconds after the end of what was playing, within which the caller of a frozen one does."""
SLICE = 10.0
"""Seconds after which Asterisk looks up from recording, at the latest."""


@asynccontextmanager
async def deaf_back_end(port: int) -> AsyncIterator[None]:
    """One that takes a question and never answers it."""
    open_ended = asyncio.Event()

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await open_ended.wait()
        writer.close()

    server = await asyncio.start_server(asked, "127.0.0.1", port)
    try:
        yield
    finally:
        open_ended.set()
        server.close()


def to_the_beep(line: Stage, hotline: str) -> float:
    """Seconds from the beginning of the fallback to the end of its beep."""
    said = ("maintenance.line", "maintenance.leave_message")
    return 0.2 + sum(line.hotlines.library.seconds(hotline, one) for one in said) + BEEP


async def leave(line: Stage, hotline: str, call: PhoneCall, began: float, speak: float) -> None:
    """Leave a message in a fallback that began then; `#` ends it."""
    await at(began + to_the_beep(line, hotline) + 0.4)
    await call.speak(speak).done()
    call.press("#")


async def states(line: Stage) -> dict[str, str]:
    """What each call waits for, by the last digits of the caller."""
    return {row["caller"][-4:]: row["waits_for"] for row in await line.ask(ask="live")}


def nothing_told(line: Stage, callers: list[str]) -> None:
    """The manager's password stands where Asterisk reads it and nowhere else; our log knows no
    caller's whole number."""
    secret = line.switch.secret.encode()
    files = [path for path in line.directory.rglob("*") if path.is_file()]
    holding = {path.name for path in files if secret in path.read_bytes()}
    assert holding <= {"manager.conf", "secret"}
    assert [caller for caller in callers if caller in line.said()] == []


@asynccontextmanager
async def in_the_middle(
    line: Stage, phone: Phone, port: int, recorded: float, *, ringing: bool = False
) -> AsyncIterator[dict[str, PhoneCall]]:
    """Calls in the middle of everything; the one who speaks has been recorded for so long."""
    calls: dict[str, PhoneCall] = {}

    async def on_hold(watch: Watch) -> None:
        call = calls[HOLD] = await line.dial(phone, "11185", HOLD)
        for prompt, keys in (
            ("opening", "2"),
            ("query.ask", "473124829"),
            ("query.read_back", "1"),
            ("hold.ask", "1"),
        ):
            await watch.until(HOLD, "Say", prompt)
            await asyncio.sleep(0.5)
            call.press(keys)
        await watch.until(HOLD, "Music")

    async def speaking(watch: Watch) -> float:
        call = calls[SPEAKS] = await line.dial(phone, "1004", SPEAKS)
        await watch.until(SPEAKS, "Say", "opening")
        await asyncio.sleep(0.5)
        call.press("5")
        began = await watch.until(SPEAKS, "Record")
        await asyncio.sleep(BEEP + 0.2)
        call.speak(60.0)
        return began

    async with deaf_back_end(port), Watch(line) as watch:
        _, began = await asyncio.gather(on_hold(watch), speaking(watch))
        due = max(began + recorded, time.monotonic() + 9.0)
        await at(due - 8.7)
        calls[PAUSE] = await line.dial(phone, "1001", PAUSE)
        await at(due - 6.3)
        calls[PROMPT] = await line.dial(phone, "1001", PROMPT)
        if ringing:
            await at(due - 2.0)
            calls[RINGS] = await line.dial(phone, "1001", RINGS)
        # the opening has to be heard for a while to be known by its sound, however late a busy
        # machine has begun it; the pause of the other one is then half over
        await at(await watch.until(PROMPT, "Say", "opening") + 1.2)
        expected = {
            PROMPT[-4:]: "our own prompt",
            PAUSE[-4:]: "a key or a voice",
            HOLD[-4:]: "a back end or a person",
            SPEAKS[-4:]: "the caller's message",
        }
        assert await states(line) == expected | ({RINGS[-4:]: "to answer"} if ringing else {})
        try:
            yield calls
        finally:
            for call in calls.values():
                await call.hang_up()


# ---------------------------------------------------------------- killed


async def test_a_service_that_is_killed_is_apologised_for_and_nothing_said_is_lost(
    line: Stage, phone: Phone, port: int
) -> None:
    """kill -9 in a prompt, in a pause, on hold and while recording; stopped before a call; killed
    twice more while it takes in what was left; started again while a message is being left."""
    async with in_the_middle(line, phone, port, recorded=11.5) as calls:
        killed = time.monotonic()
        line.kill_service()
        calls[SPEAKS].quiet()
        calls[LATER] = late = await line.dial(phone, "1007", LATER)
        dialled = time.monotonic()

        async def hang_up_while_speaking() -> None:
            await at(killed + to_the_beep(line, "xjca") + 0.4)
            calls[PAUSE].speak(30.0)
            await asyncio.sleep(2.0)
            await calls[PAUSE].hang_up()

        async def hang_up_in_the_apology() -> None:
            await at(killed + SLICE + 2.0)
            await calls[SPEAKS].hang_up()

        await asyncio.gather(
            leave(line, "xjca", calls[PROMPT], killed, 2.0),
            leave(line, "ems", calls[HOLD], killed, 2.0),
            hang_up_while_speaking(),
            hang_up_in_the_apology(),
        )
        speaking = asyncio.create_task(leave(line, "infodesk", late, dialled, 6.0))
        await asyncio.to_thread(line.start_service)
        line.kill_service()
        await asyncio.to_thread(line.start_service)
        await messages(line, {SPEAKS})
        line.kill_service()
        await speaking
        await late.ended(8)
        await asyncio.to_thread(line.start_service)
        left = await messages(line, {PROMPT, PAUSE, HOLD, SPEAKS, LATER})

        for caller, hotline in ((PROMPT, "xjca"), (PAUSE, "xjca"), (HOLD, "ems")):
            assert apology(line, hotline, calls[caller]) - killed <= APOLOGY
        assert apology(line, "lakala", calls[SPEAKS]) - killed <= SLICE
        assert apology(line, "infodesk", late) - dialled <= APOLOGY
        assert names(hear(line, calls[PROMPT]), "xjca") == [
            "xjca.opening",
            "xjca.maintenance.line",
            "xjca.maintenance.leave_message",
            "common.beep",
            "xjca.maintenance.kept",
        ]

    await asyncio.sleep(7)  # one more look of the service finds nothing new
    again = await asyncio.to_thread(line.messages)
    assert sorted(m.id for m in again) == sorted(m.id for m in left)
    by_caller = {message.caller: message for message in again}
    assert len(by_caller) == len(again) == 5
    for caller, hotline, number in (
        (PROMPT, "xjca", "1001"),
        (PAUSE, "xjca", "1001"),
        (HOLD, "ems", "11185"),
        (LATER, "infodesk", "1007"),
    ):
        message = by_caller[caller]
        assert (message.source, message.hotline) == ("fallback", hotline)
        assert message.fields["number"] == number
        assert message.seconds > 1.5
    spoken = by_caller[SPEAKS]
    assert (spoken.source, spoken.hotline) == ("call", "lakala")
    assert 11.0 < spoken.seconds < 11.5 + 4.0 + 1.0  # and the silence that ended it
    assert spoken.call_id == line.call_of(SPEAKS).id
    for caller in (PROMPT, PAUSE, HOLD, SPEAKS):
        row = line.call_of(caller)
        assert row.ended_at is not None
        assert (row.ended_by, row.problem) == ("us", "the service died while this call was up")
    assert list(line.spool.glob("*.wav")) == []
    nothing_told(line, [PROMPT, PAUSE, HOLD, SPEAKS, LATER])


# ---------------------------------------------------------------- frozen


@pytest.mark.slow_live  # 66 s; test_dialplan_live has the short one
async def test_a_service_that_freezes_is_noticed_by_the_dialplan(
    line: Stage, phone: Phone, port: int
) -> None:
    """SIGSTOP while it rings, in a prompt, in a pause, on hold, while recording and before a call;
    then it is let go on, and takes in what was left meanwhile."""
    async with in_the_middle(line, phone, port, recorded=3.0, ringing=True) as calls:
        frozen = time.monotonic()
        line.freeze_service()
        calls[LATER] = late = await line.dial(phone, "1001", LATER)

        opening = line.hotlines.library.seconds("xjca", "opening")
        ends = {  # when what was playing ends, in seconds after the freeze, at the latest
            PROMPT: ("xjca", opening),
            PAUSE: ("xjca", 2.0),
            HOLD: ("ems", 10.25),
            SPEAKS: ("lakala", 10.0),
            RINGS: ("xjca", 5.0),
            LATER: ("xjca", 0.0),
        }

        async def wait_and_leave(caller: str) -> None:
            hotline, end = ends[caller]
            call = calls[caller]
            await at(frozen + end + FROZEN)
            began = await asyncio.to_thread(apology, line, hotline, call)
            assert began - frozen <= end + FROZEN
            if caller == PAUSE:
                await at(began - 0.2 + to_the_beep(line, hotline) + 0.4)
                call.speak(30.0)
                await asyncio.sleep(2.0)
                await call.hang_up()
            elif caller == SPEAKS:
                await call.hang_up()
            else:
                await leave(line, hotline, call, began - 0.2, 2.0)
                await call.ended(8)

        calls[SPEAKS].quiet()
        await asyncio.gather(*(wait_and_leave(caller) for caller in ends))
        line.thaw_service()
        left = await messages(line, set(ends))
        assert sorted(message.caller for message in left) == sorted(ends)
        assert late.answered_at is not None
    for caller in (PROMPT, PAUSE, HOLD, RINGS):
        row = line.call_of(caller)
        assert row.problem == "we were too late, and the dialplan took the call back"
        assert row.ended_by == "us"
    again = await line.dial(phone, "1001", QUIET)  # and calls are taken as before
    await again.answered(8)
    await again.hang_up()


# ---------------------------------------------------------------- away


@pytest.mark.slow_live
async def test_more_notes_than_one_variable_holds_are_all_taken_in(line: Stage) -> None:
    """Asterisk cuts what GET VARIABLE says after 1,023 bytes, in the middle of a name."""
    line.stop_service()
    callers = {f"139000{n:05d}" for n in range(60)}

    def note() -> None:
        for caller in callers:
            name = f"sansheng/fallback/1795000000-{caller[2:]}-100000000"
            for key, value in (
                ("caller", caller),
                ("began", "1795000000"),
                ("ended", "1795000009"),
            ):
                line.switch.cli(f"database put {name} {key} {value}")

    await asyncio.to_thread(note)
    await asyncio.to_thread(line.start_service)
    left = await messages(line, callers)
    assert sorted(message.caller for message in left) == sorted(callers)
    assert {message.quality for message in left} == {"missing"}
    await asyncio.sleep(1)
    assert "0 results found" in line.switch.cli("database show sansheng/fallback")
