"""Retention (留存): what is older than its line keeps it is erased by itself.

Rules this module keeps:

- A line's file says how long (`ivr.retention_rules`); one that says nothing keeps everything.
- What is open is not erased, however old it is (`ivr.erasing`); it goes once nobody needs it.
- A message of no call, which the dialplan took while we were away, is kept as long as a call: it
  names its caller as one does.
- A call and what was made for its sake go together, when the youngest of them is old enough.
- `sansheng retention` tells by the same steps what would go now, and writes nothing.
- A few at a time, with pauses: callers who wait for the same disk do not notice. Killed at any
  point, the next look goes on there.

Serves TEL-2.5b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, or_, select, tuple_

from ivr import chain, erasing, needs
from ivr.clock import Clock
from ivr.erasing import Trace
from ivr.needs import Held
from ivr.retention_rules import Rules, spoken
from ivr.spool import Spool
from ivr.store import Recording, StorageFailed, Store, for_the_sake_of
from ivr.tables import (
    attempts,
    calls,
    erased_recordings,
    erasures,
    messages,
    promises,
    recordings,
)

EVERY = 3600.0
"""Seconds between two looks."""
AT_ONCE = 10
"""Calls, or recordings, that are looked at in one transaction."""
PAUSE = 1.0
"""Seconds between two transactions."""
SERVICE = "service"
"""Who erases what has been kept for its time."""
KINDS = ("calls", "recordings", "messages")

log = structlog.get_logger("retention")

Place = tuple[datetime, str]
"""Where a page ends: a time and an id."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is older than its time: so many calls, recordings and messages of no call that go, and
    so many that somebody still needs. `after` is where the next page begins, None at the end."""

    calls: int = 0
    recordings: int = 0
    needed: int = 0
    messages: int = 0
    after: Place | None = None

    def __add__(self, other: Page) -> Page:
        return Page(
            self.calls + other.calls,
            self.recordings + other.recordings,
            self.needed + other.needed,
            self.messages + other.messages,
            other.after,
        )


def due(store: Store, spool: Spool, hotline: str, rules: Rules, now: datetime) -> Page:
    """What of this line would be erased now; nothing is. Blocks. Raises StorageFailed."""
    found = Page()
    with store.read() as connection:
        held, names, going = Held.read(connection), set[str](), set[str]()
        for row in _old_calls(connection, hotline, rules, now):
            family = _family(connection, row.id, rules, now)
            if needs.needed(connection, family, spool, now, held):
                found += Page(needed=1)
            elif family:
                going |= {one.key for one in needs.files(connection, family)}
                names |= {one.id for one in family}
        left = 0
        for row in _old_messages(connection, hotline, rules, now):
            its = needs.message_needed(connection, row, spool, held)
            if its is None:
                found += Page(needed=1)
            else:
                left += 1
                going |= {one.key for one in its if one.reference and one.erased_at is None}
        for one in _old_recordings(connection, hotline, rules, now):
            if _is_needed(connection, one, spool, held):
                found += Page(needed=one.key not in going)
            else:
                going.add(one.key)
    return found + Page(calls=len(names), recordings=len(going), messages=left)


def apply(
    store: Store,
    spool: Spool,
    hotline: str,
    rules: Rules,
    now: datetime,
    kind: str,
    after: Place | None = None,
) -> Page:
    """Erase the next few of this line's that have been kept for their time; `kind` is one of
    KINDS. The files go with `erasing.finish`. Blocks. Raises StorageFailed."""
    old = {"calls": _old_calls, "recordings": _old_recordings, "messages": _old_messages}[kind]
    with store.read() as connection:
        rows = old(connection, hotline, rules, now, after, AT_ONCE)
    if not rows:
        return Page()
    days = rules.recordings if kind == "recordings" else rules.calls
    trace = Trace(SERVICE, now, f"kept for {spoken(days)}")
    with store.write() as connection:
        if kind == "calls":
            done = _erase_calls(connection, spool, rules, rows, trace)
        elif kind == "messages":
            done = _erase_messages(connection, spool, rows, trace)
        else:
            done = _erase_recordings(connection, spool, hotline, rows, trace)
    last = rows[-1]
    return done + Page(after=(last.since, last[0]) if len(rows) == AT_ONCE else None)


def _erase_calls(
    connection: Connection, spool: Spool, rules: Rules, rows: Sequence[Row[Any]], trace: Trace
) -> Page:
    done = Page()
    ids = {one for row in rows for one in for_the_sake_of(connection, row.id)}
    needs.hold(connection, ids)
    held = Held.read(connection)
    for row in rows:
        family = _family(connection, row.id, rules, trace.at)
        if needs.needed(connection, family, spool, trace.at, held):
            done += Page(needed=1)
        elif family:
            done += Page(*erasing.forget(connection, family, trace))
    return done


def _erase_recordings(
    connection: Connection, spool: Spool, hotline: str, rows: Sequence[Row[Any]], trace: Trace
) -> Page:
    chain.lock(connection)
    held = Held.read(connection)
    free = [one for one in rows if not _is_needed(connection, one, spool, held)]
    names = select(recordings).where(recordings.c.key.in_([one.key for one in free]))
    going = [Recording(**row._mapping) for row in connection.execute(names)]
    gone = erasing.drop(connection, [(one, hotline) for one in going], trace)
    return Page(recordings=gone, needed=len(rows) - len(free))


def _erase_messages(
    connection: Connection, spool: Spool, rows: Sequence[Row[Any]], trace: Trace
) -> Page:
    done = Page()
    needs.hold_messages(connection, [row.id for row in rows])
    held = Held.read(connection)
    for row in rows:
        found = needs.message_needed(connection, row, spool, held)
        if found is None:
            done += Page(needed=1)
        else:
            gone = erasing.forget_message(connection, row, found, trace)
            done += Page(recordings=gone, messages=1)
    return done


# ---------------------------------------------------------------- what is old enough


def _old_calls(
    connection: Connection,
    hotline: str,
    rules: Rules,
    now: datetime,
    after: Place | None = None,
    limit: int | None = None,
) -> Sequence[Any]:
    """Calls that are older than their time, the oldest first. What was made for another call's
    sake is not among them as long as that one is there: they go together."""
    if rules.calls is None:
        return []
    before = now - timedelta(days=rules.calls)
    above, answered = calls.alias("above"), calls.alias("answered")
    erased = select(erasures.c.call_id)
    there = (
        select(promises.c.id, promises.c.place)
        .join(answered, answered.c.id == promises.c.call_id)
        .where(answered.c.id.not_in(erased))
        .subquery()
    )
    back = select(attempts.c.call_id).join(there, there.c.id == attempts.c.promise)
    query = (
        select(calls.c.id, calls.c.offered_at.label("since"))
        .outerjoin(erasures, erasures.c.call_id == calls.c.id)
        .outerjoin(above, above.c.id == calls.c.leg_of)
        .where(
            calls.c.hotline == hotline,
            calls.c.offered_at < before,
            calls.c.ended_at < before,
            erasures.c.call_id.is_(None),
            or_(above.c.id.is_(None), above.c.id.in_(erased)),
            calls.c.id.not_in(back),
            calls.c.leg_of.not_in(select(there.c.place)),
        )
        .order_by(calls.c.offered_at, calls.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(calls.c.offered_at, calls.c.id) > after)
    return connection.execute(query).all()


def _family(connection: Connection, call_id: str, rules: Rules, now: datetime) -> Sequence[Any]:
    """A call and what was made for its sake; empty if it is erased meanwhile, or if a part of it
    is younger than its time."""
    assert rules.calls is not None
    before = now - timedelta(days=rules.calls)
    erased = select(erasures.c.call_id).where(erasures.c.call_id == call_id)
    rows = erasing.rows_of(connection, for_the_sake_of(connection, call_id))
    young = any(row.ended_at is not None and row.ended_at >= before for row in rows)
    return [] if young or connection.execute(erased).first() else rows


def _old_recordings(
    connection: Connection,
    hotline: str,
    rules: Rules,
    now: datetime,
    after: Place | None = None,
    limit: int | None = None,
) -> Sequence[Any]:
    """Recordings that are older than their time, the oldest first. The line of one is that of its
    call, or of the message that names it: the dialplan's have no call."""
    if rules.recordings is None:
        return []
    left = (
        select(func.min(messages.c.hotline))
        .where(messages.c.recording == recordings.c.reference)
        .scalar_subquery()
    )
    query = (
        select(recordings, recordings.c.created_at.label("since"))
        .outerjoin(erased_recordings, erased_recordings.c.key == recordings.c.key)
        .outerjoin(calls, calls.c.id == recordings.c.call_id)
        .where(
            recordings.c.created_at < now - timedelta(days=rules.recordings),
            recordings.c.reference.is_not(None),
            recordings.c.erased_at.is_(None),
            erased_recordings.c.key.is_(None),
            func.coalesce(calls.c.hotline, left) == hotline,
        )
        .order_by(recordings.c.created_at, recordings.c.key)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(recordings.c.created_at, recordings.c.key) > after)
    return connection.execute(query).all()


