"""The agents and the waiting lines of a process: who is ready, who is claimed, who is next.

Rules this module keeps:

- One phone, one call: a claim is a change of the phone's own row, made in one write transaction
  that looks at everything first; unique columns refuse what a mistake of ours would still try.
- Who gets whom is decided by `ivr.queueing`, the same in every process. A process claims for its
  own callers only, and leaves alone what is another's turn.
- What a process holds is its own as long as it lives: one that has not been seen for
  `ivr.floor.DEAD` has died, its callers with it; what it held is freed by whoever comes first.
- Times come in; nothing here looks at a clock. Everything blocks: on an event loop it goes through
  `clock.in_executor`.

Serves XJCA-5k (示忙, 示闲), XJCA-5l (who does not answer twice is set busy, and ops see why),
TEL-3.3 (the wait that is told is the line's real one), CPIC-8 in part.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Delete, Row, Select, Update, delete, select, text, update

from ivr import floor as rows
from ivr.inserting import insert_new, upsert
from ivr.queueing import (
    BUSY,
    READY,
    RINGING,
    TALKING,
    Claim,
    Floor,
    Matched,
    Place,
    Standing,
    place_id,
)
from ivr.staff import NOBODY, Staff, Transfer
from ivr.store import Store
from ivr.tables import agents, owners, places

BEAT = timedelta(seconds=2)
"""How often a process says that it lives, at least."""
LOCK = 0x5A45_4E48
"""The PostgreSQL advisory lock under which claims are made; any number that nobody else uses."""


class NotClaimed(Exception):
    """This call holds no such agent: given back already, or freed because we seemed dead."""


class Agents:
    """The agents and lines, as one process (`owner`, a name that no other ever has) sees them.
    Safe from several threads. Raises StorageFailed wherever the database fails."""

    def __init__(self, store: Store, owner: str) -> None:
        self.owner = owner[-80:]  # as long as its column; the end is what makes it unique
        self._store = store
        self._lock = threading.Lock()
        self._staff: Mapping[str, Staff] = {}
        self._mine: dict[str, Place] = {}
        self._told: dict[str, Standing] = {}
        self._since: dict[str, datetime] = {}  # by call that was put through: when it had joined
        self._again: dict[str, datetime] = {}  # the same, where nothing came of that
        self._seen: datetime | None = None

    # ---------------------------------------------------------------- who there is

    def sync(self, staff: Mapping[str, Staff], now: datetime) -> None:
        """Take over what the files say, `staff` by line (see `ivr.floor.seat`)."""
        wanted = rows.wanted(staff)
        with self._lock:
            self._staff = dict(staff)
            with self._store.read() as connection:
                if rows.seated(connection) == wanted:
                    return
            with self._write() as connection:
                rows.seat(connection, wanted, now)

    # ---------------------------------------------------------------- what agents and ops want

    def set_ready(self, phone: str, reason: str, now: datetime) -> str:
        """示闲: this phone may be rung. Returns the state it has now. Raises KeyError."""
        with self._changing(phone, now) as (connection, row):
            if row.call_id is not None:
                kept = row.after_reason if not row.after else ""  # that it was found meanwhile
                self._set(connection, phone, after="", after_reason=kept, misses=0)
                return str(row.state)
            self._set(connection, phone, misses=0)
            if row.state != READY:
                rows.change(connection, row, READY, reason, now, idle_since=now, until=None)
            return READY

    def set_busy(self, phone: str, reason: str, now: datetime) -> str:
        """示忙: this phone is not to be rung; an agent in a call is busy once it is over. Returns
        the state it has now. Raises KeyError."""
        with self._changing(phone, now) as (connection, row):
            if row.call_id is not None:
                self._set(connection, phone, after=BUSY, after_reason=reason)
                return str(row.state)
            if row.state != BUSY:
                rows.change(connection, row, BUSY, reason, now, until=None)
            return BUSY

    def reached(self, phones: Mapping[str, bool], now: datetime) -> bool:
        """Whether Asterisk knows where these phones are (see `ivr.floor.reached`). Returns whether
        that changed anything."""
        with self._lock, self._write() as connection:
            rows.wrapped_up(connection, now)
            return rows.reached(connection, phones, now)

    def rung_in_vain(self, before: datetime) -> list[str]:
        """See `ivr.floor.rung_in_vain`."""
        with self._store.read() as connection:
            return rows.rung_in_vain(connection, before)

    # ---------------------------------------------------------------- the waiting line

    def survey(
        self,
        hotline: str,
        department: str,
        staff_number: str,
        now: datetime,
        callbacks: Collection[str] = (),
    ) -> Standing:
        """How it looks for a caller who would join now."""
        with self._store.read() as connection:
            floor = rows.read(connection, now, self.owner, callbacks)
            last = Place("~", hotline, department, now, staff_number)
            return floor.standing(last, self._talk(connection, last, now))

    def join(
        self,
        call_id: str,
        join: int,
        hotline: str,
        department: str,
        staff_number: str,
        now: datetime,
    ) -> str:
        """Take the last place in a line, but for a call that was put through and with whom nobody
        talked: it has the place it had. Returns its name; `match` says what comes of it."""
        name = place_id(call_id, join)
        since = self._again.pop(call_id, now)
        place = Place(
            name, hotline, department, since, staff_number, call_id=call_id, owner=self.owner
        )
        with self._lock, self._write() as connection:
            self._beat(connection, now)
            insert_new(connection, places, [rows.place_row(place)])
        self._mine[name] = place
        return name

    def leave(self, place: str, ticket: str = "") -> bool:
        """Leave the line; an agent who is claimed stays so. With a `ticket` the place is kept for
        that call-back, in the same turn. False if the place was gone already."""
        was = self._mine.get(place)
        self._forget(place)
        mine = places.c.id == place
        if not ticket:
            if was is not None and was.call_id is not None and self._is_claimed(was.call_id):
                self._since[was.call_id] = was.joined_at
            return self._change_place(delete(places).where(mine), place)
        kept = {"kind": "callback", "ticket": ticket, "owner": None, "call_id": None}
        return self._change_place(update(places).where(mine).values(**kept), place)

    # ---------------------------------------------------------------- places for call-backs

    def keep_place(
        self,
        ticket: str,
        hotline: str,
        department: str,
        staff_number: str,
        joined_at: datetime,
        not_before: datetime | None = None,
        avoid: str = "",
    ) -> None:
        """A place for a call-back that has none in the line, for anybody but `avoid`. One of this
        ticket that is there already stays as it is."""
        place = Place(
            ticket, hotline, department, joined_at, staff_number, "callback", ticket=ticket
        )
        place = replace(place, not_before=not_before, avoid=avoid)
        with self._lock, self._write() as connection:
            insert_new(connection, places, [rows.place_row(place)])

    def postpone(self, ticket: str, until: datetime, avoid: str = "") -> bool:
        """The call-back is not to be tried before `until`, nor ever by `avoid`; its place is kept.
        False if it has none."""
        values: dict[str, Any] = {"owner": None, "call_id": None, "not_before": until}
        values |= {"avoid": avoid} if avoid else {}
        mine = places.c.ticket == ticket
        return self._change_place(update(places).where(mine).values(**values), ticket)

    def drop_place(self, ticket: str) -> bool:
        """The call-back is done, or given up; nobody waits there any more. False if nobody did."""
        return self._change_place(delete(places).where(places.c.ticket == ticket), ticket)

    def _change_place(self, statement: Update | Delete, name: str) -> bool:
        """Change or delete one place, named by its id or its ticket; the claim stays its call's."""
        named = select(places.c.id).where((places.c.id == name) | (places.c.ticket == name))
        with self._lock, self._write() as connection:
            bound = update(agents).where(agents.c.place_id.in_(named))
            connection.execute(bound.values(place_id=None))
            return connection.execute(statement).rowcount == 1

    # ---------------------------------------------------------------- claims

    def match(self, now: datetime, callbacks: Collection[str] = ()) -> Matched:
        """Give free phones to whoever of this process is next, and say what has changed for its
        places. `callbacks` are the lines whose call-backs may be made now: a kept place whose
        turn has come becomes this process's own. To be called whenever something changed, and
        every second or so while anybody of this process waits or talks; it is the heartbeat too.
        """
        with self._lock:
            if self._seen is not None and now - self._seen < BEAT:
                with self._store.read() as connection:
                    floor = rows.look(connection, now, self.owner, callbacks)
                    if not self._work(connection, floor):
                        return self._moved(connection, floor)
            with self._write() as connection:
                self._beat(connection, now)
                rows.bury(connection, now)
                floor = rows.look(connection, now, self.owner, callbacks)
                if freed := self._freed(floor):  # back they go, in the same turn
                    insert_new(connection, places, [rows.place_row(place) for place in freed])
                    floor = rows.look(connection, now, self.owner, callbacks)
                if claims := tuple(self._claim(connection, floor)):
                    floor = rows.look(connection, now, self.owner, callbacks)
                unstaffed = tuple(self._unstaffed(floor))
                for name in unstaffed:
                    connection.execute(delete(places).where(places.c.id == name))
                    self._forget(name)
                return replace(self._moved(connection, floor), claims=claims, unstaffed=unstaffed)

    def beat(self, now: datetime) -> None:
        """Say that this process lives; to be called every `BEAT`, whatever else it does."""
        with self._lock, self._write() as connection:
            self._beat(connection, now)

    def talking(self, call_id: str, now: datetime) -> None:
        """The agent claimed for this call talks to the caller now. Raises NotClaimed."""
        with self._lock, self._write() as connection:
            row = self._claimed(connection, call_id)
            if row.state != TALKING:
                rows.change(connection, row, TALKING, "accepted", now, misses=0)

    def release(
        self, call_id: str, staff_number: str, outcome: str, transfer: Transfer, now: datetime
    ) -> str:
        """Give the agent claimed for this call back. Returns the agent's state after it: see
        `ivr.floor.after`. Raises NotClaimed, ValueError for an outcome that there is not."""
        if outcome not in rows.OUTCOMES:
            raise ValueError(f"a claim cannot end as '{outcome}'")
        since = self._since.pop(call_id, None)
        if since is not None and outcome in ("failed", "dropped"):
            recent = {call: at for call, at in self._again.items() if now - at < rows.RECENT}
            self._again = {**recent, call_id: since}
        with self._lock, self._write() as connection:
            row = self._claimed(connection, call_id)
            if row.staff_number != staff_number:
                raise NotClaimed(f"{call_id} holds {row.staff_number}, not {staff_number}")
            if outcome not in ("free", "talked"):
                rows.passed(connection, row.place_id, row.phone, now)
            return rows.unclaim(connection, row, outcome, transfer, now)

    def over(self, call_id: str, now: datetime) -> tuple[str, ...]:
        """The call is over: whatever it still holds is given back. Returns what that was, in
        words; nothing if all was in order."""
        found: list[str] = []
        held = places.c.call_id == call_id, places.c.kind == "caller"
        with self._lock, self._write() as connection:
            row = connection.execute(self._claim_of(call_id)).one_or_none()
            if row is not None:
                found.append(f"the agent {row.staff_number} ({row.state})")
                outcome = "talked" if row.state == TALKING else "free"
                why = "the call was over"
                transfer = self._staff.get(row.hotline, NOBODY).transfer
                rows.unclaim(connection, row, outcome, transfer, now, why)
            for name in connection.execute(select(places.c.id).where(*held)).scalars().all():
                found.append(f"the place {name}")
                self._forget(name)
            connection.execute(delete(places).where(*held))
        return tuple(found)

    # ---------------------------------------------------------------- inside

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """One write transaction, in which nobody else changes agents or places."""
        with self._store.write() as connection:
            if not self._store.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield connection

    @contextmanager
    def _changing(self, phone: str, now: datetime) -> Iterator[tuple[Connection, Row[Any]]]:
        """A write transaction about one phone. Raises KeyError."""
        with self._lock, self._write() as connection:
            self._beat(connection, now)
            rows.bury(connection, now)
            rows.wrapped_up(connection, now)
            yield connection, rows.agent(connection, phone)

    def _set(self, connection: Connection, phone: str, **values: Any) -> None:
        connection.execute(update(agents).where(agents.c.phone == phone).values(**values))

    def _forget(self, place: str) -> None:
        self._mine.pop(place, None)
        self._told.pop(place, None)

    def _claim_of(self, call_id: str) -> Select[Any]:
        return select(agents).where(agents.c.call_id == call_id, agents.c.owner == self.owner)

    def _is_claimed(self, call_id: str) -> bool:
        with self._store.read() as connection:
            return connection.execute(self._claim_of(call_id)).first() is not None

    def _claimed(self, connection: Connection, call_id: str) -> Row[Any]:
        row = connection.execute(self._claim_of(call_id)).one_or_none()
        if row is None:
            raise NotClaimed(f"no agent is claimed for {call_id}")
        return row

    def _beat(self, connection: Connection, now: datetime) -> None:
        upsert(connection, owners, [{"name": self.owner, "seen_at": now}])
        self._seen = now

    def _work(self, connection: Connection, floor: Floor) -> bool:
        """Whether there is anything to be written."""
        return (
            bool(self._freed(floor))
            or any(self._ours(place) for place, _ in floor.turns())
            or any(self._unstaffed(floor))
            or rows.haunted(connection, floor.now)
        )

    def _freed(self, floor: Floor) -> list[Place]:
        """Our callers' places that others have freed because we stood still."""
        there = {place.id for place in floor.places}
        return [place for name, place in self._mine.items() if name not in there]

    def _waits(self, place: Place) -> bool:
        """Whether this is the place of a caller of ours."""
        return place.owner == self.owner and place.kind == "caller"

    def _ours(self, place: Place) -> bool:
        return place.owner in (self.owner, None)

    def _unstaffed(self, floor: Floor) -> Iterator[str]:
        for place in floor.in_order():
            if self._waits(place) and not floor.served(place) and not floor.at_work(place):
                yield place.id

    def _claim(self, connection: Connection, floor: Floor) -> Iterator[Claim]:
        turns = [(place, seat) for place, seat in floor.turns() if self._ours(place)]
        if turns:
            rows.wrapped_up(connection, floor.now)
        for place, seat in turns:
            holder = place.call_id or place.ticket or place.id
            if place.owner is None:
                values = {"owner": self.owner, "call_id": holder}
                mine = update(places).where(places.c.id == place.id)
                connection.execute(mine.values(**values))
            row = rows.agent(connection, seat.phone)
            claim = {
                "call_id": holder,
                "place_id": place.id,
                "owner": self.owner,
                "hotline": place.hotline,
                "department": place.department,
                "staff_number": seat.staff_number,
            }
            rows.change(connection, row, RINGING, "claimed", floor.now, **claim)
            self._told.pop(place.id, None)
            about = place.hotline, place.department, place.ticket
            yield Claim(place.id, holder, seat.phone, seat.staff_number, *about)

    def _moved(self, connection: Connection, floor: Floor) -> Matched:
        moved: list[tuple[str, Standing]] = []
        for place in floor.in_order():
            if place.id not in self._mine or floor.served(place):
                continue
            standing = floor.standing(place, self._talk(connection, place, floor.now))
            if standing.staffed and self._told.get(place.id) != standing:
                self._told[place.id] = standing
                moved.append((place.id, standing))
        return Matched(moved=tuple(moved))

    def _talk(self, connection: Connection, place: Place, now: datetime) -> float:
        """How long a talk takes there: as the last ones did, or as the file says."""
        found = rows.talk(connection, place, now)
        staff = self._staff.get(place.hotline, NOBODY)
        return staff.minutes(place.department) if found is None else found
