"""Whether anything was covered up: reads the history of all tickets (工单), says what is wrong.

Rules this module keeps:

- It trusts nothing that it reads: values are taken as they lie in the database, also what this
  program could not have written.
- The first bad row of the history is named. What follows a bad row proves nothing, so only what
  is known without the chain is told beside it.
- It only reads. What can and cannot be found is told in `ivr.chain`.

Serves XJCA-6.2d.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection

from ivr.chain import COLUMNS, OPENED, Head, seal
from ivr.migrations.versions import s0003_tickets as made
from ivr.store import Store
from ivr.tables import messages, ticket_history, tickets
from ivr.tickets import lacking

MOST = 10
"""Findings beside the first bad row that are told, at most."""

_TRIGGER = re.compile(r"CREATE TRIGGER (\w+)")
_FUNCTION = re.compile(r"CREATE FUNCTION (\w+)\(\).*?\$\$(.*)\$\$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `row` is the number of the bad row in the history, 0 if it is not
    a row of the history."""

    row: int
    what: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.what}" if self.row else self.what


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found: nothing, if all is well. `head` is the last row that is good."""

    head: Head
    tickets: int
    witnessed: int
    findings: tuple[Finding, ...]

    @property
    def first_bad_row(self) -> int:
        """0 if the history is whole."""
        return next((one.row for one in self.findings if one.row), 0)


def audit(store: Store, witnessed: Sequence[Head] = ()) -> Report:
    """Read everything and say what is wrong; blocks. `witnessed` are heads that were written down
    outside of the database. Raises StorageFailed if it cannot be read at all."""
    with store.read() as connection, _as_it_lies(connection):
        folded, good, bad = _walk(connection, witnessed)
        findings = [bad] if bad is not None else list(_projection(connection, folded))
        findings += _guards(connection)
        findings += _without(connection)
    told = tuple(findings[: MOST + 1])
    return Report(good, len(folded), len(witnessed), told)


@contextmanager
def _as_it_lies(connection: Connection) -> Iterator[None]:
    """Let text that is no UTF-8 be read all the same."""
    raw: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    raw.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        raw.text_factory = str


Folded = dict[str, dict[str, Any]]


def _walk(connection: Connection, witnessed: Sequence[Head]) -> tuple[Folded, Head, Finding | None]:
    """Every ticket as its history has it, the last good row, and the first bad one."""
    folded: Folded = {}
    known: dict[int, set[str]] = {}
    for one in witnessed:
        known.setdefault(one.length, set()).add(one.hash)
    good, agreed = Head(), 0
    names = (*COLUMNS, "before", "hash")
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(names)} FROM {ticket_history.name} ORDER BY seq"
    )
    for values in rows:
        row = dict(zip(names, values, strict=True))
        if good.length and _sealed_anew(row, good):
            # a row whose head was written down elsewhere is as it was: then it is this one
            changed = good.length + 1 if agreed == good.length else good.length
            return folded, good, Finding(changed, "it was changed, and sealed anew")
        what = _wrong(row, good, folded)
        seq = row["seq"] if isinstance(row["seq"], int) else good.length + 1
        if what:
            return folded, good, Finding(min(seq, good.length + 1), what)
        if seq in known:
            if known[seq] != {row["hash"]}:
                what = f"this is not the history whose head was written down at row {seq}"
                return folded, good, Finding(agreed + 1, f"{what}: rows {agreed + 1} to {seq}")
            agreed = seq
        good = Head(seq, row["hash"])
    return folded, good, _end(connection, good, max(known, default=0))


def _sealed_anew(row: dict[str, Any], before: Head) -> bool:
    """Whether a row is whole in itself, and follows another row than the one that is there."""
    return (
        row["seq"] == before.length + 1
        and all(isinstance(row[name], str) for name in row if name != "seq")
        and row["before"] != before.hash
        and seal(row["before"], row) == row["hash"]
    )


def _wrong(row: dict[str, Any], before: Head, folded: Folded) -> str:
    """What is wrong with a row that comes after `before`; empty if nothing is."""
    seq = row["seq"]
    if isinstance(seq, int) and seq > before.length + 1:
        return f"it is missing (the next one there is {seq})"
    if seq != before.length + 1:
        return "it was put in"
    if not all(isinstance(row[name], str) for name in row if name != "seq"):
        return "it holds what was never written"
    ticket = f"ticket {row['ticket']}".encode("ascii", "replace").decode()
    if row["before"] != before.hash or seal(before.hash, row) != row["hash"]:
        return f"{ticket}: it was changed, or stands in another row's place"
    told = _told(row["data"])
    if told is None:  # sealed by somebody else
        return "it holds what was never written"
    if row["what"] == OPENED:
        folded[row["ticket"]] = dict.fromkeys(tickets.c.keys()) | told | {"id": row["ticket"]}
    elif row["ticket"] not in folded:
        return f"{ticket}: it was never opened"
    else:
        folded[row["ticket"]].update(told)
    return ""


def _told(data: str) -> dict[str, Any] | None:
    """What a row says that the ticket's columns became; None for what this program never wrote."""
    try:
        told = json.loads(data)["set"]
        if not isinstance(told, dict):
            return None
        for name in told:
            if name not in tickets.c or name == "id":
                return None
            if name.endswith("_at"):
                datetime.fromisoformat(told[name])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return told


