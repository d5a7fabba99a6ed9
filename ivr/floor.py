"""Agents and places as they stand in the database: how they are read, and how a state changes.

Rules this module keeps:

- Every change of an agent's state goes through `change`, which leaves a row in the log of agents.
  The database itself refuses to change that log.
- What ends by itself (wrapping up) is read as ended at once, and written down by the next who
  writes, with the time when it ended.
- Everything here works within the transaction that it is given (see `ivr.agents`), and blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from ivr.inserting import insert_new
from ivr.queueing import BUSY, READY, TALKING, UNREACHABLE, WRAP_UP, Floor, Phone, Place, Seat
from ivr.staff import Staff, Transfer
from ivr.store import StorageFailed
from ivr.tables import agent_log, agents, owners, places, seats

DEAD = timedelta(seconds=10)
"""A process not seen for so long has died."""
RECENT = timedelta(days=1)
TALKS = 20
"""The likely wait is reckoned from so many talks at most, not older than RECENT."""

DIED = "the service died in a talk: *81 when that is over"
"""Why an agent is busy who was talking when the process died that had put the caller through."""
GONE = "Asterisk does not know where the phone is"
BACK = "the phone is there again"
NOT_REACHED = "the phone could not be reached"
BLINK = timedelta(seconds=10)
"""Who wraps up is not given up sooner after the phone has gone: a softphone registers anew."""
MISSED = frozenset({"no_answer", "no_key", "dropped", "unreachable"})
OUTCOMES = MISSED | {"free", "talked", "refused", "busy", "failed"}
"""What may have become of a claim (`ivr.actions.Release`)."""

UNCLAIMED: Mapping[str, Any] = {
    "call_id": None,
    "place_id": None,
    "owner": None,
    "hotline": "",
    "department": "",
    "staff_number": "",
    "after": "",
    "after_reason": "",
}
"""The columns of an agent whom nobody holds."""


# ---------------------------------------------------------------- statements

# those of every look at whose turn it is are made once: to think one up takes SQLAlchemy longer
# than to carry it out


def _alive(since: Any) -> Select[tuple[str]]:
    return select(owners.c.name).where(owners.c.seen_at >= since)


_LIVING = _alive(bindparam("alive_since"))
_AGENTS, _SEATS, _PLACES = select(agents), select(seats), select(places)
_AGENT = _AGENTS.where(agents.c.phone == bindparam("phone"))
_HELD = agents.c.owner.not_in(_LIVING)
_KEPT = places.c.owner.not_in(_LIVING)
_HAUNTED = select(or_(exists(select(agents).where(_HELD)), exists(select(places).where(_KEPT))))
_DEAD = delete(owners).where(owners.c.seen_at < bindparam("alive_since"))
_WRAPPED_UP = _AGENTS.where(agents.c.state == WRAP_UP, agents.c.until <= bindparam("now"))
_TALKS = (
    select(agent_log.c.seconds)
    .where(
        agent_log.c.before == TALKING,
        agent_log.c.at >= bindparam("recent"),
        agent_log.c.hotline == bindparam("hotline"),
        agent_log.c.department == bindparam("department"),
    )
    .order_by(agent_log.c.at.desc())
    .limit(TALKS)
    .subquery()
)
_TALK = select(func.avg(_TALKS.c.seconds))


def _since(now: datetime) -> dict[str, datetime]:
    return {"alive_since": now - DEAD}


def alive(now: datetime) -> Select[tuple[str]]:
    """The names of the processes that live."""
    return _alive(now - DEAD)


# ---------------------------------------------------------------- reading


def read(connection: Connection, now: datetime, owner: str, callbacks: Collection[str]) -> Floor:
    """Everything as it is at this time, without the places of processes that have died."""
    return _read(connection, _waiting(connection, now, owner), now, callbacks)


def look(connection: Connection, now: datetime, owner: str, callbacks: Collection[str]) -> Floor:
    """The same for whoever only asks whose turn it is: where nobody waits it is nobody's, and who
    could take a call is not read."""
    waiting = _waiting(connection, now, owner)
    if not waiting:
        return Floor((), {}, (), now, callbacks)
    return _read(connection, waiting, now, callbacks)


def _waiting(connection: Connection, now: datetime, owner: str) -> list[Place]:
    living = set(connection.execute(_LIVING, _since(now)).scalars()) | {owner}
    waiting = [place(row) for row in connection.execute(_PLACES)]
    return [one for one in waiting if one.owner is None or one.owner in living]


def _read(
    connection: Connection, waiting: Sequence[Place], now: datetime, callbacks: Collection[str]
) -> Floor:
    phones = {row.phone: phone(row, now) for row in connection.execute(_AGENTS)}
    listed = [
        Seat(row.hotline, row.staff_number, row.phone, frozenset(row.departments))
        for row in connection.execute(_SEATS)
    ]
    return Floor(listed, phones, waiting, now, callbacks)


def phone(row: Row[Any], now: datetime) -> Phone:
    """A phone as it is at this time."""
    over = row.state == WRAP_UP and row.until is not None and row.until <= now
    state, idle = (READY, row.until) if over else (row.state, row.idle_since)
    # only who went away while wrapping up still has a time until when that lasts
    blinks = row.state == UNREACHABLE and row.until is not None and now < row.since + BLINK
    return Phone(row.phone, state, idle, row.after, row.call_id, row.place_id, blinks)


def place(row: Row[Any]) -> Place:
    """A place, from its row."""
    values = dict(row._mapping)
    values["passed"] = {k: datetime.fromisoformat(v) for k, v in values["passed"].items()}
    return Place(**values)


def place_row(place: Place) -> dict[str, Any]:
    """The row of a place."""
    values = {name: getattr(place, name) for name in Place.__slots__}
    values["passed"] = {phone: at.isoformat() for phone, at in place.passed.items()}
    return values


def agent(connection: Connection, phone: str) -> Row[Any]:
    """The row of one phone. Raises KeyError."""
    row = connection.execute(_AGENT, {"phone": phone}).one_or_none()
    if row is None:
        raise KeyError(phone)
    return row


def talk(connection: Connection, place: Place, now: datetime) -> float | None:
    """How long the last talks in this department took on average, in minutes; None if there were
    none of late."""
    about = {"recent": now - RECENT, "hotline": place.hotline, "department": place.department}
    average = connection.execute(_TALK, about).scalar()
    return None if average is None else float(average) / 60


def rung_in_vain(connection: Connection, before: datetime) -> list[str]:
    """The phones that could not be reached when they were last rung, before this time."""
    since = agents.c.reason == NOT_REACHED, agents.c.since <= before
    query = select(agents.c.phone).where(agents.c.state == UNREACHABLE, *since)
    return list(connection.execute(query.order_by(agents.c.phone)).scalars())


def haunted(connection: Connection, now: datetime) -> bool:
    """Whether a process that has died still holds something."""
    return bool(connection.execute(_HAUNTED, _since(now)).scalar())


# ---------------------------------------------------------------- who sits where


def wanted(staff: Mapping[str, Staff]) -> list[dict[str, Any]]:
    """The rows of all seats that the files name, `staff` by line."""
    return [
        {
            "hotline": line,
            "staff_number": one.staff_number,
            "phone": one.phone,
            "departments": sorted(one.departments),
            "title": one.title,
        }
        for line, people in sorted(staff.items())
        for one in sorted(people.agents.values(), key=lambda one: one.staff_number)
    ]


def seated(connection: Connection) -> list[dict[str, Any]]:
    """The rows of all seats as they are, in the same order."""
    found = [dict(row._mapping) for row in connection.execute(select(seats))]
    return sorted(found, key=lambda row: (row["hotline"], row["staff_number"]))


def seat(connection: Connection, wanted: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """These seats and no others. A phone that is new begins as busy; of one that nobody names any
    more nothing stays but the log, unless a call has it."""
    fresh = {
        "state": BUSY,
        "since": now,
        "reason": "has not signed in yet",
        "idle_since": now,
        "misses": 0,
        "until": None,
        **UNCLAIMED,
    }
    phones = sorted({str(one["phone"]) for one in wanted})
    insert_new(connection, agents, [{"phone": phone, **fresh} for phone in phones])
    connection.execute(delete(seats))
    gone = agents.c.phone.not_in(phones), agents.c.call_id.is_(None)
    connection.execute(delete(agents).where(*gone))
    if wanted:
        connection.execute(insert(seats), list(wanted))


# ---------------------------------------------------------------- changing


def change(
    connection: Connection, row: Row[Any], state: str, reason: str, at: datetime, **values: Any
) -> None:
    """Set an agent's state and whatever changes with it, and write that into the log, with the
    call that the new state is for, or else that which the old one was for.

    Raises StorageFailed if the agent is no longer as `row` says: somebody was not kept waiting.
    """
    changed = {**values, "state": state, "since": at, "reason": reason}
    same = (
        agents.c.phone == row.phone,
        agents.c.state == row.state,
        agents.c.call_id.is_not_distinct_from(row.call_id),
    )
    if connection.execute(update(agents).where(*same).values(**changed)).rowcount != 1:
        raise StorageFailed(f"the phone {row.phone} is {row.state} no longer")
    about = values if values.get("call_id") else row._mapping
    connection.execute(
        insert(agent_log).values(
            at=at,
            phone=row.phone,
            staff_number=about["staff_number"],
            hotline=about["hotline"],
            department=about["department"],
            call_id=about["call_id"] or "",
            before=row.state,
            state=state,
            seconds=max(0.0, (at - row.since).total_seconds()),
            reason=reason,
        )
    )


def unclaim(
    connection: Connection,
    row: Row[Any],
    outcome: str,
    transfer: Transfer,
    at: datetime,
    why: str = "",
) -> str:
    """End the claim on an agent; `why` is for the log where the outcome alone says too little.
    Returns the agent's state after it."""
    state, reason, values = after(row, outcome, transfer, at)
    change(connection, row, state, why or reason, at, **{**UNCLAIMED, **values})
    return state


