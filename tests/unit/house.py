"""A house that keeps things: a database with calls, recordings and work, for tests of erasing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from migrated import new
from sqlalchemy import Table, insert, select
from typed import Sansheng, on

from ivr import promises, retention_rules, tables, tickets
from ivr.actions import Keep
from ivr.clock import VirtualClock
from ivr.codec import encode
from ivr.erasing import Trace
from ivr.hours import Hours
from ivr.messages import keep
from ivr.retention import Retention
from ivr.spool import Spool
from ivr.store import Call, Contact, Recording, Store, write_rows
from ivr.ticket_rules import Rules

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
RULES = Rules(promises={"answer": "24 h"})
TRACE = Trace("812", NOON, "the caller asked for it")
CALLER, CONTACT = "13800138000", "13911112222"


class Killed(BaseException):
    """Not an Exception: nothing of ours may catch it."""


class Killer:
    """Stands between the steps of a spool, counts them, and kills at the one of this number."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def __call__(self, step: str) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Killed


class House:
    """What one service keeps. All numbers of days are so long before NOON."""

    def __init__(
        self, store: Store, home: Path, between: Callable[[str], None] = lambda step: None
    ) -> None:
        self.store, self.home = store, home
        for name in ("spool", "recordings"):
            (home / name).mkdir(exist_ok=True)
        self.now = NOON
        self.spool = Spool(
            store,
            spool=home / "spool",
            folder=home / "recordings",
            utc=lambda: self.now,
            between=between,
        )

    # ---- what is kept

    def call(self, name: str, days: float, up: bool = False, **more: Any) -> Call:
        """A call of three minutes, with two rows of journal."""
        at = NOON - timedelta(days=days)
        ended = None if up else at + timedelta(minutes=3)
        record = {"kind": "message", "contact": CONTACT}
        plain = Call(name, "pbx", name, "ems", "11185", CALLER, at, record=record)
        row = replace(plain, ended_at=ended, ended_by="caller", **more)
        entry = {"call_id": name, "at_ms": 0, "side": "event", "name": "HungUp"}
        told = f'{{"contact":"{CONTACT}"}}'
        with self.store.write() as connection:
            write_rows(connection, Call, [row])
            rows = [{**entry, "seq": seq, "data": told} for seq in range(2)]
            connection.execute(insert(tables.journal), rows)
        return row

    def recording(
        self, key: str, call: str | None, days: float, what: str = "message", **more: Any
    ) -> str:
        """A finished recording with its file; returns its reference."""
        reference = f"{hashlib.md5(key.encode()).hexdigest()}.wav"
        at = NOON - timedelta(days=days)
        values = {"reference": reference, "seconds": 2.0, "quality": "fine", **more}
        with self.store.write() as connection:
            write_rows(connection, Recording, [Recording(key, what, at, call, **values)])
        (self.home / "recordings" / reference).write_bytes(b"what was said")
        return reference

    def message(
        self, call: Call, recording: str = "", within: str = "24 h", contact: str = CONTACT
    ) -> str:
        """A message with its ticket, and its promise if something is promised; its id."""
        values = (("contact", contact), ("recording", recording), ("item", "473124829"))
        wish = Keep(self.count(tables.messages), "message", values, within)
        return keep(self.store, call, wish, HOURS, call.offered_at, RULES).reference

    def callback(self, name: str, message: str, days: float) -> Call:
        """A call that was made to keep the promise of a message."""
        made = self.call(name, days, number="11185", record={})
        [promise] = self.ids(tables.promises, tables.promises.c.message_id == message)
        attempt = {
            "id": name, "promise": promise, "contact": CONTACT, "channel_id": name,
            "call_id": name, "owner": "", "made_at": made.offered_at, "agent": "801",
            "ended_at": made.ended_at, "result": "connected", "talked": 5.0,
        }  # fmt: skip
        with self.store.write() as connection:
            connection.execute(insert(tables.attempts), [attempt])
        return made

    def rung(self, name: str, message: str, days: float, **more: Any) -> Call:
        """The agent's leg of such a call. There is no call yet when it is rung: it is for the sake
        of the promise's place in the line (`ivr.calling_back`), and knows the person's number."""
        [place] = self.places(tables.promises.c.message_id == message)
        return self.call(name, days, number="801", leg_of=place, **more)

    def places(self, *where: Any) -> list[str]:
        with self.store.read() as connection:
            query = select(tables.promises.c.place).where(*where)
            return list(connection.execute(query).scalars())

    def keeps(self, call: Call, wish: Keep) -> str:
        """What a call asked to be kept, one minute after its beginning, also in its journal."""
        row = {
            "call_id": call.id, "seq": 10 + wish.id, "at_ms": 60_000, "side": "action",
            "name": "Keep", "data": encode(wish),
        }  # fmt: skip
        with self.store.write() as connection:
            connection.execute(insert(tables.journal), [row])
        at = call.offered_at + timedelta(minutes=1)
        return keep(self.store, call, wish, HOURS, at, RULES).reference

    def contact(self, call: Call) -> None:
        """What the line learnt of the caller in this call."""
        at = call.offered_at + timedelta(minutes=1)
        with self.store.write() as connection:
            write_rows(connection, Contact, [Contact("ems", CALLER, {"company": "甲"}, at)])

    # ---- what people do

    def ticket(self, message: str) -> str:
        with self.store.read() as connection:
            return tickets.of_message(connection, message)

    def solve(self, message: str, state: str = "closed") -> None:
        """Bring a message's ticket into this state, step by step."""
        for step in ("taken", "done", "closed"):
            tickets.change(self.store, self.ticket(message), step, "812", NOON)
            if step == state:
                break
        promises.answered(self.store, NOON)

    # ---- what time does

    def look(self, rules: retention_rules.Rules, line: str = "ems") -> None:
        """One look of the service at what a line keeps."""
        asyncio.run(self._look(rules, line))

    async def _look(self, rules: retention_rules.Rules, line: str) -> None:
        clock = VirtualClock(self.now)
        task = asyncio.ensure_future(
            Retention(self.store, self.spool, clock, lambda: {line: rules}).look()
        )
        await clock.run(task.done)
        clock.close()
        task.result()

    # ---- what is there

    def ids(self, table: Table, *where: Any) -> list[str]:
        with self.store.read() as connection:
            query = select(next(iter(table.primary_key))).where(*where)
            return [str(one) for one in connection.execute(query).scalars()]

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(select(table))]

    def count(self, table: Table) -> int:
        return len(self.rows(table))

    def journals(self) -> set[str]:
        """The calls that have a journal."""
        return {row["call_id"] for row in self.rows(tables.journal)}

    def files(self) -> set[str]:
        return {path.name for path in (self.home / "recordings").iterdir()}


def full(house: House) -> str:
    """A call with a leg, a message, a promise kept by a call back with a leg, two recordings and
    a contact; and another caller's call. Returns the message's id."""
    call = house.call("c1", 2)
    house.call("c1-leg", 2, leg_of="c1")
    said = house.recording("a" * 32, "c1", 2)
    house.recording("b" * 32, "c1", 2, "surname")
    message = house.message(call, said)
    house.callback("back", message, 1.5)
    house.rung("back-leg", message, 1.5)
    house.contact(call)
    other = house.call("c2", 2)
    house.message(other, house.recording("c" * 32, "c2", 2))
    return message


class Ops(Sansheng):
    """The command line, over a house of its own."""

    def __init__(self, root: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(capsys, "--root", root, *on(folder / "x.db"))
        self.house = House(new(folder / "x.db"), folder)
