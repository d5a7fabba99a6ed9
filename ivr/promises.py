"""Promises to call back (承诺): a time with an owner, the attempts to keep it, and what came of it.

Rules this module keeps:

- A promise is made in the same transaction as the message that it answers, or not at all; the
  caller is told which. Only a number that we may call back gets one, and no number more than
  `A_DAY` on one day of the line's calendar.
- An attempt is a row before anybody is rung. While it runs it holds its promise and its number,
  across processes; that it is about to ring the person is committed before it does
  (`dialling`), and from then on it counts, whatever happens to us.
- A promise whose time has passed is broken and stays so (`broken_at`), also if it is kept late.
- What came of it goes into the ticket's history in the same transaction.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves XJCA-6.2b, XJCA-6.2e, XJCA-6.3b, EMS-10, EMS-22, LKL-4.3, LKL-5.9, WRK-3.1, WRK-3.2, INF-7.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, select, update

from ivr import tickets
from ivr.callback_rules import Rules
from ivr.directory import normal, refusal
from ivr.hours import Hours
from ivr.redact import mask
from ivr.store import Message, Store, insert_new
from ivr.tables import attempts, promises
from ivr.tables import tickets as ticket_rows

OPEN, CALLING, KEPT, BROKEN, GIVEN_UP = "open", "calling", "kept", "broken", "given_up"
STATES = (OPEN, CALLING, KEPT, BROKEN, GIVEN_UP)
"""open: to be kept; calling: an attempt runs; broken: its time has passed, and it is still tried;
given_up: nobody rings for it any more, people must see to it."""
OWED = (OPEN, CALLING, BROKEN, GIVEN_UP)
"""States in which somebody still waits for us."""

CONNECTED = "connected"
WRONG_PERSON = "wrong_person"
NO_AGENT = "no_agent"
UNKNOWN = "unknown"
RESULTS = (
    CONNECTED,
    "busy",
    "no_answer",
    "unreachable",
    WRONG_PERSON,
    "unconfirmed",  # somebody answered and did not say that it is the right person
    "refused",
    NO_AGENT,
    "failed",
    UNKNOWN,  # we died while it ran
)
"""What an attempt may come to."""

A_DAY = 3
"""Promises at most to one number on one day."""
AGAIN = timedelta(seconds=60)
"""Until a promise is looked at again for which no agent could be had."""


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
    soon_told_at: datetime | None
    broken_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `dialled_at` is None if the person was never rung; `ended_at` is None while it
    runs. `talked` is in seconds, `agent` a staff number."""

    id: str
    promise: str
    contact: str
    channel_id: str
    call_id: str
    owner: str
    made_at: datetime
    agent: str
    dialled_at: datetime | None
    ended_at: datetime | None
    result: str
    talked: float


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


# ---------------------------------------------------------------- attempts


def callable_now(store: Store, now: datetime, limit: int = 200) -> list[Promise]:
    """Promises that may be tried at this moment, as far as the promises themselves go; the one
    due first first. Raises StorageFailed."""
    query = (
        select(promises)
        .where(promises.c.state.in_([OPEN, BROKEN]), promises.c.next_at <= now)
        .order_by(promises.c.due_at, promises.c.made_at, promises.c.id)
        .limit(limit)
    )
    with store.read() as connection:
        return [Promise(**row._mapping) for row in connection.execute(query)]


def begin(
    store: Store, promise: str, owner: str, system: str, now: datetime, most: int
) -> Attempt | None:
    """Begin an attempt: it holds the promise and the number from now on. None if somebody else
    holds one of them, or if there is nothing (more) to be tried. `system` is the name of the
    Asterisk, `most` are the calls that may be made. Raises StorageFailed."""
    from ivr.journal import call_id

    with store.write() as connection:
        found = connection.execute(
            select(promises).where(promises.c.id == promise).with_for_update()
        ).one_or_none()
        if found is None or found.state not in (OPEN, BROKEN) or found.next_at > now:
            return None
        if found.tries >= most:
            return None
        name = secrets.token_hex(8)
        channel = f"sansheng-callback-{name}"
        row: dict[str, Any] = {
            "id": name,
            "promise": promise,
            "contact": found.contact,
            "channel_id": channel,
            "call_id": call_id(system, channel),
            "owner": owner,
            "made_at": now,
            "agent": "",
            "dialled_at": None,
            "ended_at": None,
            "result": "",
            "talked": 0.0,
        }
        if not insert_new(connection, attempts, [row]):
            return None
        connection.execute(update(promises).where(promises.c.id == promise).values(state=CALLING))
        return Attempt(**row)


