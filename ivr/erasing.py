"""Erasing (删除): a call with all that was made for its sake, and recordings that nobody needs.

Rules this module keeps:

- Nothing is erased that somebody still needs: a ticket that is not closed, a message that is not
  done, a promise that is neither kept nor dropped, a call that is up. What was made for one of
  these (a leg, a call back, a recording) is needed as long as it. Whoever wants it erased says
  first, with their staff number, how that work ended; the history of tickets then has it.
- That is asked in the transaction that erases, while nobody can change a ticket (`chain.lock`).
- The history of tickets stays as it is, and with it the tickets: it is one chain, and must hold.
- Who erased what, when and why is kept for good (`erasures`, `erased_recordings`), and nobody
  can change it.
- What is erased is committed before the files go, and a recording's own row says `erased_at`
  when its file has gone. Killed between any two steps, `finish` goes on where it stopped.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves TEL-2.5b.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, update

from ivr import chain
from ivr.directory import normal
from ivr.promises import KEPT
from ivr.spool import Spool
from ivr.store import Recording, Store, erase_call, for_the_sake_of, insert_new
from ivr.tables import (
    attempts,
    calls,
    contacts,
    erased_recordings,
    erasures,
    messages,
    promises,
    recordings,
    tickets,
)
from ivr.ticket_rules import WITHOUT
from ivr.tickets import CLOSED

SETTLED = timedelta(minutes=1)
"""After a call's end: until then what it left may still be on its way to the disk."""


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


def erase(store: Store, spool: Spool, call_id: str, trace: Trace) -> Erased:
    """Erase a call and all that was made for its sake: journals, numbers, what its messages and
    promises say of a person, what the line learnt of the caller in it, and its recordings.

    One that was erased before stays so; only what is left of it, if anything, goes now. Raises
    NoCall, Needed, OSError (a file that cannot be deleted: `finish` tries it again),
    StorageFailed.
    """
    with store.write() as connection:
        chain.lock(connection)
        before = _before(connection, call_id)
        family = for_the_sake_of(connection, call_id)
        rows = rows_of(connection, family)
        if call_id not in {row.id for row in rows}:
            raise NoCall(f"there is no call {call_id}: `sansheng calls` lists them")
        held = held_for_good(connection, rows)
        why = [*_above(connection, rows[0]), *needed(connection, rows, spool, trace.at, held)]
        if why and before is None:
            raise Needed(f"{call_id} cannot be erased now: {'; '.join(why)}")
        done = (0, 0) if why else forget(connection, rows, trace)
    finish(store, spool)
    return Erased(*done, before)


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
    above = rows_of(connection, [row.leg_of])
    if above and _before(connection, row.leg_of) is None:
        yield f"it was made for the sake of {row.leg_of}, and is erased with that call"


# ---------------------------------------------------------------- what is needed


@dataclass(slots=True)
class Held:
    """What open work holds: ids of calls and references of recordings, each with the work that
    holds it, in words."""

    calls: dict[str, set[str]] = field(default_factory=dict)
    recordings: dict[str, set[str]] = field(default_factory=dict)

    def hold(self, why: str, ids: Collection[str | None], names: Collection[str | None]) -> None:
        for into, ones in ((self.calls, ids), (self.recordings, names)):
            for one in ones:
                if one:
                    into.setdefault(one, set()).add(why)

    @classmethod
    def read(cls, connection: Connection) -> Held:
        """All that is open at this moment."""
        held = cls()
        t, m, p, a = tickets.c, messages.c, promises.c, attempts.c
        files = (m.recording, m.surname_recording)
        query = (
            select(
                *(t.id, t.state, t.call_id, t.recording, t.surname_recording),
                *(one.label(f"left_{one.name}") for one in (m.call_id, *files)),
            )
            .outerjoin(messages, m.id == t.message_id)
            .where(t.state != CLOSED)
        )
        for row in connection.execute(query):
            why = (
                f"ticket {row.id} is {row.state.replace('_', ' for ', 1)} "
                "(`sansheng tickets done`, then `close`)"
            )
            ids = (row.call_id, row.left_call_id)
            held.hold(why, ids, (row.recording, row.surname_recording))
            held.hold(why, (), (row.left_recording, row.left_surname_recording))
        said = select(t.id).where(t.message_id == m.id, t.state != CLOSED).exists()
        undone = select(m.id, m.call_id, m.state, *files).where(
            m.state != "done", m.kind.not_in(sorted(WITHOUT)), ~said
        )
        for row in connection.execute(undone):
            why = f"message {row.id} is {row.state}"
            held.hold(why, (row.call_id,), (row.recording, row.surname_recording))
        owed = (
            select(p.id, p.state, p.call_id, m.call_id.label("left_in"), *files)
            .join(messages, m.id == p.message_id)
            .where(_owed())
        )
        for row in connection.execute(owed):
            why = f"promise {row.id} is {row.state.replace('_', ' ')} (`sansheng promises drop`)"
            ids = (row.call_id, row.left_in)
            held.hold(why, ids, (row.recording, row.surname_recording))
        # the calls that were made to keep a promise are needed as long as what it answers
        back = (
            select(a.call_id, p.id, t.id.label("ticket"), t.state)
            .join(promises, p.id == a.promise)
            .outerjoin(tickets, t.message_id == p.message_id)
            .where(or_(_owed(), t.state != CLOSED))
        )
        for row in connection.execute(back):
            closed = row.state in (None, CLOSED)
            of = f"promise {row.id}" if closed else f"ticket {row.ticket}"
            held.hold(f"it was made to keep a promise, and {of} is open", (row.call_id,), ())
        return held


def _owed() -> ColumnElement[bool]:
    """Promises for which somebody still has something to do."""
    return and_(promises.c.state != KEPT, promises.c.dropped_at.is_(None))


