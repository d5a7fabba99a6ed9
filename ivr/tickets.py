"""Tickets (工单): what callers left becomes work with an owner and a time, followed until solved.

Rules this module keeps:

- Every message opens one ticket, in the message's own transaction. Its due time is the promise
  that the caller heard; where nothing was promised, the promise of its kind is the aim.
- All that happens to a ticket goes into the history that nobody can change (`ivr.chain`), with
  the staff number of who did it. Nothing is edited and nothing is deleted: what was wrong is
  put right by what is added.
- People are staff numbers here, never names.
- What blocks says so: on an event loop it goes through `clock.in_executor`.

Serves XJCA-6.2b, XJCA-6.2d, XJCA-6.2e, EMS-10, EMS-16, EMS-22, LKL-5.6, LKL-5.9, TEL-3.4a to
TEL-3.4c, CCB-7, WRK-3.2.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Connection, Select, select, update

from ivr.chain import OPENED, append, lock
from ivr.hours import Hours
from ivr.store import Message, Store
from ivr.tables import messages, ticket_history, tickets
from ivr.ticket_rules import GRADES, WITHOUT, Rules

NEW, TAKEN, DONE, CLOSED = "new", "taken", "done", "closed"
WAITING = ("waiting_form", "waiting_documents", "waiting_caller")
STATES = (NEW, TAKEN, *WAITING, DONE, CLOSED)
OPEN = (NEW, TAKEN, *WAITING)
"""States in which somebody still owes an answer."""

BEFORE: Mapping[str, tuple[str, ...]] = {
    TAKEN: (*OPEN, DONE, CLOSED),  # by another person, or opened again
    **dict.fromkeys(WAITING, (TAKEN, *WAITING)),
    DONE: (TAKEN, *WAITING),
    CLOSED: (DONE,),
}
"""From which states a ticket may come into each."""

REMARKS = ("remark", "follow_up", "report")
"""What may be added to a ticket: a remark (备注), a follow-up call (回访), a report (书面报告)."""

LEARNED = "learned"
"""What the history says when a ticket's message is known better."""

NEEDED: Mapping[str, tuple[str, ...]] = {"very_serious": ("follow_up", "report")}
"""What a ticket of this grade must have before it is closed (CCB-7)."""

AIM = "24 h"
"""Within which time a ticket is to be solved that no line's promise covers."""

LONGEST = 1000
"""Characters of a remark."""


class NoTicket(Exception):
    """There is no ticket of this id."""


