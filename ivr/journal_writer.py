"""The journal of a process that takes calls: one thread that writes to one database.

Rules this module keeps:

- `append` never waits for a disk. One thread writes, in batches, one transaction a batch, each
  commit synced.
- Nothing is dropped silently. A full queue raises; rows that storage cannot take now are kept
  and tried again, in order, for as long as the process lives; rows that no storage would take
  (our bug) are named in the log, and that call's barriers fail from then on.
- When storage fails, barriers fail at once: nothing may be promised. What had been appended may
  still be written later, when storage is back. So a caller may have been told that a message
  was lost which is kept after all, and never the other way round.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from sqlalchemy import Connection, insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from ivr import store as storage
from ivr import tables
from ivr.clock import Clock
from ivr.codec import encode, side
from ivr.journal import Entry, Item, JournalFull
from ivr.store import Call, Contact, Message, Recording, StorageFailed, Store, Version

LINGER = 0.02
"""How long the writer gathers rows before it commits them, in seconds."""

BATCH = 1000
"""Rows in one transaction, at most."""

LIMIT = 100_000
"""Rows that may wait for the disk, 20 s of 5,000 calls; more raises JournalFull."""

RETRY = (0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts when storage fails, in seconds; the last one repeats."""

log = structlog.get_logger("journal")


