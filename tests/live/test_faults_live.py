"""Faults around real calls, judged by what the callers hear (docs/faults.md is the table).

Calls that do not disturb each other share a stage and a fault: when the service is killed, one
caller is in a prompt, one in a pause, one on hold and one leaving a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import Stage
from places import ROOT, free_port
from watching import Watch

from ivr import scenario_file
from ivr.ear import Heard, pauses
from ivr.events import Unplayable
from ivr.lengths import BEEP
from ivr.phone import Phone
from ivr.phone_call import NotAnswered, PhoneCall
from ivr.store import Message

pytestmark = pytest.mark.live

APOLOGY = 3.0
"""Seconds within which the caller of a service that died hears the apology."""
FROZEN = 10.0
"""Seconds after the end of what was playing, within which the caller of a frozen one does."""
SLICE = 10.0
"""Seconds after which Asterisk looks up from recording, at the latest."""
TAKEN_IN = 45.0
"""Seconds after a start in which what was left is taken in (a look every 30 s)."""


@pytest.fixture
def port() -> int:
    """Where back ends answer, or do not."""
    return free_port(socket.SOCK_STREAM)


@pytest.fixture
def line(tmp_path: Path, port: int) -> Iterator[Stage]:
    with Stage(tmp_path, back_end=f"http://127.0.0.1:{port}", name="faults") as own:
        yield own


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


async def at(moment: float) -> None:
    """Wait until this monotonic second."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def hear(line: Stage, call: PhoneCall) -> list[Heard]:
    return line.ear.recognise(call.heard)


def names(heard: list[Heard], hotline: str = "") -> list[str]:
    """What was heard; of prompts that sound alike, this line's."""
    return [next((n for n in one.names if n.startswith(f"{hotline}.")), one.name) for one in heard]


def apology(line: Stage, hotline: str, call: PhoneCall) -> float:
    """When the maintenance apology of this line began, in monotonic seconds."""
    heard = hear(line, call)
    for one in heard:
        if f"{hotline}.maintenance.line" in one.names:
            return one.start
    raise AssertionError(f"the apology was never heard, but {names(heard)}")


def to_the_beep(line: Stage, hotline: str) -> float:
    """Seconds from the beginning of the fallback to the end of its beep."""
    said = ("maintenance.line", "maintenance.leave_message")
    return 0.2 + sum(line.hotlines.library.seconds(hotline, one) for one in said) + BEEP


async def leave(line: Stage, hotline: str, call: PhoneCall, began: float, speak: float) -> None:
    """Leave a message in a fallback that began then; `#` ends it."""
    await at(began + to_the_beep(line, hotline) + 0.4)
    await call.speak(speak).done()
    call.press("#")


async def messages(line: Stage, callers: set[str], within: float = TAKEN_IN) -> list[Message]:
    """Every message there is, once each of these callers has one."""
    async with asyncio.timeout(within):
        while True:
            found = await asyncio.to_thread(line.messages)
            if callers <= {message.caller for message in found}:
                return found
            await asyncio.sleep(0.2)


