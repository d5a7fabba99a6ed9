"""Who is at work and who waits, as rows for a table or for another program.

Rules this module keeps:

- Plain values in a fixed order; times are ISO 8601 in UTC, lengths are in seconds.
- An agent is a staff number, a phone and a title; nobody's name is known here (XJCA-6.1f).
- A caller is the id of a call; nobody's number stands here.
- What is shown is what callers are served by: `ivr.queueing` decides the order here, too.
- What reads the database blocks.

Serves XJCA-5k, XJCA-5l (ops see who was set busy, and why).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select

from ivr import floor
from ivr.staff import NOBODY, Staff
from ivr.store import Store
from ivr.tables import agent_log, agents, promises, seats

Row = dict[str, Any]


class NoAgent(Exception):
    """There is no such agent, or more than one; the message says what to do."""


def listed(store: Store, now: datetime, hotline: str | None = None) -> list[Row]:
    """The agents, by line and staff number: `seconds` is how long the state has lasted, `misses`
    how many calls in a row were missed, `after` the state that follows the call. Raises
    StorageFailed."""
    named = {
        column: column.label(f"agent_{column.name}")
        for column in (agents.c.hotline, agents.c.staff_number)
    }
    query = select(
        seats.c.hotline,
        seats.c.staff_number,
        seats.c.title,
        seats.c.departments,
        *(column for column in agents.c if column not in named),
        *named.values(),
    ).join(agents, seats.c.phone == agents.c.phone)
    if hotline is not None:
        query = query.where(seats.c.hotline == hotline)
    query = query.order_by(seats.c.hotline, seats.c.staff_number)
    with store.read() as connection:
        rows = connection.execute(query).all()
    found = []
    for row in rows:
        state = floor.phone(row, now).state
        over = state != row.state  # wrapping up has ended by itself
        since = row.until if over else row.since
        found.append(
            {
                "line": row.hotline,
                "staff_number": row.staff_number,
                "title": row.title,
                "phone": row.phone,
                "departments": list(row.departments),
                "state": state,
                "since": _time(since),
                "seconds": _seconds(now, since),
                "reason": "wrapped up" if over else row.reason,
                "misses": row.misses,
                "call": row.call_id,
                "call_line": row.agent_hotline or None,
                "after": row.after or None,
            }
        )
    return found


def phone(store: Store, staff_number: str, hotline: str | None = None) -> str:
    """The phone of an agent. Raises NoAgent, StorageFailed."""
    rows = [
        row
        for row in listed(store, datetime.now(UTC), hotline)
        if row["staff_number"] == staff_number
    ]
    phones = {row["phone"] for row in rows}
    if len(phones) > 1:
        lines = ", ".join(row["line"] for row in rows)
        raise NoAgent(f"{staff_number} is somebody else on each of {lines}: say which with --line")
    if not phones:
        where = f" on the line {hotline}" if hotline else ""
        raise NoAgent(f"there is no agent {staff_number}{where}: `sansheng agents` lists them")
    return str(phones.pop())


def history(
    store: Store, hotline: str | None = None, staff_number: str | None = None, limit: int = 100
) -> list[Row]:
    """Changes of agents' states, the latest first: `seconds` is how long the state before had
    lasted. Raises NoAgent, StorageFailed."""
    log = agent_log.c
    query = select(agent_log).order_by(log.id.desc()).limit(limit)
    if staff_number is not None:
        query = query.where(log.phone == phone(store, staff_number, hotline))
    elif hotline is not None:
        serving = select(seats.c.phone).where(seats.c.hotline == hotline)
        query = query.where(log.phone.in_(serving), or_(log.hotline == hotline, log.hotline == ""))
    with store.read() as connection:
        numbers: dict[str, list[str]] = {}
        for seat in connection.execute(select(seats).order_by(seats.c.staff_number)):
            numbers.setdefault(seat.phone, []).append(seat.staff_number)
        return [
            {
                "at": _time(row.at),
                "phone": row.phone,
                "staff_number": row.staff_number or ", ".join(numbers.get(row.phone, ())),
                "before": row.before,
                "seconds": round(row.seconds, 3),
                "state": row.state,
                "reason": row.reason,
                "line": row.hotline or None,
                "department": row.department or None,
                "call": row.call_id or None,
            }
            for row in connection.execute(query)
        ]


def waiting(
    store: Store, now: datetime, staff: Mapping[str, Staff], hotline: str | None = None
) -> list[Row]:
    """Who waits, in the order in which they are served: `ahead` and `minutes` are what the caller
    is told, `rings` is the staff number of the agent whose phone rings for the caller. `later` is
    when a call-back may be tried at the earliest, `promise` which one it keeps. Raises
    StorageFailed."""
    rows = []
    with store.read() as connection:
        seen = floor.read(connection, now, "", staff)
        waits = [place.ticket for place in seen.places if place.ticket]
        query = select(promises.c.place, promises.c.id).where(promises.c.place.in_(waits))
        kept: dict[str | None, str] = {row.place: row.id for row in connection.execute(query)}
        claimed = {row.place_id: row.staff_number for row in connection.execute(select(agents))}
        for place in sorted(seen.places, key=lambda one: (one.joined_at, one.id)):
            if hotline not in (None, place.hotline):
                continue
            talk = floor.talk(connection, place, now)
            file = staff.get(place.hotline, NOBODY).minutes(place.department)
            stands = seen.standing(place, file if talk is None else talk)
            asleep, rings = seen.asleep(place), claimed.get(place.id)
            promise = kept.get(place.ticket)
            told = stands.staffed and not asleep and rings is None
            rows.append(
                {
                    "call": place.call_id or (None if promise else place.ticket),
                    "promise": promise,
                    "line": place.hotline,
                    "department": place.department,
                    "wanted": place.staff_number or None,
                    "kind": place.kind,
                    "joined_at": _time(place.joined_at),
                    "seconds": _seconds(now, place.joined_at),
                    "ahead": stands.ahead if told else None,
                    "minutes": stands.minutes if told else None,
                    "rings": rings,
                    "later": _time(place.not_before) if place.not_before else None,
                }
            )
    return rows


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _seconds(now: datetime, since: datetime) -> float:
    return max(0.0, round((now - since).total_seconds(), 3))
