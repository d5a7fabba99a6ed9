"""The desk with a real database and a real spool: what fails there is tried again, and told."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from migrated import new

from ivr import actions, desk, floor, messages, replay, sound, stimuli, store
from ivr.agents import Agents
from ivr.agi import Reply
from ivr.clock import SystemClock
from ivr.desk import Desk
from ivr.hotlines import Hotlines
from ivr.journal_writer import write
from ivr.spool import Spool
from ivr.store import StorageFailed


@dataclass
class Office:
    """A desk with a real database and a real spool."""

    database: store.Store
    clock: SystemClock
    desk: Desk
    spool: Path
    call: store.Call

    def lock(self) -> sqlite3.Connection:
        held = sqlite3.connect(self.spool.parent / "x.db", isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        return held


@pytest.fixture
def office(tmp_path: Path, lines: Hotlines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(store, "BUSY", 50)
    clock = SystemClock()
    database = new(tmp_path / "x.db")
    spool = tmp_path / "spool"
    spool.mkdir()
    shelf = Spool(database, spool=spool, folder=tmp_path / "kept", utc=clock.utc)
    call = store.Call("fake-1.1", "fake", "1.1", "xjca", "1001", "13800138000", clock.utc())
    with database.write() as connection:
        write(connection, [call])
    desk = Desk(database, shelf, clock)
    yield Office(database, clock, desk, spool, call)
    clock.close()
    database.close()


def recording(office: Office) -> list[str]:
    name = "0123456789abcdef0123456789abcdef-00"
    spoken = sound.Sound(stimuli.speech(2.0, stimuli.SPEECH).astype("float32") / 32768, 8000)
    sound.write(office.spool / f"{name}.wav", spoken)
    return [name]


async def test_a_recording_that_cannot_be_taken_is_taken_when_its_message_is_kept(
    office: Office, lines: Hotlines
) -> None:
    slices = recording(office)
    held = office.lock()
    taken = await office.desk.take(office.call, "message", slices)
    assert taken.reference
    assert (office.spool / f"{slices[0]}.wav").exists()
    wish = actions.Keep(1, "message", (("recording", taken.reference), ("contact", "1")))
    with pytest.raises(StorageFailed):
        await office.desk.keep(office.call, lines.lines["xjca"], wish)
    held.execute("ROLLBACK")
    held.close()
    await office.desk.keep(office.call, lines.lines["xjca"], wish)
    (message,) = messages.listed(office.database)
    assert re.fullmatch(r"[0-9a-f]{32}\.wav", message.recording)
    assert message.seconds == pytest.approx(2.0, abs=0.1)
    assert list(office.spool.iterdir()) == []


async def test_calls_that_were_up_when_the_service_died_are_closed_once(office: Office) -> None:
    await office.desk.close_calls("another")
    assert replay.call(office.database, office.call.id).ended_at is None
    await office.desk.close_calls("fake")
    row = replay.call(office.database, office.call.id)
    assert (row.ended_at, row.ended_by) == (row.offered_at, "us")
    assert row.problem == "the service died while this call was up"
    held = office.lock()
    await office.desk.close_calls("fake")  # a locked database does not keep us from starting
    held.execute("ROLLBACK")
    held.close()


async def test_calls_of_a_process_that_lives_are_its_own(office: Office) -> None:
    """One service is drained while the next one begins: its calls go on."""
    now, system = office.clock.utc(), office.call.system
    with office.database.write() as connection:
        write(connection, [replace(office.call, id="dead", uniqueid="2")], "died")
        write(connection, [replace(office.call, id="up", uniqueid="3")], "drained")
        write(connection, [replace(office.call, id="ours", uniqueid="4")], "ours")
    Agents(office.database, "died").beat(now - floor.DEAD - timedelta(seconds=1))
    Agents(office.database, "drained").beat(now)

    async def closed() -> list[str]:
        rows = {row.id: row for row in replay.calls(office.database)}
        return sorted(name for name, row in rows.items() if row.ended_at is not None)

    assert await office.desk.close_calls(system, "ours")  # to be tried again
    assert await closed() == ["dead", office.call.id]
    Agents(office.database, "drained").beat(now - floor.DEAD - timedelta(seconds=1))
    assert not await office.desk.close_calls(system, "ours")
    assert await closed() == ["dead", office.call.id, "up"]


async def test_a_call_closed_too_soon_is_put_right_by_its_own_process(office: Office) -> None:
    """It was cut off from the database for so long that it seemed dead."""
    await office.desk.close_calls("fake", "ours")
    with office.database.write() as connection:
        write(connection, [replace(office.call, rung_ms=5)], "theirs")
    row = replay.call(office.database, office.call.id)
    assert (row.ended_at, row.problem, row.owner) == (None, "", "theirs")


class NoNotes:
    """An AGI session on which Asterisk's database has nothing to tell."""

    async def command(self, command: str, *arguments: str | int) -> Reply:
        return Reply(200, 0, None, None, "200 result=0")


async def test_what_is_left_in_the_spool_is_taken_in_also_when_the_dialplan_has_no_notes(
    office: Office,
) -> None:
    name = recording(office)[0]
    old = time.time() - 3600
    os.utime(office.spool / f"{name}.wav", (old, old))
    await office.desk.collect(NoNotes())  # type: ignore[arg-type]
    assert len(messages.listed(office.database)) == 1
    assert list(office.spool.iterdir()) == []


async def test_who_was_registered_in_an_earlier_call_is_known_to_that_line(
    office: Office, lines: Hotlines
) -> None:
    line, other = lines.lines["infodesk"], lines.lines["xjca"]
    call = replace(office.call, id="fake-1.2", uniqueid="1.2", hotline="infodesk", number="1007")
    with office.database.write() as connection:
        write(connection, [call])
    assert not await office.desk.knows(line, call.caller, "1.3")
    told = actions.Keep(1, "caller", (("surname", "a.wav"), ("contact", call.caller)))
    await office.desk.keep(call, line, told)
    assert await office.desk.knows(line, "+86 138 0013 8000", "1.3")
    assert not await office.desk.knows(line, "13900000001", "1.3")
    assert not await office.desk.knows(line, "", "1.3")
    assert not await office.desk.knows(other, call.caller, "1.3"), "it asks nobody who they are"


async def test_a_caller_rings_on_while_a_database_does_not_say_who_is_known(
    office: Office, lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = lines.lines["infodesk"]
    monkeypatch.setattr(desk, "KNOWN", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(office.database, "contact", lambda *_: answers.wait(20))
    assert not await office.desk.knows(line, "13800138000", "1.3")
    answers.set()
    office.database.engine.dispose()
    (office.spool.parent / "x.db").write_bytes(b"this is no database at all, whatever it was" * 99)
    with pytest.raises(StorageFailed):
        store.Store.contact(office.database, "infodesk", "13800138000")
    monkeypatch.undo()
    assert not await office.desk.knows(line, "13800138000", "1.3")
