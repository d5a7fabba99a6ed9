"""Tickets that callers have left, and a database of them that somebody edits behind our back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from migrated import new

from ivr import chain, tickets
from ivr.actions import Keep
from ivr.audit import audit
from ivr.chain import Head
from ivr.hours import Hours
from ivr.messages import keep
from ivr.migrations.versions import s0003_tickets as made
from ivr.spool import Spool
from ivr.store import Call, Store, write_rows
from ivr.ticket_rules import Rule, Rules

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", "+8613800138000", NOON)
RULES = Rules(
    {
        "complaint": Rule("supervisor", "high", "simple", "light"),
        "agent_complaint": Rule("supervisor", "urgent", "complex", "serious"),
    },
    {"answer": "24 h", "simple": "2 working days", "complex": "5 working days"},
)
COMPLAINT = Keep(
    9,
    "agent_complaint",
    (
        ("contact", "13800138000"),
        ("recording", "r.wav"),
        ("surname", "s.wav"),
        ("staff_number", "801"),
        ("item", "123456785"),
    ),
    "5 working days",
)


def left(store: Store, wish: Keep = COMPLAINT, call: Call = CALL, at: datetime = NOON) -> str:
    """A caller leaves this; the id of the ticket."""
    with store.write() as connection:
        write_rows(connection, Call, [call])
    message = keep(store, call, wish, HOURS, at, RULES).reference
    with store.read() as connection:
        return tickets.of_message(connection, message)


def all_of(store: Store) -> list[tickets.Ticket]:
    return tickets.listed(store, states=tickets.STATES)


def spool(store: Store, folder: Path) -> Spool:
    for name in ("spool", "kept"):
        (folder / name).mkdir(exist_ok=True)
    moment = datetime.now(UTC) + timedelta(seconds=10)
    return Spool(store, spool=folder / "spool", folder=folder / "kept", utc=lambda: moment)


# what an editor of the file does: no program of ours in between, guards taken away and put back


TEMPLATE: dict[str, bytes] = {}


def template(folder: Path) -> bytes:
    """The bytes of a database with three tickets and twelve rows of history."""
    if not TEMPLATE:
        path = folder / "template.db"
        store = new(path)
        names = [left(store, replace(COMPLAINT, id=number)) for number in range(3)]
        for name in (names[0], names[1], names[0]):
            tickets.take(store, name, "801", NOON)
            tickets.remark(store, name, "801", NOON, "rang")
        for name in names:
            tickets.remark(store, name, "802", NOON, "asked the department")
        store.close()
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        TEMPLATE["bytes"] = path.read_bytes()
    return TEMPLATE["bytes"]


ROWS = 12
COLUMNS = ("ticket", "at", "what", "who", "data", "before", "hash")


@contextmanager
def edited(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database opened as an editor opens it; no guard is there while it lasts."""
    path = folder / "edited.db"
    path.write_bytes(template(folder))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        yield database
        for sql in made.SQLITE_GUARDS:
            database.execute(sql)
        database.commit()


def found_in(folder: Path, witnessed: tuple[Head, ...] = ()) -> Any:
    store = Store(f"sqlite:///{folder / 'edited.db'}")
    try:
        return audit(store, witnessed)
    finally:
        store.close()


def sealed_anew(database: sqlite3.Connection) -> None:
    """What somebody does who knows this program: every row is sealed again, the head as well."""
    before, length = "", 0
    names = ("seq", "ticket", "at", "what", "who", "data")
    for values in database.execute(f"SELECT {', '.join(names)} FROM ticket_history").fetchall():
        row = dict(zip(names, values, strict=True))
        digest, length = chain.seal(before, row), row["seq"]
        change = "UPDATE ticket_history SET before = ?, hash = ? WHERE seq = ?"
        database.execute(change, (before, digest, length))
        before = digest
    database.execute("UPDATE ticket_head SET length = ?, hash = ?", (length, before))


def heads(folder: Path) -> dict[int, Head]:
    with edited(folder) as database:
        rows = database.execute("SELECT seq, hash FROM ticket_history").fetchall()
    return {seq: Head(seq, digest) for seq, digest in rows}
