"""Erasing (删除): a call with all that was made for its sake, and recordings that nobody needs.

Rules this module keeps:

- Nothing is erased that somebody still needs (`ivr.needs`). Whoever wants it erased says first,
  with their staff number, how that work ended; the history of tickets then has it.
- That is asked in the transaction that erases, while nobody can change a ticket or a promise of
  these calls (`needs.hold`).
- The history of tickets stays as it is, and with it the tickets: it is one chain, and must hold.
- Who erased what, when and why is kept for good (`erasures`, `erased_recordings`), and nobody
  can change it.
- What is erased is committed before the files go, and a recording's own row says `erased_at`
  when its file has gone. Killed between any two steps, `finish` goes on where it stopped.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves TEL-2.5b.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from ivr.actions import Keep
from ivr.directory import normal
from ivr.inserting import insert_new
from ivr.needs import SETTLED, Held, hold, needed, recordings_of
from ivr.spool import Spool
from ivr.store import Recording, Store, erase_call, for_the_sake_of
from ivr.tables import (
    attempts,
    calls,
    contacts,
    erased_recordings,
    erasures,
    journal,
    messages,
    promises,
    recordings,
)


class NotGone(OSError):
    """What was to be erased is erased, but for some files; the message names them."""


class NoCall(Exception):
    """There is no call of this id."""


class Needed(Exception):
    """It cannot be erased now; the message says what needs it, and what to do."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Who erases, when and why. `who` is a staff number, or `service`."""

    who: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased just now: so many calls and recordings. `before` is the trace of an earlier
    time, if the call had been erased already."""

    calls: int
    recordings: int
    before: Trace | None = None
    why: tuple[str, ...] = ()
    """What needs what is left of one that was erased before."""


def erase(store: Store, spool: Spool, call_id: str, trace: Trace) -> Erased:
    """Erase a call and all that was made for its sake: journals, numbers, what its messages and
    promises say of a person, what the line learnt of the caller in it, and its recordings.

    One that was erased before stays so; only what is left of it goes now, unless somebody needs
    it (`why`). Raises NoCall, Needed, NotGone (the service's `finish` tries such files again),
    StorageFailed, OSError (the spool cannot be read: nothing is erased).

    This is for commands: their folder may be another than the one that was recorded into, so a
    file that is not there is not said to be gone.
    """
    with store.write() as connection:
        hold(connection, for_the_sake_of(connection, call_id))
        before = _before(connection, call_id)
        family = for_the_sake_of(connection, call_id)
        rows = rows_of(connection, family)
        if call_id not in {row.id for row in rows}:
            raise NoCall(f"there is no call {call_id}: `sansheng calls` lists them")
        held = Held.read(connection)
        why = [*_above(connection, rows[0]), *needed(connection, rows, spool, trace.at, held)]
        if why and before is None:
            raise Needed(f"{call_id} cannot be erased now: {'; '.join(why)}")
        done = (0, 0) if why else forget(connection, rows, trace)
        keys = [one.key for one in recordings_of(connection, family)]
    _finish(spool, _to_go(store, keys), certain=False)
    return Erased(*done, before, tuple(why))


def _before(connection: Connection, call_id: str) -> Trace | None:
    row = connection.execute(select(erasures).where(erasures.c.call_id == call_id)).one_or_none()
    return None if row is None else Trace(row.who, row.erased_at, row.reason)


def rows_of(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The rows of these calls, in this order; what became no call is left out."""
    found = {
        row.id: row for row in connection.execute(select(calls).where(calls.c.id.in_(list(ids))))
    }
    return [found[one] for one in ids if one in found]


def _above(connection: Connection, row: Row[Any]) -> Iterator[str]:
    """Why a leg is not erased by itself."""
    # an agent's leg of a call back hangs on the promise's place, and goes with what is answered
    answered = select(promises.c.call_id).where(promises.c.place == row.leg_of)
    names = [row.leg_of, *connection.execute(answered).scalars()]
    for above in rows_of(connection, [one for one in names if one]):
        if _before(connection, above.id) is None:
            yield f"it was made for the sake of {above.id}, and is erased with that call"


# ---------------------------------------------------------------- erasing


def forget(connection: Connection, rows: Sequence[Row[Any]], trace: Trace) -> tuple[int, int]:
    """Erase calls that nobody needs, within a transaction; returns how many calls and recordings
    are new. The files go with `finish`."""
    ids = [row.id for row in rows]
    known = set(
        connection.execute(select(erasures.c.call_id).where(erasures.c.call_id.in_(ids))).scalars()
    )
    for row in rows:
        _forget_caller(connection, row)  # first: the journal knows what they keyed
        if row.id not in known:
            erase_call(connection, row.id, trace.reason, trace.at, trace.who)
    theirs = [(one, rows[0].hotline) for one in recordings_of(connection, ids)]
    _forget_work(connection, ids)
    return len(set(ids) - known), drop(connection, theirs, trace)


def _forget_caller(connection: Connection, row: Row[Any]) -> None:
    """What the line learnt of the caller in this call, and was not told again since; who withholds
    the number is known by the one that they keyed (`ivr.messages`)."""
    number = normal(row.caller)
    connection.execute(
        delete(contacts).where(
            contacts.c.hotline == row.hotline,
            contacts.c.number.in_([number] if number else _keyed(connection, row.id)),
            contacts.c.updated_at.between(row.offered_at, row.ended_at + SETTLED),
        )
    )


def _keyed(connection: Connection, call_id: str) -> list[str]:
    """The numbers that were keyed in a call: in its journal, or in what is left of its messages."""
    of = (journal.c.call_id == call_id, journal.c.side == "action", journal.c.name == Keep.__name__)
    # read as plain JSON: also what another version wrote must go
    found = connection.execute(select(journal.c.data).where(*of)).scalars()
    wishes = [one for one in map(json.loads, found) if one.get("kind") == "caller"]
    keyed = [dict(one.get("values", ())).get("contact", "") for one in wishes]
    left = select(messages.c.contact).where(messages.c.call_id == call_id)
    keyed += connection.execute(left).scalars()
    return sorted({normal(one) for one in keyed} - {""})


def forget_message(
    connection: Connection, row: Row[Any], found: Sequence[Recording], trace: Trace
) -> int:
    """Erase what a message of no call says of a person, and its recordings, within a transaction;
    returns how many of these are new. The files go with `finish`."""
    _blank(connection, messages.c.id == row.id, promises.c.message_id == row.id)
    return drop(connection, [(one, row.hotline) for one in found], trace)


def _forget_work(connection: Connection, ids: Sequence[str]) -> None:
    """What messages and promises of these calls say of a person; that they were there stays."""
    _blank(connection, messages.c.call_id.in_(list(ids)), promises.c.call_id.in_(list(ids)))


def _blank(
    connection: Connection, left: ColumnElement[bool], promised: ColumnElement[bool]
) -> None:
    mine = select(promises.c.id).where(promised)
    nothing = {"caller": "", "contact": "", "item": "", "fields": {}}
    connection.execute(update(messages).where(left).values(**nothing))
    connection.execute(update(promises).where(promised).values(contact="", reason=""))
    connection.execute(update(attempts).where(attempts.c.promise.in_(mine)).values(contact=""))


def drop(connection: Connection, found: Sequence[tuple[Recording, str]], trace: Trace) -> int:
    """Recordings that nobody needs, each with its line, are to go; returns how many are new."""
    rows = [
        {
            "key": one.key,
            "hotline": hotline,
            "erased_at": trace.at,
            "reason": trace.reason,
            "who": trace.who,
        }
        for one, hotline in found
        if one.reference is not None and one.erased_at is None
    ]
    return insert_new(connection, erased_recordings, rows)


def finish(store: Store, spool: Spool) -> int:
    """Delete the files of all recordings that are to go and are still there; returns how many.
    Raises NotGone once all have been tried, StorageFailed; calling it again goes on where it
    stopped.

    This is for the service: recordings were made in its own folder, so what is not there is gone.
    """
    return _finish(spool, _to_go(store), certain=True)


def _to_go(store: Store, keys: Sequence[str] | None = None) -> list[Recording]:
    """The recordings, of these or of all, that are to go and not known as gone."""
    query = (
        select(recordings)
        .join(erased_recordings, erased_recordings.c.key == recordings.c.key)
        .where(recordings.c.erased_at.is_(None))
        .order_by(recordings.c.key)
    )
    if keys is not None:
        query = query.where(recordings.c.key.in_(list(keys)))
    with store.read() as connection:
        return [Recording(**row._mapping) for row in connection.execute(query)]


def _finish(spool: Spool, left: Sequence[Recording], *, certain: bool) -> int:
    done, failed = 0, list[OSError]()
    for one in left:
        try:
            done += spool.erase(one, certain=certain)
        except OSError as error:
            failed.append(error)
    if failed:
        first = failed[0]
        count = "1 file" if len(failed) == 1 else f"{len(failed)} files"
        where = f"{first.filename}: " if first.filename else ""
        raise NotGone(f"{count} of recordings cannot be deleted: {where}{first.strerror or first}")
    return done


# ---------------------------------------------------------------- looking back


def listed(store: Store, hotline: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """What was erased, the latest first: calls, and recordings. Raises StorageFailed."""
    of_calls = (
        select(erasures, calls.c.hotline)
        .join(calls, calls.c.id == erasures.c.call_id)
        .order_by(erasures.c.erased_at.desc(), erasures.c.call_id)
        .limit(limit)
    )
    of_files = (
        select(erased_recordings, recordings.c.call_id, recordings.c.erased_at.label("gone_at"))
        .join(recordings, recordings.c.key == erased_recordings.c.key)
        .order_by(erased_recordings.c.erased_at.desc(), erased_recordings.c.key)
        .limit(limit)
    )
    if hotline is not None:
        of_calls = of_calls.where(calls.c.hotline == hotline)
        of_files = of_files.where(erased_recordings.c.hotline == hotline)
    rows: list[dict[str, Any]] = []
    with store.read() as connection:
        for row in connection.execute(of_calls):
            rows.append(_told("call", row.call_id, row, row.call_id, True))
        for row in connection.execute(of_files):
            rows.append(_told("recording", row.key, row, row.call_id, row.gone_at is not None))
    return sorted(rows, key=lambda row: row["at"], reverse=True)[:limit]


def _told(what: str, name: str, row: Row[Any], call: str | None, gone: bool) -> dict[str, Any]:
    return {
        "what": what,
        "id": name,
        "call": call,
        "line": row.hotline,
        "at": row.erased_at.isoformat(timespec="seconds"),
        "by": row.who,
        "reason": row.reason,
        "gone": gone,
    }