def after(
    row: Row[Any], outcome: str, transfer: Transfer, now: datetime
) -> tuple[str, str, dict[str, Any]]:
    """The state of an agent after a claim that ended so, why, and what else changes.

    talked: wrapping up. Not rung after all, on the phone, refused, our own trouble: ready.
    Unreachable: so, unless the phone was found meanwhile. Missed: ready. But who missed, or was
    unreachable, once too often in a row is busy. What the agent or ops asked for meanwhile, or a
    phone that has gone, comes before that.
    """
    state, reason = READY, outcome
    values: dict[str, Any] = {"idle_since": now, "until": None}
    match outcome:
        case "free":
            values = {"until": None}
        case "talked":
            values["misses"] = 0
            if transfer.wrap_up:
                state = WRAP_UP
                values["until"] = now + timedelta(seconds=transfer.wrap_up)
        case "refused" | "busy":  # whoever refuses, or is on the phone, is there
            values["misses"] = 0
        case _ if outcome in MISSED:
            if outcome == "unreachable" and row.after_reason == BACK:
                reason = BACK  # where it was rung it is no more; Asterisk will not say so again
            elif outcome == "unreachable":
                state, reason = UNREACHABLE, NOT_REACHED
            values["misses"] = row.misses + 1
            if values["misses"] >= transfer.misses:
                times = {1: "once", 2: "twice"}.get(values["misses"], f"{values['misses']} times")
                state, reason = BUSY, f"missed {times} in a row: {outcome}"
    if row.after and state in (READY, WRAP_UP, UNREACHABLE):
        state, reason = row.after, row.after_reason
        if state == BUSY:
            values["until"] = None
    return state, reason, values