@dataclass(slots=True)
class _Barrier:
    target: int
    call_id: str | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class Writer:
    """The journal of a process that serves calls (`owner`): one thread, one database.

    `append` and `committed` belong to the event loop's thread. `trouble` says what is wrong with
    storage, and is empty when all is well. `written` counts the rows committed.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        limit: int = LIMIT,
        linger: float = LINGER,
        batch: int = BATCH,
        owner: str = "",
    ) -> None:
        self.trouble = ""
        self.written = 0
        self.batches = 0
        self._store = store
        self._clock = clock
        self._owner = owner
        self._limit, self._linger, self._batch = limit, linger, batch
        self._appended = 0
        self._settled = 0  # written, or refused
        self._refused: dict[str, str] = {}  # call id -> why
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._barriers: list[_Barrier] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # ---- the loop's side

    @property
    def pending(self) -> int:
        """Rows that wait for the disk."""
        return self._appended - self._settled

    def append(self, row: Item) -> None:
        """Take a row to be written; about 1 µs. Raises JournalFull."""
        if self._appended - self._settled >= self._limit:
            raise JournalFull(
                f"{self._limit} rows wait for the disk already: {self.trouble or 'it is too slow'}"
            )
        if self._closing.is_set():
            raise StorageFailed("the journal is closed")
        self._appended += 1
        self._queue.put(row)

    async def committed(self, call_id: str | None = None) -> None:
        """Wait until all appended so far is on disk. Raises StorageFailed, at once while storage
        is known to fail."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if why := self._refused.get(call_id or ""):
                raise StorageFailed(why)
            if self._settled >= self._appended:
                return
            if self.trouble:
                raise StorageFailed(self.trouble)
            self._barriers.append(_Barrier(self._appended, call_id, loop, future))
        with self._clock.busy("journal"):
            await future

    def close(self, timeout: float = 15.0) -> None:
        """Write what is left and end the thread; blocks for `timeout` seconds at most.

        Raises StorageFailed with the number of rows that could not be written.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._thread.join(timeout)
        self._given_up.set()
        left = self.pending
        if left:
            raise StorageFailed(f"{left} rows were not written: {self.trouble or 'too slow'}")

    # ---- the thread's side

    def _run(self) -> None:
        more = True
        try:
            while more:
                more, rows = self._gather()
                if rows and not self._keep_at_it(rows):
                    return
        except Exception:
            # first of all: whoever waits must not wait for ever, whatever becomes of the log
            self._fail("the journal's thread died")
            log.exception("the journal's thread died of a fault of ours; nothing can be promised")

    def _gather(self) -> tuple[bool, list[Item]]:
        rows: list[Item] = []
        row = self._queue.get()
        if self._queue.qsize() < self._batch:
            self._closing.wait(self._linger)
        while row is not None:
            rows.append(row)
            if len(rows) >= self._batch:
                return True, rows
            try:
                row = self._queue.get_nowait()
            except Empty:
                return True, rows
        return False, rows

    def _keep_at_it(self, rows: list[Item]) -> bool:
        """Write a batch, however often it takes; False if we were told to end and could not."""
        attempt = 0
        while True:
            try:
                refused = self._write(rows)
            except DBAPIError as error:
                if not attempt:
                    log.error("storage fails", database=str(self._store), reason=str(error.orig))
                self._fail(f"{self._store}: {error.orig}")
                if self._given_up.wait(RETRY[min(attempt, len(RETRY) - 1)]):
                    return False
                attempt += 1
                continue
            if attempt:
                log.warning("storage is back", database=str(self._store), attempts=attempt + 1)
            self._settle(rows, refused)
            return True

    def _write(self, rows: list[Item]) -> list[tuple[Item, str]]:
        """One transaction. Returns the rows that no storage would take, and why."""
        try:
            with self._store.engine.begin() as connection:
                write(connection, rows, self._owner)
        except Exception as error:
            why = _fault(error)
            log.error("a row cannot be written; the batch goes in one by one", reason=why)
            return self._one_by_one(rows)
        return []

    def _one_by_one(self, rows: list[Item]) -> list[tuple[Item, str]]:
        refused: list[tuple[Item, str]] = []
        with self._store.engine.begin() as connection:
            for row in _ordered(rows):
                try:
                    with connection.begin_nested():
                        write(connection, [row], self._owner)
                except Exception as error:
                    refused.append((row, _fault(error)))
        return refused

    def _settle(self, rows: list[Item], refused: list[tuple[Item, str]]) -> None:
        for row, why in refused:
            log.error("a row was refused", row=type(row).__name__, call=_call_of(row), reason=why)
        with self._lock:
            self.trouble = ""
            self.batches += 1
            self.written += len(rows) - len(refused)
            self._settled += len(rows)
            for row, why in refused:
                if of := _call_of(row):
                    self._refused.setdefault(of, f"a row was refused: {why}")
            due = [one for one in self._barriers if one.target <= self._settled]
            self._barriers = [one for one in self._barriers if one.target > self._settled]
        for one in due:
            if one.call_id is None:
                why = refused[0][1] if refused else ""
            else:
                why = self._refused.get(one.call_id, "")
            _resolve(one, why)

    def _fail(self, why: str) -> None:
        with self._lock:
            self.trouble = why
            failed, self._barriers = self._barriers, []
        for one in failed:
            _resolve(one, why)


def _fault(error: Exception) -> str:
    """What is wrong with a row, if it is the row's fault; else the error is storage's, and is
    raised again. A bug of ours in one call must not stop the journal of all others."""
    if isinstance(error, IntegrityError | DataError | ProgrammingError):
        return str(error.orig)
    if isinstance(error, DBAPIError):
        raise error
    return str(error) or type(error).__name__


def _resolve(barrier: _Barrier, why: str) -> None:
    def on_loop() -> None:
        if barrier.future.done():  # whoever waited has been cancelled
            return
        if why:
            barrier.future.set_exception(StorageFailed(why))
        else:
            barrier.future.set_result(None)

    # a closed loop has nobody left who waits
    with suppress(RuntimeError):
        barrier.loop.call_soon_threadsafe(on_loop)


def _call_of(row: Item) -> str | None:
    if isinstance(row, Entry | Message):
        return row.call_id
    return row.id if isinstance(row, Call) else None


_ORDER: dict[type, int] = {Version: 0, Call: 1, Recording: 2, Contact: 3, Entry: 4, Message: 5}


def _ordered(rows: Iterable[Item]) -> list[Item]:
    """Rows such that what is referred to comes first; otherwise in the order appended."""
    return sorted(rows, key=lambda row: _ORDER[type(row)])


def write(connection: Connection, rows: Iterable[Item], owner: str = "") -> None:
    """Write rows within a transaction, as the process `owner`. Of several states of one call the
    last one counts; a version or message that is there already stays as it is."""
    entries: list[dict[str, Any]] = []
    last: dict[str, Call] = {}
    others: list[Item] = []
    for row in rows:
        if isinstance(row, Entry):
            what = row.what
            entries.append(
                {
                    "call_id": row.call_id,
                    "seq": row.seq,
                    "at_ms": row.at_ms,
                    "side": side(what),
                    "name": type(what).__name__,
                    "data": encode(what),
                }
            )
        elif isinstance(row, Call):
            last[row.id] = replace(row, owner=owner)
        else:
            others.append(row)
    for kind in (Version, Call, Recording, Contact):
        chosen = last.values() if kind is Call else (r for r in others if isinstance(r, kind))
        storage.write_rows(connection, kind, list(chosen))
    if entries:
        connection.execute(insert(tables.journal), entries)
    storage.write_rows(connection, Message, [row for row in others if isinstance(row, Message)])
