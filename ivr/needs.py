"""What is still needed (未了结的工作): calls and recordings that must not be erased yet.

Rules this module keeps:

- A ticket that is not closed, a message that is not done, a promise that is neither kept nor
  dropped, a call that is up: each holds its call, its recordings, and the legs and calls back that
  were made for its sake. Each says in words what it is, and how that work is ended.
- It only reads, and locks (`hold`); what becomes of what nobody needs is `ivr.erasing`'s concern.

Serves TEL-2.5b.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from ivr import chain
from ivr.intake import unfinished
from ivr.promises import IN_ORDER, KEPT
from ivr.spool import Spool
from ivr.store import Recording
from ivr.tables import attempts, calls, messages, promises, recordings, tickets
from ivr.ticket_rules import WITHOUT
from ivr.tickets import CLOSED

SETTLED = timedelta(minutes=1)
"""After a call's end: until then what it left may still be on its way to the disk."""


@dataclass(slots=True)
class Held:
    """What open work holds: ids of calls, references of recordings and ids of messages, each with
    the work that holds it, in words."""

    calls: dict[str, set[str]] = field(default_factory=dict)
    recordings: dict[str, set[str]] = field(default_factory=dict)
    messages: dict[str, set[str]] = field(default_factory=dict)

    def hold(
        self,
        why: str,
        ids: Collection[str | None],
        names: Collection[str | None],
        message: str | None = None,
    ) -> None:
        held = ((self.calls, ids), (self.recordings, names), (self.messages, (message,)))
        for into, ones in held:
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
                *(t.id, t.state, t.call_id, t.recording, t.surname_recording, t.message_id),
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
            held.hold(why, ids, (row.recording, row.surname_recording), row.message_id)
            held.hold(why, (), (row.left_recording, row.left_surname_recording))
        said = select(t.id).where(t.message_id == m.id, t.state != CLOSED).exists()
        undone = select(m.id, m.call_id, m.state, *files).where(
            m.state != "done", m.kind.not_in(sorted(WITHOUT)), ~said
        )
        for row in connection.execute(undone):
            why = f"message {row.id} is {row.state}"
            held.hold(why, (row.call_id,), (row.recording, row.surname_recording), row.id)
        owed = (
            select(p.id, p.state, p.call_id, p.message_id, m.call_id.label("left_in"), *files)
            .join(messages, m.id == p.message_id)
            .where(_owed())
        )
        for row in connection.execute(owed):
            why = f"promise {row.id} is {row.state.replace('_', ' ')} (`sansheng promises drop`)"
            ids = (row.call_id, row.left_in)
            held.hold(why, ids, (row.recording, row.surname_recording), row.message_id)
        # the calls that were made to keep a promise are needed as long as what it answers, and so
        # are the legs that rang agents for it, which hang on its place in the line
        back = select(a.call_id, p.id, t.id.label("ticket"), t.state)
        legs = select(calls.c.id.label("call_id"), p.id, t.id.label("ticket"), t.state)
        for query in (
            back.join(promises, p.id == a.promise),
            legs.join(promises, p.place == calls.c.leg_of),
        ):
            still = query.outerjoin(tickets, t.message_id == p.message_id)
            for row in connection.execute(still.where(or_(_owed(), t.state != CLOSED))):
                closed = row.state in (None, CLOSED)
                of = f"promise {row.id}" if closed else f"ticket {row.ticket}"
                held.hold(f"it was made to keep a promise, and {of} is open", (row.call_id,), ())
        return held


def _owed() -> ColumnElement[bool]:
    """Promises for which somebody still has something to do."""
    return and_(promises.c.state != KEPT, promises.c.dropped_at.is_(None))


def hold(connection: Connection, ids: Collection[str]) -> None:
    """Let nobody change a promise of these calls, nor any ticket, until the transaction ends.

    The promises come first, and the one due first before the others, as where people and attempts
    change them (`ivr.promises`, `ivr.attempts`): whoever locks in another order waits for ever.
    """
    _hold(connection, promises.c.call_id.in_(list(ids)))


def hold_messages(connection: Connection, ids: Collection[str]) -> None:
    """The same for promises that were made for these messages."""
    _hold(connection, promises.c.message_id.in_(list(ids)))


def _hold(connection: Connection, of: ColumnElement[bool]) -> None:
    promised = select(promises.c.id).where(of)
    connection.execute(promised.order_by(*IN_ORDER).with_for_update())
    chain.lock(connection)


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
    theirs = recordings_of(connection, ids)
    works = set[str]().union(
        *(held.calls.get(one, set()) for one in ids),
        *(held.recordings.get(one.reference or "", set()) for one in theirs),
    )
    why += sorted(works, reverse=True)  # tickets first: most else waits for them
    absent = spool.absent()
    coming = (
        "is still being taken in"
        if absent is None
        else f"may still lie in the spool, and there is no folder {absent}: "
        "set SANSHENG_SERVICE_SPOOL or SANSHENG_SPOOL as the service has it"
    )
    why += [f"recording {one.key} {coming}" for one in _coming(theirs, spool)]
    if _unfinished(connection, ids):
        why.append("a message of it is taken in by the service, within 15 minutes of its beginning")
    return why


def recordings_of(connection: Connection, ids: Sequence[str]) -> list[Recording]:
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
    found = recordings_of(connection, [row.id for row in rows])
    return [one for one in found if one.reference is not None and one.erased_at is None]


def message_needed(
    connection: Connection, message: Row[Any], spool: Spool, held: Held
) -> Sequence[Recording] | None:
    """The recordings that go with a message of no call; None if somebody needs it still."""
    names = [one for one in (message.recording, message.surname_recording) if one]
    query = select(recordings).where(recordings.c.reference.in_(names))
    found = [Recording(**row._mapping) for row in connection.execute(query)]
    needed = any(recording_needed(connection, one, spool, held) for one in found)
    return None if needed or message.id in held.messages else found


def recording_needed(connection: Connection, one: Recording, spool: Spool, held: Held) -> bool:
    """Whether a recording must stay: open work names it, or the call in which it was made; or it
    is still being taken in."""
    named = one.reference in held.recordings or one.call_id in held.calls
    ids = [one.call_id] if one.call_id else []
    return named or bool(_coming([one], spool)) or _unfinished(connection, ids)


def _coming(found: Sequence[Recording], spool: Spool) -> list[Recording]:
    """Those of which something lies in the spool, or may do so where we see no spool."""
    found = [one for one in found if not one.quality]
    if not found or spool.absent() is not None:
        return list(found)
    left = spool.left()
    return [one for one in found if one.key in left]


def _unfinished(connection: Connection, ids: Sequence[str]) -> bool:
    """Whether a message will be made of a recording of these calls (`ivr.intake`)."""
    left = unfinished().where(calls.c.id.in_(list(ids)), calls.c.ended_at.is_not(None))
    return connection.execute(left).first() is not None
