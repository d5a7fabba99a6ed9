"""Promises to call back (承诺): a time with an owner, and what came of it.

Rules this module keeps:

- A promise is made in the same transaction as the message that it answers, or not at all; the
  caller is told which. Only a number that we may call back gets one, and no number more than
  `A_DAY` on one day of the line's calendar.
- The attempts to keep it are `ivr.attempts`.
- A promise whose time has passed is broken and stays so (`broken_at`), also if it is kept late.
- What came of it goes into the ticket's history in the same transaction.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves XJCA-6.2b, XJCA-6.2e, XJCA-6.3b, EMS-10, EMS-22, LKL-4.3, LKL-5.9, WRK-3.1, WRK-3.2, INF-7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from ivr import floor, tickets
from ivr.directory import normal, refusal
from ivr.hours import Hours
from ivr.inserting import insert_new
from ivr.redact import mask, masked
from ivr.store import Message, Store
from ivr.tables import promise_announcements as announcements
from ivr.tables import promises
from ivr.tables import tickets as ticket_rows

OPEN, CALLING, KEPT, BROKEN, GIVEN_UP = "open", "calling", "kept", "broken", "given_up"
DROPPED = "dropped"
STATES = (OPEN, CALLING, KEPT, BROKEN, GIVEN_UP, DROPPED)
"""open: to be kept; calling: an attempt runs; broken: its time has passed, and it is still tried;
given_up: nobody rings for it any more, people must see to it; dropped: given up by people, on
purpose (in the database given_up, with `dropped_at`)."""
OWED = (OPEN, CALLING, BROKEN, GIVEN_UP)
"""States in which somebody still waits for us."""

A_DAY = 3
"""Promises at most to one number on one day."""

IN_ORDER = (promises.c.due_at, promises.c.id)
"""The one due first first. Whoever changes several in one transaction goes by this: two who go
through them in different orders wait for each other for ever."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise. `place` is the reference under which its turn in a waiting line is kept: the
    note's, if the caller left a line for it, else the message's. `promised` is as written in the
    line's file (`24 h`); `tries` are the calls made to the person; `reason` says in words what
    came of it last."""

    id: str
    message_id: str
    place: str
    call_id: str | None
    hotline: str
    kind: str
    contact: str
    owner: str
    promised: str
    made_at: datetime
    due_at: datetime
    next_at: datetime
    state: str
    reason: str
    tries: int
    kept_at: datetime | None
    broken_at: datetime | None
    dropped_at: datetime | None


# ---------------------------------------------------------------- making


def refused(connection: Connection, message: Message, own: Collection[str], hours: Hours) -> str:
    """Why nothing can be promised to who left this message, in words; empty if it can (also if it
    has been). `own` are our own numbers."""
    why = refusal(message.contact, own)
    if why:
        return why
    contact = normal(message.contact)
    if connection.execute(
        select(promises.c.id).where(promises.c.message_id == message.id)
    ).scalar():
        return ""
    local = message.created_at.astimezone(hours.zone)
    today = datetime.combine(local.date(), time(0), hours.zone)
    made = connection.execute(
        select(func.count()).where(promises.c.contact == contact, promises.c.made_at >= today)
    ).scalar_one()
    return f"this number was promised {A_DAY} calls today" if made >= A_DAY else ""


def make(connection: Connection, message: Message, owner: str) -> None:
    """Promise to answer a message that is not `refused`, in its own transaction. It is made once,
    however often it is tried."""
    row = {
        "id": "p" + hashlib.sha256(message.id.encode()).hexdigest()[:15],
        "message_id": message.id,
        "place": _place(connection, message),
        "call_id": message.call_id,
        "hotline": message.hotline,
        "kind": message.kind,
        "contact": normal(message.contact),
        "owner": owner,
        "promised": message.within,
        "made_at": message.created_at,
        "due_at": message.due_at,
        "next_at": message.created_at,
        "state": OPEN,
        "reason": "",
        "tries": 0,
    }
    insert_new(connection, promises, [row])


def _place(connection: Connection, message: Message) -> str:
    """A call may leave one place behind, and several messages: the first has it."""
    note = message.fields.get("note", "")
    taken = select(promises.c.id).where(promises.c.place == note)
    return note if note and connection.execute(taken).first() is None else message.id


# ---------------------------------------------------------------- time passes, people do things


def passed(store: Store, now: datetime) -> list[Promise]:
    """Mark the promises whose time has passed, once each; returns them. Raises StorageFailed."""
    late = and_(
        promises.c.state.in_(OWED),
        promises.c.due_at <= now,
        promises.c.broken_at.is_(None),
        promises.c.dropped_at.is_(None),
    )
    with store.read() as connection:
        if connection.execute(select(promises.c.id).where(late).limit(1)).first() is None:
            return []
    with store.write() as connection:
        query = select(promises).where(late).order_by(*IN_ORDER)
        found = [Promise(**row._mapping) for row in connection.execute(query.with_for_update())]
        for one in found:
            state = BROKEN if one.state == OPEN else one.state
            connection.execute(
                update(promises).where(promises.c.id == one.id).values(broken_at=now, state=state)
            )
            tell_ticket(connection, one, "the promised time has passed", now, "promise_broken")
        return found


def answered(store: Store, now: datetime) -> list[str]:
    """People have solved the tickets of these promises themselves: they are kept. Returns their
    ids. Raises StorageFailed."""
    solved = (
        select(promises.c.id, ticket_rows.c.id.label("ticket"))
        .join(ticket_rows, ticket_rows.c.message_id == promises.c.message_id)
        .where(
            promises.c.state.in_([OPEN, BROKEN, GIVEN_UP]),
            ticket_rows.c.state.in_([tickets.DONE, tickets.CLOSED]),
        )
        .order_by(*IN_ORDER)
    )
    with store.read() as connection:
        rows = connection.execute(solved).all()
    if not rows:
        return []
    with store.write() as connection:
        return [
            row.id
            for row in rows
            if connection.execute(
                update(promises)
                .where(promises.c.id == row.id, promises.c.state.in_([OPEN, BROKEN, GIVEN_UP]))
                .values(
                    state=KEPT,
                    kept_at=now,
                    dropped_at=None,
                    reason=f"ticket {row.ticket} is solved",
                )
            ).rowcount
        ]


class NoPromise(Exception):
    """There is no promise of this id, or it cannot be changed like this now."""


def settle(store: Store, promise: str, state: str, who: str, reason: str, now: datetime) -> None:
    """People say what became of a promise: KEPT (they called themselves), GIVEN_UP, or OPEN: it
    is tried again from now on. `who` is a staff number, `reason` becomes one line. Raises
    NoPromise, StorageFailed."""
    reason = " ".join(reason.split())
    with store.write() as connection:
        found = connection.execute(
            select(promises).where(promises.c.id == promise).with_for_update()
        ).one_or_none()
        if found is None:
            raise NoPromise(f"there is no promise {promise}: `sansheng promises` lists them")
        if found.state in (CALLING, KEPT):
            raise NoPromise(f"promise {promise} is {found.state}: nothing can be changed now")
        if not found.contact:
            raise NoPromise(f"promise {promise} was erased with its call: nobody can be called")
        values: dict[str, Any] = {"state": state, "reason": f"{who}: {reason}".strip(": ")}
        values["dropped_at"] = now if state == GIVEN_UP else None
        if state == KEPT:
            values["kept_at"] = now
        if state == OPEN:
            values |= {"next_at": now, "tries": 0}
            values["state"] = BROKEN if found.broken_at else OPEN
            floor.hurry(connection, found.place)
            # given up once more, that is said once more
            connection.execute(
                delete(announcements).where(
                    announcements.c.promise == promise, announcements.c.what == GIVEN_UP
                )
            )
        connection.execute(update(promises).where(promises.c.id == promise).values(**values))
        one = Promise(**found._mapping)
        tell_ticket(connection, one, reason or state, now, f"promise_{state}", who)


def complained_of(connection: Connection, message: str) -> str:
    """The staff number of the agent of whom this message complains: whoever is called back for it
    must not be called by them. Empty if there is none."""
    query = select(ticket_rows.c.staff_number).where(ticket_rows.c.message_id == message)
    return str(connection.execute(query).scalar() or "")


def tell_ticket(
    connection: Connection,
    one: Promise,
    text: str,
    now: datetime,
    what: str = "callback",
    who: str = "service",
) -> None:
    """Write into the history of the promise's ticket, if it has one."""
    ticket = tickets.of_message(connection, one.message_id)
    if ticket:
        tickets.add(connection, ticket, what, who, now, text)