def _end(connection: Connection, last: Head, witnessed: int) -> Finding | None:
    """What is wrong where the history ends."""
    found = connection.exec_driver_sql("SELECT length, hash FROM ticket_head").all()
    if len(found) != 1:
        return Finding(last.length + 1, "the head of the history is missing, so more may be")
    length, digest = found[0]
    if (isinstance(length, int) and last.length < length) or last.length < witnessed:
        longest = max(witnessed, length if isinstance(length, int) else 0)
        return Finding(last.length + 1, f"it is missing (there were {longest})")
    if isinstance(length, int) and 0 <= length < last.length:
        return Finding(length + 1, f"it was put in (the head knows {length} rows)")
    if (length, digest) != (last.length, last.hash):
        return Finding(max(1, last.length), "the head of the history was changed")
    return None


# ---------------------------------------------------------------- what is known without the chain


def _projection(connection: Connection, folded: Folded) -> Iterator[Finding]:
    """Tickets whose row is not what their history comes to."""
    columns = list(tickets.c)
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(column.name for column in columns)} FROM {tickets.name} ORDER BY id"
    )
    left = dict(folded)
    for values in rows:
        found = dict(zip((column.name for column in columns), values, strict=True))
        name = str(found["id"])
        shown = name.encode("ascii", "backslashreplace").decode()
        told = left.pop(name, None)
        if told is None:
            yield Finding(0, f"ticket {shown} has no history")
            continue
        for column in columns:
            if found[column.name] != _stored(connection, column, told[column.name]):
                yield Finding(
                    0, f"ticket {shown}: its '{column.name}' is not what its history says"
                )
    for name in left:
        yield Finding(0, f"ticket {name} has a history and is not there")


def _stored(connection: Connection, column: Column[Any], value: Any) -> Any:
    """A value as the database keeps it in this column."""
    if column.name.endswith("_at") and value is not None:
        value = datetime.fromisoformat(value)
    store = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return value if store is None else store(value)


def _guards(connection: Connection) -> Iterator[Finding]:
    """Triggers that keep the history from being changed, and are not there as they were made."""
    if connection.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
        guards: Iterable[str] = made.SQLITE_GUARDS
        there = {row[0] for row in connection.exec_driver_sql(query)}
        lost = [sql for sql in guards if sql not in there]
    else:
        # a name proves nothing: on which table, when and for what it fires, and what it does then
        query = (
            "SELECT pg_get_triggerdef(t.oid, true), p.prosrc FROM pg_trigger t"
            " JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE t.tgenabled IN ('O', 'A') AND NOT t.tgisinternal"
        )
        fires = {(_plain(row[0]), row[1]) for row in connection.exec_driver_sql(query)}
        made_of = map(_FUNCTION.match, made.POSTGRESQL_GUARDS)
        bodies = {found[1]: found[2] for found in made_of if found}
        guards = [sql for sql in made.POSTGRESQL_GUARDS if _TRIGGER.match(sql)]
        lost = [sql for sql in guards if (_plain(sql), bodies[_calls(sql)]) not in fires]
    for sql in lost:
        yield Finding(0, f"the database no longer guards the history: no trigger {_name(sql)}")


def _plain(sql: str) -> str:
    """How a trigger was made, as PostgreSQL tells it."""
    return " ".join(sql.split()).replace("UPDATE OR DELETE", "DELETE OR UPDATE")


def _calls(sql: str) -> str:
    """The function that a trigger of PostgreSQL executes."""
    return sql.rpartition("FUNCTION ")[2].removesuffix("()")


def _name(sql: str) -> str:
    found = _TRIGGER.match(sql)
    return found[1] if found else sql


def _without(connection: Connection) -> Iterator[Finding]:
    """Messages that should have a ticket, and have none."""
    for name in connection.execute(lacking(messages.c.id).limit(MOST)).scalars():
        yield Finding(0, f"message {name} has no ticket")
