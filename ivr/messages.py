"""What callers leave for the people of a line: messages, complaints, suggestions, who they are.

Rules this module keeps:

- A message is made of what the flow asked to be kept, once: the same wish of the same call makes
  the same message, however often it is tried.
- Its due time is reckoned from the promise that the line makes, when it is made.
- It opens its ticket in the same transaction (`ivr.tickets`): there is never one without the other.
- What it promises is a promise to call back (`ivr.promises`), made in the same transaction. A
  number that is not promised a call has no due time.
- Who does what about a message is its ticket's concern (`ivr.tickets`); its state goes with it.
- What blocks says so: on an event loop it goes through `clock.in_executor`.

Serves XJCA-6.4d, LKL-4.3, EMS-10, EMS-15, EMS-16, TEL-2.5a, INF-4, WRK-3.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select

from ivr import promises
from ivr.actions import Keep
from ivr.chain import lock
from ivr.directory import normal
from ivr.hours import Hours
from ivr.store import Call, Contact, Message, Store, write_rows
from ivr.tables import calls, messages, recordings
from ivr.ticket_rules import Rules
from ivr.tickets import Terms, open_

STATES = ("new", "taken", "done")
"""How far people have come with a message."""
OWN = ("contact", "recording", "quality", "staff_number", "item")
"""Values of a `Keep` that have a column of their own under the same name."""


def message_id(source_key: str) -> str:
    """The id of the message with this source."""
    return "m" + hashlib.sha256(source_key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def kept(
    call: Call, wish: Keep, hours: Hours, at: datetime, seconds: float = 0.0
) -> Message | Contact:
    """The row that a wish asks for, made at this time. Pure.

    `seconds` is the length of the recording. Raises BadFile if the promise is no promised time.
    """
    values = dict(wish.values)
    if wish.kind == "caller":
        number = normal(call.caller) or normal(values.get("contact", ""))
        if number:
            return Contact(call.hotline, number, {k: v for k, v in values.items() if v}, at)
    own = {name: values.pop(name, "") for name in OWN}
    source_key = f"{call.id}#{wish.id}"
    return Message(
        id=message_id(source_key),
        source="call",
        source_key=source_key,
        hotline=call.hotline,
        kind=wish.kind,
        created_at=at,
        call_id=call.id,
        caller=call.caller,
        surname_recording=values.pop("surname", ""),
        seconds=seconds,
        fields={name: value for name, value in values.items() if value},
        within=wish.within,
        due_at=hours.due(at, wish.within) if wish.within else None,
        **own,
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept: its reference, and whether what was to be promised with it is promised."""

    reference: str
    promised: bool = True


def keep(
    store: Store,
    call: Call,
    wish: Keep,
    hours: Hours,
    at: datetime,
    rules: Rules | None = None,
    own: Collection[str] = (),
) -> Kept:
    """Keep what a call wishes; blocks until it is committed.

    `rules` say what becomes of the message's ticket, `own` are our own numbers. Raises
    StorageFailed. The call itself must be committed before.
    """
    rules = rules or Rules()
    recording = dict(wish.values).get("recording", "")
    with store.write() as connection:
        lock(connection)  # what a number was promised today is counted by one at a time
        seconds = connection.execute(
            select(recordings.c.seconds).where(recordings.c.reference == recording)
        ).scalar()
        row = kept(call, wish, hours, at, seconds or 0.0)
        if isinstance(row, Contact):
            write_rows(connection, Contact, [row])
            return Kept(f"{row.hotline}/{row.number}")
        promised = row.due_at is None or not promises.refused(connection, row, own, hours)
        if not promised and row.contact:
            row = replace(row, within="", due_at=None)
        write_rows(connection, Message, [row])
        open_(connection, row, Terms(rules, hours), at)
        if promised and row.due_at is not None:
            promises.make(connection, row, rules.rule(row.kind).owner)
        return Kept(row.id, promised)


def listed(
    store: Store,
    *,
    hotline: str | None = None,
    state: str | None = None,
    call_id: str | None = None,
    limit: int = 100,
) -> list[Message]:
    """Messages, the latest first. Blocks. Raises StorageFailed."""
    query = select(messages).order_by(messages.c.created_at.desc(), messages.c.id).limit(limit)
    if hotline is not None:
        query = query.where(messages.c.hotline == hotline)
    if state is not None:
        query = query.where(messages.c.state == state)
    if call_id is not None:
        query = query.where(messages.c.call_id == call_id)
    with store.read() as connection:
        return [Message(**row._mapping) for row in connection.execute(query)]


def call_named(store: Store, system: str, uniqueid: str) -> str | None:
    """The id of the call that Asterisk knows by these names, None if we never had it. Blocks."""
    query = select(calls.c.id).where(calls.c.system == system, calls.c.uniqueid == uniqueid)
    with store.read() as connection:
        found = connection.execute(query).scalar()
    return None if found is None else str(found)