def dialling(store: Store, attempt: str, agent: str, now: datetime) -> bool:
    """The person is about to be rung; from now on the attempt counts. False if it is over, or has
    been dialled before: then nobody may be rung. Raises StorageFailed."""
    with store.write() as connection:
        changed = connection.execute(
            update(attempts)
            .where(
                attempts.c.id == attempt,
                attempts.c.dialled_at.is_(None),
                attempts.c.ended_at.is_(None),
            )
            .values(dialled_at=now, agent=agent)
        )
        if changed.rowcount != 1:
            return False
        of = select(attempts.c.promise).where(attempts.c.id == attempt).scalar_subquery()
        connection.execute(
            update(promises).where(promises.c.id == of).values(tries=promises.c.tries + 1)
        )
        return True


def end(
    store: Store, attempt: str, result: str, now: datetime, rules: Rules, talked: float = 0.0
) -> Promise | None:
    """An attempt is over; the promise goes on, is kept or is given up. Returns it as it is now;
    None if the attempt was over before. Raises StorageFailed."""
    if result not in RESULTS:
        raise ValueError(f"an attempt cannot come to '{result}'")
    with store.write() as connection:
        changed = connection.execute(
            update(attempts)
            .where(attempts.c.id == attempt, attempts.c.ended_at.is_(None))
            .values(ended_at=now, result=result, talked=talked)
        )
        if changed.rowcount != 1:
            return None
        row = connection.execute(select(attempts).where(attempts.c.id == attempt)).one()
        one = Promise(
            **connection.execute(
                select(promises).where(promises.c.id == row.promise)
            ).one()._mapping
        )  # fmt: skip
        values = _after(one, Attempt(**row._mapping), now, rules)
        connection.execute(update(promises).where(promises.c.id == one.id).values(**values))
        _tell_ticket(connection, one, f"{result} {row.agent}".strip(), now)
        if values["state"] == GIVEN_UP:
            _tell_ticket(connection, one, values["reason"], now, "given_up")
        return Promise(
            **connection.execute(select(promises).where(promises.c.id == one.id)).one()._mapping
        )


def _after(one: Promise, attempt: Attempt, now: datetime, rules: Rules) -> dict[str, Any]:
    """What becomes of a promise after an attempt."""
    if attempt.result == CONNECTED:
        return {"state": KEPT, "kept_at": now, "reason": f"talked to {attempt.agent}".strip()}
    if attempt.result == WRONG_PERSON:
        return {"state": GIVEN_UP, "reason": "the number is somebody else's"}
    if one.tries >= rules.attempts:
        reason = f"not reached in {one.tries} calls, the last time: {attempt.result}"
        return {"state": GIVEN_UP, "reason": reason}
    pause = AGAIN if attempt.dialled_at is None else timedelta(seconds=rules.spacing)
    return {
        "state": BROKEN if one.broken_at else OPEN,
        "reason": attempt.result,
        "next_at": now + pause,
    }


def running(store: Store) -> list[Attempt]:
    """Attempts that run, whoever runs them. Raises StorageFailed."""
    query = select(attempts).where(attempts.c.ended_at.is_(None)).order_by(attempts.c.made_at)
    with store.read() as connection:
        return [Attempt(**row._mapping) for row in connection.execute(query)]


def adopt(store: Store, attempt: Attempt, owner: str) -> bool:
    """Take over an attempt whose process has died; False if somebody was faster. Raises
    StorageFailed."""
    with store.write() as connection:
        changed = connection.execute(
            update(attempts)
            .where(
                attempts.c.id == attempt.id,
                attempts.c.owner == attempt.owner,
                attempts.c.ended_at.is_(None),
            )
            .values(owner=owner)
        )
        return changed.rowcount == 1


# ---------------------------------------------------------------- time passes, people do things


def passed(store: Store, now: datetime) -> list[Promise]:
    """Mark the promises whose time has passed, once each; returns them. Raises StorageFailed."""
    late = and_(
        promises.c.state.in_(OWED), promises.c.due_at <= now, promises.c.broken_at.is_(None)
    )
    with store.read() as connection:
        if connection.execute(select(promises.c.id).where(late).limit(1)).first() is None:
            return []
    with store.write() as connection:
        query = select(promises).where(late).order_by(promises.c.due_at).with_for_update()
        found = [Promise(**row._mapping) for row in connection.execute(query)]
        for one in found:
            state = BROKEN if one.state == OPEN else one.state
            connection.execute(
                update(promises).where(promises.c.id == one.id).values(broken_at=now, state=state)
            )
            _tell_ticket(connection, one, "the promised time has passed", now, "promise_broken")
        return found


