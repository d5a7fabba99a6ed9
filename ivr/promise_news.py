"""What is said of promises to ops (承诺播报): due soon, broken, given up; once each.

Rules this module keeps:

- As for tickets (`ivr.announcing`): what is to be said is claimed, said, and marked as said only
  then. A claim whose process died is taken over after `LEASE`; no crash and no failing database
  keeps anything from being said, and only a crash between saying and marking says it twice.
- A promise that people have dropped is no news. One that is tried again may be given up again.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves WRK-3.2, TEL-3.4c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, select, update

from ivr.leases import AT_ONCE, claimed, held
from ivr.promises import GIVEN_UP, IN_ORDER, OWED, Promise
from ivr.store import Store
from ivr.tables import promise_announcements as rows
from ivr.tables import promises

DUE_SOON, LATE, LEFT = "due_soon", "broken", "given_up"


@dataclass(frozen=True, slots=True)
class News:
    """One thing to be said of a promise."""

    what: str
    promise: Promise

    @property
    def key(self) -> dict[str, str]:
        return {"promise": self.promise.id, "what": self.what}


def claim(store: Store, lines: Mapping[str, float], now: datetime) -> list[News]:
    """What is to be said now, claimed for this process; `lines` says how many seconds ahead a
    promise is due soon (or half of the time promised, if that is less). Raises StorageFailed."""
    longest = timedelta(seconds=max(lines.values(), default=0.0))
    owed = promises.c
    wanted = {
        DUE_SOON: and_(
            owed.state.in_(OWED), owed.due_at <= now + longest, owed.due_at > now
        ),
        LATE: owed.broken_at.is_not(None),
        LEFT: owed.state == GIVEN_UP,
    }  # fmt: skip
    with store.read() as connection:
        found = [
            News(what, one)
            for what, condition in wanted.items()
            for one in _unsaid(connection, what, condition, now)
            if what != DUE_SOON or _near(one, lines, now)
        ]
    if not found:
        return []
    with store.write() as connection:
        return [one for one in found[:AT_ONCE] if claimed(connection, rows, one.key, now)]


def said(store: Store, news: News, now: datetime) -> None:
    """It was said. Raises StorageFailed."""
    with store.write() as connection:
        connection.execute(
            update(rows)
            .where(rows.c.promise == news.promise.id, rows.c.what == news.what)
            .values(told_at=now)
        )


def _near(one: Promise, lines: Mapping[str, float], now: datetime) -> bool:
    ahead = timedelta(seconds=lines.get(one.hotline, 0.0))
    return one.due_at - now <= min(ahead, (one.due_at - one.made_at) / 2)


def _unsaid(
    connection: Connection, what: str, condition: ColumnElement[bool], now: datetime
) -> list[Promise]:
    done = select(rows.c.promise).where(
        rows.c.promise == promises.c.id,
        rows.c.what == what,
        held(rows, now),
    )
    query = (
        select(promises)
        .where(condition, promises.c.dropped_at.is_(None), ~done.exists())
        .order_by(*IN_ORDER)
    )
    return [Promise(**row._mapping) for row in connection.execute(query)]