async def eventually(true: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  # a log tells nobody when it grows
            await asyncio.sleep(0.1)


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


PROMPT, PAUSE, HOLD, SPEAKS, RINGS, LATER, QUIET = (f"1380000100{n}" for n in range(1, 8))
"""Callers: over a prompt, in a pause, on hold, leaving a message, while it rings, afterwards."""


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
        await at(due - 0.1)
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


# ---------------------------------------------------------------- the manager


class Proxy:
    """Stands between the service and the manager, and can be cut. Runs beside the test, in a
    thread, because starting the service blocks."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port(socket.SOCK_STREAM)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    def mend(self) -> None:
        """Connections are taken (again)."""
        self._do(self._open())

    def cut(self) -> None:
        """Connections are reset, and no more are taken."""
        self._do(self._close())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}
        both = (self._pass(reader, far_writer), self._pass(far_reader, writer))
        await asyncio.gather(*both)
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(4096):
                writer.write(some)
        writer.close()


class Cuttable(Stage):
    """A stage whose service reaches the manager through a proxy."""

    proxy: Proxy

    def start_service(self) -> None:
        direct = self.switch.ports
        self.proxy = Proxy(direct.manager)
        self.switch.ports = replace(direct, manager=self.proxy.port)
        try:
            super().start_service()
        finally:
            self.switch.ports = direct

    def close(self) -> None:
        super().close()
        if hasattr(self, "proxy"):
            self.proxy.close()


def silent_call(line: Stage, hotline: str) -> list[str]:
    """What a silent caller of this line hears."""
    file = ROOT / f"tests/scenarios/{hotline}-silent.yaml"
    return [f"{hotline}.{prompt}" for prompt in scenario_file.read(file, ROOT).hears]


@pytest.mark.slow_live
async def test_calls_go_on_without_the_manager_and_voices_are_heard_when_it_is_back(
    tmp_path: Path, phone: Phone
) -> None:
    with Cuttable(tmp_path, name="proxied") as line:
        async with Watch(line) as watch:
            silent, keys = await asyncio.gather(
                line.dial(phone, "1001", QUIET), line.dial(phone, "11185", HOLD)
            )
            await watch.until(QUIET, "Say", "opening")
            await asyncio.sleep(1)
            await asyncio.to_thread(line.proxy.cut)
            await eventually(
                lambda: bool(line.logged("no manager: keys only, no voices, nobody can be rung"))
            )
            await watch.until(HOLD, "Say", "menu")
            keys.press("2")
            await watch.until(HOLD, "Say", "query.ask")
            keys.press("473124829")
            await watch.until(HOLD, "Say", "query.read_back")
            await keys.hang_up()
            await silent.ended(40)
            await asyncio.to_thread(line.proxy.mend)
            back = "the manager is there again: voices are heard"
            await eventually(lambda: bool(line.logged(back)), 35)
            speaks = await line.dial(phone, "1001", SPEAKS)
            await watch.until(SPEAKS, "Listen")
            await asyncio.sleep(0.5)
            speaks.speak(1.0)
            await watch.until(SPEAKS, "Say", "menu", within=5)
            await speaks.hang_up()
    heard = hear(line, silent)
    assert names(heard, "xjca") == silent_call(line, "xjca")
    assert pauses(heard) == pytest.approx([2.0, 0.5], abs=0.1)
    assert silent.ended_by == "them"


# ---------------------------------------------------------------- ops, disks and databases


@pytest.mark.slow_live
async def test_what_ops_break_is_told_to_the_caller_and_to_the_log(
    line: Stage, phone: Phone
) -> None:
    """A number that is nobody's, a prompt that is gone, a database that is locked."""
    for file in (line.sounds / "zh/xjca").glob("xjca.opening.*"):
        file.unlink()
    await line.ask(ask="maintenance", on=True, lines=["lakala"])
    async with Watch(line) as watch:
        nobody = await line.dial(phone, "5555", LATER)
        with pytest.raises(NotAnswered):
            await nobody.answered(5)
        missing = await line.dial(phone, "1001", QUIET)
        lost = await line.dial(phone, "1004", SPEAKS)
        for prompt in ("maintenance.line", "maintenance.contact"):
            await watch.until(SPEAKS, "Say", prompt)
            await asyncio.sleep(0.7)
            lost.press("1")
        await watch.until(SPEAKS, "Record")
        await asyncio.sleep(1)
        await lost.speak(2.0).done()
        lost.press("#")
        await watch.until(SPEAKS, "Say", "contact.own")
        await asyncio.sleep(0.5)
        lost.press("1")
        await watch.until(SPEAKS, "Say", "contact.surname")
        locked = sqlite3.connect(line.directory / "calls.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        asked = time.monotonic()
        await watch.until(SPEAKS, "Say", "message.lost", within=40)
        quiet = time.monotonic() - asked
        locked.execute("ROLLBACK")
        locked.close()
        await asyncio.sleep(4)
        await lost.hang_up()
        await missing.ended(40)
    heard = names(hear(line, lost), "lakala")
    assert "lakala.message.lost" in heard
    assert [name for name in heard if "message.kept" in name] == []
    assert quiet < 30
    expected = silent_call(line, "xjca")
    assert names(hear(line, missing), "xjca") == ["xjca.sorry.trouble", *expected[1:]]
    assert missing.ended_by == "them"
    entries = line.entries(line.call_of(QUIET))
    assert [entry for entry in entries if isinstance(entry.what, Unplayable)]
    assert line.logged("a prompt cannot be played")[0]["prompt"] == "opening"
    assert line.logged("a message could not be kept")


@pytest.mark.slow_live
async def test_a_reload_is_for_new_calls_and_a_mistake_for_none_and_a_drain_lets_calls_end(
    line: Stage, phone: Phone
) -> None:
    hotline = line.root / "flows/hotlines/xjca.yaml"
    good = hotline.read_text("utf-8")
    changed = re.sub(r"pause: 0\.5 s", "pause: 1.5 s", good)
    assert changed != good
    flow = line.root / "flows/opening.yaml"
    whole = flow.read_text("utf-8")
    async with Watch(line) as watch:
        flow.write_text(whole + "nonsense: yes\n", "utf-8")
        os.kill(line.pid, signal.SIGHUP)
        await eventually(lambda: bool(line.logged("not reloaded")))
        flow.write_text(whole, "utf-8")
        before = await line.dial(phone, "1001", QUIET)
        await watch.until(QUIET, "Say", "opening")
        hotline.write_text(changed, "utf-8")
        os.kill(line.pid, signal.SIGHUP)
        await eventually(lambda: bool(line.logged("reloaded")))
        after = await line.dial(phone, "1001", LATER)
        await watch.until(LATER, "Say", "opening")
        os.kill(line.pid, signal.SIGTERM)
        await eventually(lambda: bool(line.logged("draining")))
        refused = await line.dial(phone, "1001", SPEAKS)
        dialled = time.monotonic()
        await asyncio.gather(before.ended(40), after.ended(40))
    await eventually(lambda: bool(line.logged("stopped")))
    await refused.hang_up()
    assert apology(line, "xjca", refused) - dialled <= APOLOGY
    (problem,) = {row["problem"].split(" ")[0] for row in line.logged("not reloaded")}
    assert re.fullmatch(r"flows/opening\.yaml:\d+", problem)
    for call, pause in ((before, 0.5), (after, 1.5)):
        heard = hear(line, call)
        assert names(heard, "xjca") == silent_call(line, "xjca")
        assert pauses(heard) == pytest.approx([2.0, pause], abs=0.1)
        assert call.ended_by == "them"
    assert line.call_of(QUIET).version != line.call_of(LATER).version


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