def due_soon(store: Store, lines: Mapping[str, float], now: datetime) -> list[Promise]:
    """Promises that fall due within so many seconds (by line; half of the time that was promised,
    if that is less), each once; returns them. Raises StorageFailed."""
    longest = max(lines.values(), default=0.0)
    near = and_(
        promises.c.state.in_(OWED),
        promises.c.due_at <= now + timedelta(seconds=longest),
        promises.c.due_at > now,
        promises.c.soon_told_at.is_(None),
    )
    with store.read() as connection:
        rows = connection.execute(select(promises).where(near)).all()
    soon = []
    for row in rows:
        one = Promise(**row._mapping)
        ahead = timedelta(seconds=lines.get(one.hotline, 0.0))
        if one.due_at - now <= min(ahead, (one.due_at - one.made_at) / 2):
            soon.append(one)
    if not soon:
        return []
    with store.write() as connection:
        return [
            one
            for one in soon
            if connection.execute(
                update(promises)
                .where(promises.c.id == one.id, promises.c.soon_told_at.is_(None))
                .values(soon_told_at=now)
            ).rowcount
        ]


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
                .values(state=KEPT, kept_at=now, reason=f"ticket {row.ticket} is solved")
            ).rowcount
        ]


class NoPromise(Exception):
    """There is no promise of this id, or it cannot be changed like this now."""


def settle(store: Store, promise: str, state: str, who: str, reason: str, now: datetime) -> None:
    """People say what became of a promise: KEPT (they called themselves), GIVEN_UP, or OPEN: it
    is tried again from now on. `who` is a staff number. Raises NoPromise, StorageFailed."""
    with store.write() as connection:
        found = connection.execute(
            select(promises).where(promises.c.id == promise).with_for_update()
        ).one_or_none()
        if found is None:
            raise NoPromise(f"there is no promise {promise}: `sansheng promises` lists them")
        if found.state in (CALLING, KEPT):
            raise NoPromise(f"promise {promise} is {found.state}: nothing can be changed now")
        values: dict[str, Any] = {"state": state, "reason": f"{who}: {reason}".strip(": ")}
        if state == KEPT:
            values["kept_at"] = now
        if state == OPEN:
            values |= {"next_at": now, "tries": 0}
            values["state"] = BROKEN if found.broken_at else OPEN
        connection.execute(update(promises).where(promises.c.id == promise).values(**values))
        one = Promise(**found._mapping)
        _tell_ticket(connection, one, reason or state, now, f"promise_{state}", who)


def _tell_ticket(
    connection: Connection,
    one: Promise,
    text: str,
    now: datetime,
    what: str = "callback",
    who: str = "service",
) -> None:
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
    query = (
        select(promises)
        .where(promises.c.state.in_(list(states)))
        .order_by(promises.c.due_at, promises.c.id)
        .limit(limit)
    )
    if hotline is not None:
        query = query.where(promises.c.hotline == hotline)
    if due_before is not None:
        query = query.where(promises.c.due_at <= due_before)
    with store.read() as connection:
        return [Promise(**row._mapping) for row in connection.execute(query)]


def tried(store: Store, promise: str) -> list[Attempt]:
    """The attempts to keep a promise, oldest first. Raises StorageFailed."""
    query = select(attempts).where(attempts.c.promise == promise).order_by(attempts.c.made_at)
    with store.read() as connection:
        return [Attempt(**row._mapping) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Report:
    """How a line kept its promises: `late` were kept after their time, `broken` are past their
    time and not kept, `given_up` need people, whether their time has passed or not."""

    hotline: str
    made: int = 0
    kept: int = 0
    late: int = 0
    open: int = 0
    broken: int = 0
    given_up: int = 0


def report(store: Store, since: datetime | None = None) -> list[Report]:
    """One row a line, of the promises made since then. Raises StorageFailed."""
    held = promises.c
    broken = held.broken_at.is_not(None)

    def count(*conditions: Any) -> Any:
        return func.count().filter(and_(*conditions))

    query = (
        select(
            held.hotline,
            func.count().label("made"),
            count(held.state == KEPT, held.broken_at.is_(None)).label("kept"),
            count(held.state == KEPT, broken).label("late"),
            count(held.state.in_([OPEN, CALLING]), held.broken_at.is_(None)).label("open"),
            count(held.state != KEPT, broken).label("broken"),
            count(held.state == GIVEN_UP).label("given_up"),
        )
        .group_by(held.hotline)
        .order_by(held.hotline)
    )
    if since is not None:
        query = query.where(held.made_at >= since)
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
        "reason": one.reason,
    }
