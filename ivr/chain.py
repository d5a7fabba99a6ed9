"""The history of all tickets (工单): one chain of rows, each sealed with the hash before it.

Rules this module keeps:

- A row is only ever added, at the end, in the caller's own transaction. `ticket_head` holds how
  many rows there are and the last hash; it changes in the same transaction, and writers wait for
  each other on it.
- There is one chain over the whole table, so that a whole ticket cannot go unnoticed.
- The ticket's row in `tickets` is a projection: what its history comes to, and nothing else.

What is found (`audit`), with the first bad row named, however it was done to the database: a
row changed in any column, deleted, inserted, put in another place, the tail cut off, a ticket's
row changed, added or deleted, the head changed, a guard (trigger) taken away, a message without
its ticket. Somebody who knows this module can seal a whole chain anew, and nothing in the
database alone can tell. So heads are also written down outside of it (`Witness`: a file beside
the database, or in the folder that SANSHENG_TICKET_HEADS names, best on another machine's disk;
the log and every announcement carry one): a chain sealed anew does not hold them any more.

What is not found: whoever can write the database and every place where heads are kept may seal
the chain anew. What was added and taken away again, the head put back as well, before the witness
looked (every 15 s; a command writes its own at once) leaves no trace here.

Serves XJCA-6.2d, TEL-2.5b.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import make_url

from ivr.codec import canonical
from ivr.tables import ticket_head, ticket_history, tickets

COLUMNS = ("seq", "ticket", "at", "what", "who", "data")
"""The columns that a row's hash seals, together with the hash of the row before."""

END = 1000
"""Bytes at the end of a witness's file, many lines long, that hold what was written last."""

OPENED = "opened"
"""What the first row of every ticket says."""


@dataclass(frozen=True, slots=True)
class Head:
    """How long the chain is, and the hash of its last row; empty for none."""

    length: int = 0
    hash: str = ""

    def __str__(self) -> str:
        return f"{self.length}:{self.hash}"


def read_head(text: str) -> Head:
    """A head as it is written down. Raises ValueError with a sentence."""
    length, _, digest = text.strip().partition(":")
    if not length.isdecimal() or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"'{text}' is no head: it looks like 42:0123…cdef, as `verify` tells it")
    return Head(int(length), digest)


def seal(before: str, row: Mapping[str, Any]) -> str:
    """The hash of a row that follows the one with the hash `before`."""
    sealed = canonical([before, {name: row[name] for name in COLUMNS}])
    return hashlib.sha256(sealed.encode()).hexdigest()


def moment(at: datetime) -> str:
    """A time as it stands in the history."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def head(connection: Connection) -> Head:
    """The head of the chain, as the database has it."""
    row = connection.execute(select(ticket_head.c.length, ticket_head.c.hash)).one()
    return Head(row.length, row.hash)


def lock(connection: Connection) -> Head:
    """Wait until nobody else writes history, and keep others waiting until this transaction ends;
    returns the head. Whoever decides by what a ticket is now does this first."""
    row = connection.execute(select(ticket_head).with_for_update()).one()
    return Head(row.length, row.hash)


def append(
    connection: Connection,
    ticket: str,
    what: str,
    who: str,
    at: datetime,
    changes: Mapping[str, Any],
    text: str = "",
) -> str:
    """Add one row to the history, and change the ticket's row as it says; returns the ticket's id.

    `changes` are columns of `tickets`, times as datetimes. A ticket that is opened gets its id
    here, from the number of its row, and `ticket` is ignored then. To be called in a write
    transaction.
    """
    before = lock(connection)
    seq = before.length + 1
    ticket = f"T{seq}" if what == OPENED else ticket
    told = {
        name: moment(value) if isinstance(value, datetime) else value
        for name, value in changes.items()
    }
    row = {
        "seq": seq,
        "ticket": ticket,
        "at": moment(at),
        "what": what,
        "who": who,
        "data": canonical({"set": told, "text": text}),
    }
    row |= {"before": before.hash, "hash": seal(before.hash, row)}
    connection.execute(insert(ticket_history), [row])
    connection.execute(update(ticket_head).values(length=seq, hash=row["hash"]))
    if what == OPENED:
        connection.execute(insert(tickets).values(id=ticket, **changes))
    elif changes:
        connection.execute(update(tickets).where(tickets.c.id == ticket).values(**changes))
    return ticket


# ---------------------------------------------------------------- heads written down elsewhere


class Witness:
    """A file of heads, one a line, to which lines are only added."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, database: str, environment: Mapping[str, str] = os.environ) -> Witness:
        """The witness of one database: a file of its own, beside a SQLite file, under the data
        root for a server, or in the folder SANSHENG_TICKET_HEADS. Raises ArgumentError."""
        address = make_url(database)
        path = (address.database or "").removeprefix("file:").partition("?")[0]
        name = f"{Path(path).name or 'tickets'}.heads"
        folder = Path(path).absolute().parent
        if address.get_backend_name() != "sqlite":
            server = address.render_as_string(hide_password=True)
            name = f"tickets-{hashlib.sha256(server.encode()).hexdigest()[:12]}.heads"
            folder = root / "var"
        return cls(Path(environment.get("SANSHENG_TICKET_HEADS") or folder) / name)

    def heads(self) -> Iterator[Head]:
        """What was written down. A line cut short by a crash is left out. Raises OSError."""
        try:
            text = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                yield read_head(line)

    def last(self) -> Head | None:
        """What was written down last; reads no more than the end of the file. Raises OSError."""
        try:
            with self.path.open("rb") as file:
                at = max(0, file.seek(0, os.SEEK_END) - END)
                file.seek(at)
                lines = file.read().decode("ascii", "replace").split("\n")
        except FileNotFoundError:
            return None
        for line in reversed(lines[1:] if at else lines):  # the first may lack its beginning
            with contextlib.suppress(ValueError):
                return read_head(line)
        return None

    def note(self, head: Head) -> bool:
        """Write a head down, unless it is the last one already; blocks until it is on the disk.
        Whether it was new. Raises OSError."""
        if not head.length or head == self.last():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # begins a line of its own, also after one that a crash cut short
            os.write(handle, f"\n{head}\n".encode("ascii"))
            os.fsync(handle)
        finally:
            os.close(handle)
        return True