# ---------------------------------------------------------------- reading


def listed(
    store: Store,
    *,
    hotline: str | None = None,
    states: Collection[str] = OWED,
    due_before: datetime | None = None,
    limit: int = 1000,
) -> list[Promise]:
    """Promises in these states, the one due first first. Raises StorageFailed."""
    on_purpose = promises.c.dropped_at.is_not(None)
    held = and_(promises.c.state.in_(list(states)), promises.c.dropped_at.is_(None))
    query = (
        select(promises)
        .where(or_(held, on_purpose) if DROPPED in states else held)
        .order_by(*IN_ORDER)
        .limit(limit)
    )
    if hotline is not None:
        query = query.where(promises.c.hotline == hotline)
    if due_before is not None:
        query = query.where(promises.c.due_at <= due_before)
    with store.read() as connection:
        return [Promise(**row._mapping) for row in connection.execute(query)]


def found(store: Store, promise: str) -> Promise:
    """The promise with this id. Raises NoPromise, StorageFailed."""
    with store.read() as connection:
        row = connection.execute(select(promises).where(promises.c.id == promise)).one_or_none()
    if row is None:
        raise NoPromise(f"there is no promise {promise}: `sansheng promises` lists them")
    return Promise(**row._mapping)


@dataclass(frozen=True, slots=True)
class Report:
    """How a line kept its promises: `late` were kept after their time, `broken` are past their
    time and not kept, `given_up` need people, whether their time has passed or not; `dropped` are
    those that people gave up on purpose."""

    hotline: str
    made: int = 0
    kept: int = 0
    late: int = 0
    open: int = 0
    broken: int = 0
    given_up: int = 0
    dropped: int = 0