def _old_messages(
    connection: Connection,
    hotline: str,
    rules: Rules,
    now: datetime,
    after: Place | None = None,
    limit: int | None = None,
) -> Sequence[Any]:
    """Messages of no call that are older than a call is kept, the oldest first, and of which
    something is left that names a person."""
    if rules.calls is None:
        return []
    m = messages.c
    going = select(erased_recordings.c.key)
    heard = select(recordings.c.key).where(
        recordings.c.reference.in_([m.recording, m.surname_recording]),
        recordings.c.key.not_in(going),
    )
    query = (
        select(m.id, m.created_at.label("since"), m.hotline, m.recording, m.surname_recording)
        .where(
            m.hotline == hotline,
            m.call_id.is_(None),
            m.created_at < now - timedelta(days=rules.calls),
            or_(m.caller != "", m.contact != "", m.item != "", m.fields != {}, heard.exists()),
        )
        .order_by(m.created_at, m.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(m.created_at, m.id) > after)
    return connection.execute(query).all()


def _is_needed(connection: Connection, row: Row[Any], spool: Spool, held: Held) -> bool:
    """Whether a recording must stay: open work names it, or the call in which it was made."""
    one = Recording(**{name: getattr(row, name) for name in Recording.__slots__})
    return needs.recording_needed(connection, one, spool, held)


# ---------------------------------------------------------------- in the service


class Retention:
    """Erases, as long as the service runs, what has been kept for its time. `lines` gives the
    rules of the lines as they are now."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        clock: Clock,
        lines: Callable[[], Mapping[str, Rules]],
    ) -> None:
        self._store, self._spool, self._clock, self._lines = store, spool, clock, lines
        self._failed: erasing.NotGone | None = None

    async def run(self) -> None:
        """Look until cancelled, whatever fails meanwhile."""
        while True:
            try:
                await self.look()
            except (StorageFailed, OSError) as error:
                log.warning("not all could be erased; trying again in an hour", why=str(error))
            except Exception:
                log.exception("not all could be erased, by an error of ours; trying again")
            await self._clock.sleep(EVERY)

    async def look(self) -> None:
        """One look at every line, also when files of recordings cannot be deleted. Raises OSError
        at the end, or when the spool cannot be read; StorageFailed."""
        await self._finish()
        for hotline, rules in sorted(self._lines().items()):
            done = Page()
            for kind in KINDS:
                done += await self._all(hotline, rules, kind)
            if done.calls or done.recordings or done.messages:
                told = {
                    "calls": done.calls,
                    "recordings": done.recordings,
                    "messages": done.messages,
                    "needed": done.needed,
                }
                log.info("kept for their time, and erased", line=hotline, **told)
        if self._failed is not None:
            raise self._failed

    async def _finish(self) -> None:
        self._failed = None  # all that is left is tried
        try:
            await self._clock.in_executor(erasing.finish, self._store, self._spool)
        except erasing.NotGone as error:
            self._failed = error

    async def _all(self, hotline: str, rules: Rules, kind: str) -> Page:
        done = Page()
        while True:
            now, place = self._clock.utc(), done.after
            work = (self._store, self._spool, hotline, rules, now, kind, place)
            done += await self._clock.in_executor(apply, *work)
            if done.recordings:
                await self._finish()
            if done.after is None:
                return done
            await self._clock.sleep(PAUSE)