class NotNow(Exception):
    """A ticket cannot be changed like this; the message says why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """By which rules and hours a line's tickets are opened."""

    rules: Rules = field(default_factory=Rules)
    hours: Hours = field(default_factory=lambda: Hours(ZoneInfo("Asia/Shanghai")))


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket. `asked` are the values that say what is asked, `promised` the promise as it is
    written in the line's file, empty if the caller was promised nothing."""

    id: str
    message_id: str | None
    call_id: str | None
    hotline: str
    kind: str
    urgency: str
    complexity: str
    grade: str
    owner: str
    taken_by: str
    state: str
    asked: Mapping[str, str]
    caller: str
    contact: str
    staff_number: str
    recording: str
    surname_recording: str
    promised: str
    opened_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a ticket's history. `changes` are the ticket's values that it set."""

    seq: int
    at: str
    what: str
    who: str
    text: str
    changes: Mapping[str, Any]


# ---------------------------------------------------------------- opening


def open_(connection: Connection, message: Message, terms: Terms, at: datetime) -> str:
    """Open the ticket of a message, in the message's transaction; returns its id. One that has a
    ticket keeps it; a kind that asks nobody for anything gets none, and the id is empty."""
    if message.kind in WITHOUT:
        return ""
    found = connection.execute(
        select(tickets.c.id).where(tickets.c.message_id == message.id)
    ).scalar()
    if found is not None:
        return str(found)
    changes = {
        **_from(message),
        **_by_rule(message, terms),
        "message_id": message.id,
        "taken_by": "",
        "state": message.state,  # those are states of tickets, too
        "opened_at": message.created_at,
    }
    return append(connection, "", OPENED, message.source, at, changes)


def _from(message: Message) -> dict[str, Any]:
    item = {"item": message.item} if message.item else {}
    return {
        "call_id": message.call_id,
        "hotline": message.hotline,
        "kind": message.kind,
        "asked": {**item, **message.fields},
        "caller": message.caller,
        "contact": message.contact,
        "staff_number": message.staff_number,
        "recording": message.recording,
        "surname_recording": message.surname_recording,
        "promised": message.within,
    }


def _by_rule(message: Message, terms: Terms) -> dict[str, Any]:
    rule = terms.rules.rule(message.kind)
    aim = terms.rules.promise(message.kind) or AIM
    return {
        "urgency": rule.urgency,
        "complexity": rule.complexity,
        "grade": rule.grade,
        "owner": rule.owner,
        "due_at": message.due_at or terms.hours.due(message.created_at, aim),
    }


def learn(connection: Connection, message: Message, terms: Terms, at: datetime) -> None:
    """A message that was taken in without its caller is known better now; so is its ticket. What
    people have set since stays as they set it."""
    found = of_message(connection, message.id)
    if not found:
        return
    lock(connection)
    by_us = (OPENED, LEARNED)
    steps = select(ticket_history.c.data).where(
        ticket_history.c.ticket == found, ticket_history.c.what.not_in(by_us)
    )
    by_hand = {name for data in connection.execute(steps).scalars() for name in _set(data)}
    changes = {**_from(message), **_by_rule(message, terms)}
    kept = {name: value for name, value in changes.items() if name not in by_hand}
    append(connection, found, LEARNED, message.source, at, kept)


def _set(data: str) -> Mapping[str, Any]:
    """What a row of the history set."""
    changes: Mapping[str, Any] = json.loads(data)["set"]
    return changes


def lacking(*columns: Column[Any]) -> Select[Any]:
    """These columns of the messages that should have a ticket, and have none; oldest first."""
    return (
        select(*(columns or messages.c))
        .outerjoin_from(messages, tickets, tickets.c.message_id == messages.c.id)
        .where(tickets.c.id.is_(None), messages.c.kind.not_in(sorted(WITHOUT)))
        .order_by(messages.c.created_at, messages.c.id)
    )


def without(connection: Connection) -> list[Message]:
    """Messages that should have a ticket, and have none: those of an older version."""
    return [Message(**row._mapping) for row in connection.execute(lacking())]


# ---------------------------------------------------------------- changing


def take(store: Store, ticket: str, who: str, at: datetime, text: str = "") -> Ticket:
    """Somebody takes a ticket on (受理), or over, or opens it again. Blocks. Raises NoTicket,
    NotNow, StorageFailed."""
    return change(store, ticket, TAKEN, who, at, text, taken_by=who)


def change(
    store: Store, ticket: str, state: str, who: str, at: datetime, text: str = "", **more: str
) -> Ticket:
    """Bring a ticket into another state; blocks. `more` are other columns that it changes.

    Raises NoTicket, NotNow, StorageFailed.
    """
    with store.write() as connection:
        lock(connection)
        found = _found(connection, ticket)
        if found.state not in BEFORE.get(state, ()):
            befores = ", ".join(BEFORE.get(state, ()))
            raise NotNow(
                f"ticket {ticket} is {found.state}: it can become {state} when it is {befores}"
            )
        if state == CLOSED:
            _may_close(connection, found)
        add(connection, ticket, state, who, at, text, state=state, **more)
        return _found(connection, ticket)


def _may_close(connection: Connection, ticket: Ticket) -> None:
    done = select(ticket_history.c.what).where(ticket_history.c.ticket == ticket.id)
    missing = set(NEEDED.get(ticket.grade, ())) - set(connection.execute(done).scalars())
    if missing:
        raise NotNow(
            f"ticket {ticket.id} is {ticket.grade}: before it is closed it needs its "
            f"{' and its '.join(sorted(missing))}; add them as remarks"
        )


def remark(
    store: Store, ticket: str, who: str, at: datetime, text: str, what: str = "remark"
) -> None:
    """Add a remark to a ticket, in whatever state it is; blocks. `what` is one of REMARKS.
    Raises NoTicket, NotNow, StorageFailed."""
    if what not in REMARKS:
        raise NotNow(f"'{what}' is no remark: choose one of {', '.join(REMARKS)}")
    if not text.strip():
        raise NotNow("a remark says something")
    with store.write() as connection:
        _found(connection, ticket)
        add(connection, ticket, what, who, at, text)


def assign(store: Store, ticket: str, owner: str, who: str, at: datetime, text: str = "") -> None:
    """Give a ticket to another owner (转派); blocks. Raises NoTicket, NotNow, StorageFailed."""
    with store.write() as connection:
        lock(connection)
        if _found(connection, ticket).state not in OPEN:
            raise NotNow(f"ticket {ticket} is no longer open: take it first")
        add(connection, ticket, "assigned", who, at, text, owner=owner)


def grade(store: Store, ticket: str, grade: str, who: str, at: datetime, text: str = "") -> None:
    """Say how serious a complaint is (投诉等级); blocks. Raises NoTicket, NotNow, StorageFailed."""
    if grade not in GRADES:
        raise NotNow(f"'{grade}' is no grade: choose one of {', '.join(GRADES)}")
    with store.write() as connection:
        _found(connection, ticket)
        add(connection, ticket, "graded", who, at, text, grade=grade)


def add(
    connection: Connection,
    ticket: str,
    what: str,
    who: str,
    at: datetime,
    text: str = "",
    **changes: Any,
) -> None:
    """Add to a ticket's history in a transaction of the caller's (a call-back's result, say).
    `what` names it, `changes` are the ticket's columns that become something else. A message
    goes where its ticket goes."""
    append(connection, ticket, what, who, at, changes, text[:LONGEST])
    state = changes.get("state")
    if state is not None:
        of = select(tickets.c.message_id).where(tickets.c.id == ticket).scalar_subquery()
        known = {NEW: "new", DONE: "done", CLOSED: "done"}.get(state, "taken")
        connection.execute(update(messages).where(messages.c.id == of).values(state=known))


# ---------------------------------------------------------------- reading


def _found(connection: Connection, ticket: str) -> Ticket:
    row = connection.execute(select(tickets).where(tickets.c.id == ticket)).one_or_none()
    if row is None:
        raise NoTicket(f"there is no ticket {ticket}: `sansheng tickets` lists them")
    return Ticket(**row._mapping)


def found(store: Store, ticket: str) -> Ticket:
    """One ticket. Blocks. Raises NoTicket, StorageFailed."""
    with store.read() as connection:
        return _found(connection, ticket)


def of_message(connection: Connection, message: str) -> str:
    """The id of a message's ticket; empty if it has none. Blocks."""
    query = select(tickets.c.id).where(tickets.c.message_id == message)
    return str(connection.execute(query).scalar() or "")


def listed(
    store: Store,
    *,
    hotline: str | None = None,
    states: Collection[str] = OPEN,
    due_before: datetime | None = None,
    grades: Collection[str] = (),
    limit: int | None = 1000,
) -> list[Ticket]:
    """Tickets in these states, the one due first first; `grades`: only those of these grades.
    Blocks. Raises StorageFailed."""
    query = (
        select(tickets)
        .where(tickets.c.state.in_(list(states)))
        .order_by(tickets.c.due_at, tickets.c.id)
        .limit(limit)
    )
    if hotline is not None:
        query = query.where(tickets.c.hotline == hotline)
    if grades:
        query = query.where(tickets.c.grade.in_(list(grades)))
    if due_before is not None:
        query = query.where(tickets.c.due_at <= due_before)
    with store.read() as connection:
        return [Ticket(**row._mapping) for row in connection.execute(query)]


def history(store: Store, ticket: str) -> list[Step]:
    """All that happened to a ticket, oldest first. Blocks. Raises NoTicket, StorageFailed."""
    query = (
        select(ticket_history)
        .where(ticket_history.c.ticket == ticket)
        .order_by(ticket_history.c.seq)
    )
    with store.read() as connection:
        _found(connection, ticket)
        rows = connection.execute(query).all()
    steps = []
    for row in rows:
        data = json.loads(row.data)
        steps.append(Step(row.seq, row.at, row.what, row.who, data["text"], data["set"]))
    return steps


def standing(ticket: Ticket, now: datetime, due_soon: float) -> str:
    """`overdue`, `due_soon`, or empty: how a ticket stands at this moment. `due_soon` is in
    seconds; a ticket that has less time in all is due soon after half of it. Pure."""
    if ticket.state not in OPEN:
        return ""
    if now >= ticket.due_at:
        return "overdue"
    soon = min(timedelta(seconds=due_soon), (ticket.due_at - ticket.opened_at) / 2)
    return "due_soon" if now >= ticket.due_at - soon else ""
