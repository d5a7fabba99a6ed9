"""Several processes on one database: nothing committed is lost, and no ticket is solved twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import func, select

from ivr import tables, tickets
from ivr.replay import entries
from ivr.store import Message, Store, write_rows

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

JOURNALLING = """
import asyncio, sys
from datetime import UTC, datetime
from ivr.clock import SystemClock
from ivr.events import Key
from ivr.journal import Entry
from ivr.journal_writer import Writer
from ivr.store import Call, Store
from ivr.tickets import NotNow, change

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
url, me, calls, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main():
    store, clock = Store(url), SystemClock()
    store.upgrade()
    writer = Writer(store, clock=clock)
    for number in range(calls):
        name = f"{me}-{number}"
        writer.append(Call(name, me, str(number), "ems", "11185", "", NOON))
        for seq in range(rows):
            writer.append(Entry(name, seq, seq, Key("1")))
        await writer.committed(name)
        try:
            await clock.in_executor(change, store, f"T{number + 1}", "done", "801", NOON)
            print("solved", f"T{number + 1}", flush=True)
        except NotNow:
            pass  # the other one was faster
    print("done", flush=True)
    writer.close()

asyncio.run(main())
"""

DYING = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from ivr.clock import SystemClock
from ivr.events import Key
from ivr.journal import Entry
from ivr.journal_writer import Writer
from ivr.store import Call, Store

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

async def main():
    store = Store(sys.argv[1])
    writer = Writer(store, clock=SystemClock())
    writer.append(Call("c", "s", "u", "ems", "11185", "", NOON))
    for seq in range(10**6):
        writer.append(Entry("c", seq, seq, Key("1")))
        if seq % 50 == 49:
            await writer.committed("c")
            print(seq, flush=True)

asyncio.run(main())
"""


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_journal_and_solve_tickets_at_once(store: Store, url: str) -> None:
    calls, rows = 20, 40
    with store.write() as connection:
        names = [f"m{number}" for number in range(calls)]
        left = [Message(n, "call", n, "ems", "message", NOON, state="taken") for n in names]
        write_rows(connection, Message, left)
        for one in left:
            tickets.open_(connection, one, tickets.Terms(), NOON)
    running = [run(JOURNALLING, url, name, str(calls), str(rows)) for name in ("a", "b")]
    said = [process.communicate(timeout=30)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert [lines[-1] for lines in said] == ["done", "done"]
    solved = Counter(line for lines in said for line in lines if line.startswith("solved"))
    assert solved == {f"solved T{number + 1}": 1 for number in range(calls)}
    with store.read() as connection:
        found = connection.execute(
            select(tables.journal.c.call_id, func.count()).group_by(tables.journal.c.call_id)
        ).all()
    assert {row[0]: row[1] for row in found} == {
        f"{name}-{number}": rows for name in ("a", "b") for number in range(calls)
    }


def test_what_was_committed_survives_kill_9(store: Store, url: str) -> None:
    told = -1
    with run(DYING, url) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told == 999:
                os.kill(process.pid, signal.SIGKILL)  # barriers may still return until it comes
    kept = entries(store, "c")
    assert [one.seq for one in kept] == list(range(len(kept)))
    assert len(kept) > told >= 999