def reached(connection: Connection, phones: Mapping[str, bool], now: datetime) -> bool:
    """Take over what Asterisk says of these phones: whether it knows where they are. Returns
    whether that changed anything.

    Who was ready, or wrapping up, is unreachable while the phone is away, and afterwards what they
    were; who is busy stays so. In a call nothing changes before its end: until then it is noted.
    """
    changed = False
    for row in connection.execute(select(agents).where(agents.c.phone.in_(phones))).all():
        there, wraps_up = phones[row.phone], row.until is not None and row.until > now
        if row.call_id is not None:
            noted = ("", BACK) if there else (UNREACHABLE, GONE)
            if row.after == BUSY or noted == (row.after, row.after_reason):
                continue
            values = dict(zip(("after", "after_reason"), noted, strict=True))
            connection.execute(update(agents).where(agents.c.phone == row.phone).values(**values))
        elif there and row.state == UNREACHABLE:
            idle = {} if wraps_up or row.until is None else {"idle_since": row.until, "until": None}
            change(connection, row, WRAP_UP if wraps_up else READY, BACK, now, **idle)
        elif not there and row.state in (READY, WRAP_UP):
            change(connection, row, UNREACHABLE, GONE, now)
        else:
            continue
        changed = True
    return changed


def wrapped_up(connection: Connection, now: datetime) -> None:
    """Write down who has finished wrapping up, at the time when that was."""
    for row in connection.execute(_WRAPPED_UP, {"now": now}).all():
        idle = {"idle_since": row.until, "until": None}
        change(connection, row, READY, "wrapped up", row.until, **idle)


def passed(connection: Connection, place: str | None, phone: str, now: datetime) -> None:
    """This phone was rung for this place in vain."""
    query = select(places.c.passed).where(places.c.id == place)
    before = connection.execute(query).scalar_one_or_none()
    if before is not None:
        values = {**before, phone: now.isoformat()}
        connection.execute(update(places).where(places.c.id == place).values(passed=values))


def hurry(connection: Connection, ticket: str) -> None:
    """The place of this call-back, if it has one, is kept for no later time any more."""
    kept = update(places).where(places.c.ticket == ticket, places.c.owner.is_(None))
    connection.execute(kept.values(not_before=None))


def bury(connection: Connection, now: datetime) -> None:
    """Free what processes hold that have died. An agent who was talking still is, as far as
    anybody knows (a conversation needs no service), and is busy until saying otherwise. The place
    of a call-back is kept for whoever serves it next."""
    since = _since(now)
    connection.execute(_DEAD, since)
    if not haunted(connection, now):
        return
    for row in connection.execute(_AGENTS.where(_HELD), since).all():
        if row.state == TALKING:
            values = {**UNCLAIMED, "misses": 0, "until": None}
            why = row.after_reason if row.after == BUSY else DIED
            change(connection, row, BUSY, why, now, **values)
        else:
            why = "the process that held it has died"
            unclaim(connection, row, "free", Transfer(), now, why)
    connection.execute(delete(places).where(_KEPT, places.c.kind == "caller"), since)
    kept = update(places).where(_KEPT, places.c.kind == "callback")
    connection.execute(kept.values(owner=None, call_id=None), since)