def held_for_good(connection: Connection, rows: Sequence[Row[Any]]) -> Held:
    """What is open, and stays so until the transaction ends: nobody can open a promise of these
    calls again meanwhile. The history of tickets is locked before (`chain.lock`)."""
    ids = [row.id for row in rows]
    promised = select(promises.c.id).where(promises.c.call_id.in_(ids))
    connection.execute(promised.with_for_update())
    return Held.read(connection)


def needed(
    connection: Connection,
    rows: Sequence[Row[Any]],
    spool: Spool,
    now: datetime,
    held: Held,
) -> list[str]:
    """Why these calls, one and what was made for its sake, cannot be erased now; empty if they
    can. `held` is what is open."""
    why: list[str] = []
    for row in rows:
        if row.ended_at is None:
            why.append(f"{row.id} is up (`sansheng live`)")
        elif row.ended_at > now - SETTLED:
            why.append(f"{row.id} has just ended: wait a minute")
    ids = [row.id for row in rows]
    theirs = _recordings(connection, ids)
    works = set[str]().union(
        *(held.calls.get(one, set()) for one in ids),
        *(held.recordings.get(one.reference or "", set()) for one in theirs),
    )
    why += sorted(works, reverse=True)  # tickets first: most else waits for them
    why += [f"recording {one.key} is still being taken in" for one in _coming(theirs, spool)]
    if _unfinished(connection, ids):
        why.append("a message of it is taken in by the service, within 15 minutes of its beginning")
    return why


def _recordings(connection: Connection, ids: Sequence[str]) -> list[Recording]:
    """The recordings of these calls, also those that only a message of theirs names."""
    named = messages.c.call_id.in_(list(ids))
    query = select(recordings).where(
        or_(
            recordings.c.call_id.in_(list(ids)),
            recordings.c.reference.in_(select(messages.c.recording).where(named)),
            recordings.c.reference.in_(select(messages.c.surname_recording).where(named)),
        )
    )
    return [Recording(**row._mapping) for row in connection.execute(query)]


def files(connection: Connection, rows: Sequence[Row[Any]]) -> list[Recording]:
    """The recordings of these calls whose files are there still."""
    found = _recordings(connection, [row.id for row in rows])
    return [one for one in found if one.reference is not None and one.erased_at is None]


def recording_needed(connection: Connection, one: Recording, spool: Spool, held: Held) -> bool:
    """Whether a recording must stay: open work names it, or the call in which it was made; or it
    is still being taken in."""
    named = one.reference in held.recordings or one.call_id in held.calls
    ids = [one.call_id] if one.call_id else []
    return named or bool(_coming([one], spool)) or _unfinished(connection, ids)


def _coming(found: Sequence[Recording], spool: Spool) -> list[Recording]:
    """Those of which something lies in the spool."""
    left = spool.left() if any(not one.quality for one in found) else {}
    return [one for one in found if not one.quality and one.key in left]


def _unfinished(connection: Connection, ids: Sequence[str]) -> bool:
    """Whether a message will be made of a recording of these calls (`ivr.intake`)."""
    query = (
        select(recordings.c.key)
        .join(calls, calls.c.id == recordings.c.call_id)
        .outerjoin(messages, messages.c.call_id == calls.c.id)
        .where(
            calls.c.id.in_(list(ids)),
            recordings.c.what == "message",
            recordings.c.reference.is_not(None),
            recordings.c.erased_at.is_(None),
            or_(calls.c.problem != "", calls.c.ended_by == "ops"),
            messages.c.id.is_(None),
        )
    )
    return connection.execute(query).first() is not None


# ---------------------------------------------------------------- erasing


def forget(connection: Connection, rows: Sequence[Row[Any]], trace: Trace) -> tuple[int, int]:
    """Erase calls that nobody needs, within a transaction; returns how many calls and recordings
    are new. The files go with `finish`."""
    ids = [row.id for row in rows]
    known = set(
        connection.execute(select(erasures.c.call_id).where(erasures.c.call_id.in_(ids))).scalars()
    )
    for row in rows:
        if row.id not in known:
            _forget_caller(connection, row)
            erase_call(connection, row.id, trace.reason, trace.at, trace.who)
    theirs = [(one, rows[0].hotline) for one in _recordings(connection, ids)]
    _forget_work(connection, ids)
    return len(set(ids) - known), drop(connection, theirs, trace)


def _forget_caller(connection: Connection, row: Row[Any]) -> None:
    """What the line learnt of the caller in this call, and was not told again since."""
    connection.execute(
        delete(contacts).where(
            contacts.c.hotline == row.hotline,
            contacts.c.number == normal(row.caller),
            contacts.c.updated_at.between(row.offered_at, row.ended_at + SETTLED),
        )
    )


def _forget_work(connection: Connection, ids: Sequence[str]) -> None:
    """What messages and promises of these calls say of a person; that they were there stays."""
    mine = select(promises.c.id).where(promises.c.call_id.in_(list(ids)))
    connection.execute(
        update(messages)
        .where(messages.c.call_id.in_(list(ids)))
        .values(caller="", contact="", item="", fields={})
    )
    connection.execute(
        update(promises).where(promises.c.call_id.in_(list(ids))).values(contact="", reason="")
    )
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
    Raises OSError, StorageFailed; calling it again goes on where it stopped."""
    query = (
        select(recordings)
        .join(erased_recordings, erased_recordings.c.key == recordings.c.key)
        .where(recordings.c.erased_at.is_(None))
        .order_by(recordings.c.key)
    )
    with store.read() as connection:
        left = [Recording(**row._mapping) for row in connection.execute(query)]
    return sum(spool.erase(one) for one in left)


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
