"""The journal of a process: in order, durable, and never silently short."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from journalled import CALL, NOON, entry
from realtime import until
from sqlalchemy import func, select

from ivr import journal_writer, tables
from ivr.actions import Keep, Say
from ivr.clock import SystemClock
from ivr.events import HungUp, Key, Rung
from ivr.journal import JournalFull
from ivr.journal_writer import Writer
from ivr.replay import call, calls, entries
from ivr.store import Call, Message, StorageFailed, Store, Version

pytest_plugins = ["databases"]


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    made = Writer(store, clock=SystemClock())
    yield made
    made.close()


async def test_what_is_committed_is_in_the_database_in_order(store: Store, writer: Writer) -> None:
    writer.append(Version("h", "ems", {"flow": 1}, NOON))
    writer.append(CALL)
    said = [entry(seq, Key(str(seq % 10)), seq) for seq in range(2500)]
    for one in said:
        writer.append(one)
    await writer.committed("c1")
    assert entries(store, "c1") == said
    assert writer.pending == 0


async def test_a_barrier_with_nothing_to_wait_for_returns_at_once(writer: Writer) -> None:
    await writer.committed()
    assert writer.batches == 0


async def test_of_a_call_that_changes_the_last_state_counts(store: Store, writer: Writer) -> None:
    writer.append(CALL)
    writer.append(Call("c1", "pbx", "1.1", "ems", "11185", "1", NOON, answered_at=NOON))
    ended = Call(
        "c1", "pbx", "1.1", "ems", "11185", "138", NOON, record={"kind": "查询"}, ended_at=NOON
    )
    writer.append(ended)
    await writer.committed()
    assert call(store, "c1") == ended
    assert calls(store, hotline="ems", since=NOON, until=NOON + timedelta(seconds=1)) == [ended]
    assert calls(store, hotline="xjca") == []
    assert calls(store, until=NOON) == []
    with pytest.raises(KeyError):
        call(store, "unknown")


async def test_a_message_and_its_call_are_kept_in_one_transaction(
    store: Store, writer: Writer
) -> None:
    # appended the wrong way round: what is referred to still goes in first
    writer.append(Message("m1", "call", "c1#3", "ems", "message", NOON, call_id="c1"))
    writer.append(entry(0, Keep(3, "message")))
    writer.append(CALL)
    await writer.committed("c1")
    with store.read() as connection:
        assert connection.execute(select(tables.messages.c.id)).scalar_one() == "m1"


async def test_a_full_queue_raises_and_drops_nothing(store: Store) -> None:
    writer = Writer(store, clock=SystemClock(), limit=10, linger=30.0)
    writer.append(CALL)
    for seq in range(9):
        writer.append(entry(seq, HungUp()))
    with pytest.raises(JournalFull):
        writer.append(entry(9, HungUp()))
    writer.close()
    assert len(entries(store, "c1")) == 9


async def test_closing_writes_what_is_left_and_refuses_more(store: Store) -> None:
    writer = Writer(store, clock=SystemClock(), linger=30.0)
    writer.append(CALL)
    writer.append(entry(0, HungUp()))
    writer.close()
    assert entries(store, "c1") == [entry(0, HungUp())]
    with pytest.raises(StorageFailed, match="closed"):
        writer.append(entry(1, HungUp()))
    writer.close()


async def test_a_row_that_no_storage_takes_fails_its_own_call_and_no_other(
    store: Store, writer: Writer
) -> None:
    good = Call("c2", "pbx", "1.2", "ems", "11185", "", NOON)
    for row in (
        CALL,
        good,
        entry(0, HungUp()),
        entry(0, HungUp()),
        entry(1, Rung(1, float("nan"))),
    ):
        writer.append(row)
    writer.append(entry(2, Rung(10**30)))
    writer.append(entry(0, HungUp(), of="c2"))
    await writer.committed("c2")
    with pytest.raises(StorageFailed):
        await writer.committed("c1")
    assert entries(store, "c2") == [entry(0, HungUp(), of="c2")]
    assert [one.seq for one in entries(store, "c1")] == [0, 2]
    assert writer.pending == 0
    assert writer.trouble == ""


async def test_nobody_waits_for_ever_when_even_the_log_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(journal_writer, "log", structlog.PrintLogger(closed))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    writer = Writer(store, clock=SystemClock())
    writer.append(entry(0, HungUp(), of="a call that was never written"))
    with pytest.raises(StorageFailed):
        await asyncio.wait_for(writer.committed(), 10)
    with pytest.raises(StorageFailed):
        writer.close()


async def test_a_barrier_over_everything_fails_with_any_row_that_was_refused(
    writer: Writer,
) -> None:
    writer.append(entry(0, HungUp(), of="a call that was never written"))
    with pytest.raises(StorageFailed):
        await writer.committed()


async def test_storage_that_fails_fails_barriers_at_once_and_recovers_with_nothing_lost(
    sqlite_store: Store, tmp_path: Path
) -> None:
    database, away = tmp_path / "test.db", tmp_path / "away"
    writer = Writer(sqlite_store, clock=SystemClock(), limit=100)
    writer.append(CALL)
    await writer.committed()
    sqlite_store.close()  # no connection is open: the next one finds no database
    for name in ("test.db-wal", "test.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    database.rename(away)
    database.mkdir()  # opening it fails, as on a full or missing disk

    writer.append(entry(0, HungUp()))
    with pytest.raises(StorageFailed, match="unable to open"):
        await writer.committed("c1")
    assert "unable to open" in writer.trouble
    began = time.perf_counter()
    with pytest.raises(StorageFailed):
        await writer.committed("c1")
    assert time.perf_counter() - began < 0.05
    writer.append(entry(1, HungUp()))

    database.rmdir()
    away.rename(database)
    await until(lambda: writer.pending == 0)
    await writer.committed("c1")
    assert writer.trouble == ""
    writer.close()
    assert [one.seq for one in entries(sqlite_store, "c1")] == [0, 1]


async def test_closing_while_storage_fails_says_how_much_is_lost(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/nowhere/x.db")
    writer = Writer(store, clock=SystemClock())
    writer.append(CALL)
    with pytest.raises(StorageFailed, match="1 rows were not written"):
        writer.close(timeout=0.3)


async def test_a_cancelled_barrier_harms_nobody(store: Store, writer: Writer) -> None:
    writer.append(CALL)
    waiting = asyncio.ensure_future(writer.committed())
    await asyncio.sleep(0)
    waiting.cancel()
    await writer.committed()
    assert call(store, "c1") == CALL


async def test_appending_costs_the_call_about_a_microsecond(sqlite_store: Store) -> None:
    """A figure more than a test: generous bounds, since other work shares the machine."""
    writer = Writer(sqlite_store, clock=SystemClock())
    writer.append(CALL)
    rows = [entry(seq, Say(seq, "menu"), seq) for seq in range(20_000)]
    began = time.perf_counter()
    for row in rows:
        writer.append(row)
    appended = time.perf_counter()
    await writer.committed()
    done = time.perf_counter()
    each = (appended - began) / len(rows) * 1e6
    rate = len(rows) / (done - began)
    print(f"append() {each:.2f} µs; {rate:,.0f} events a second, durable")
    writer.close()
    assert each < 50
    assert rate > 2_000
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.journal)).scalar() == len(
            rows
        )