def report(store: Store, since: datetime | None = None, hotline: str | None = None) -> list[Report]:
    """One row a line, or of this one only, of the promises made since then. Raises
    StorageFailed."""
    held = promises.c
    broken, still = held.broken_at.is_not(None), held.dropped_at.is_(None)

    def count(*conditions: Any) -> Any:
        return func.count().filter(and_(*conditions))

    query = (
        select(
            held.hotline,
            func.count().label("made"),
            count(held.state == KEPT, held.broken_at.is_(None)).label("kept"),
            count(held.state == KEPT, broken).label("late"),
            count(held.state.in_([OPEN, CALLING]), held.broken_at.is_(None)).label("open"),
            count(held.state != KEPT, broken, still).label("broken"),
            count(held.state == GIVEN_UP, still).label("given_up"),
            count(held.dropped_at.is_not(None)).label("dropped"),
        )
        .group_by(held.hotline)
        .order_by(held.hotline)
    )
    if since is not None:
        query = query.where(held.made_at >= since)
    if hotline is not None:
        query = query.where(held.hotline == hotline)
    with store.read() as connection:
        return [Report(**row._mapping) for row in connection.execute(query)]


def told(one: Promise) -> dict[str, str]:
    """What is announced of a promise: no whole number of a caller."""
    return {
        "promise": one.id,
        "line": one.hotline,
        "kind": one.kind,
        "owner": one.owner,
        "contact": mask(one.contact),
        "state": one.state,
        "tries": str(one.tries),
        "due": one.due_at.isoformat(timespec="seconds"),
        "reason": masked(one.reason),
    }
