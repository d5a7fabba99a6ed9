"""What a call-back leaves is erased with the call that it answers: it names nobody any more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from promised import HELLO, PERSON, office, person
from sqlalchemy import insert, select

from ivr import tables, tickets
from ivr.clock import VirtualClock
from ivr.erasing import Needed, Trace, erase
from ivr.hotlines import Hotlines
from ivr.spool import Spool
from ivr.store import Call, Store, write_rows

pytestmark = pytest.mark.usefixtures("service_logs")


async def test_the_agent_s_leg_of_a_call_back_goes_with_the_call_that_was_answered(
    lines: Hotlines, store: Store, monday: VirtualClock, tmp_path: Path
) -> None:
    async with office(lines, store, monday, called=person(HELLO)) as one:
        message = one.leave().reference
        await one.until("kept")
        made = one.journal.calls()
        assert len(made) == 2, "the agent's leg, and the call to the person"
        with store.write() as connection:
            for version in {row.version for row in made.values()}:
                values = {"hash": version, "hotline": "xjca", "body": {}, "created": monday.utc()}
                connection.execute(insert(tables.versions), [values])
            write_rows(connection, Call, list(made.values()))
            rows = [
                {"call_id": name, "seq": entry.seq, "at_ms": entry.at_ms, "side": entry.side,
                 "name": type(entry.what).__name__, "data": str(entry.what)}
                for name in made
                for entry in one.journal.entries(name)
            ]  # fmt: skip
            connection.execute(insert(tables.journal), rows)
        told = " ".join([*(row["data"] for row in rows), *(row.caller for row in made.values())])
        assert told.count(PERSON) > 2
        now = monday.utc() + timedelta(hours=1)
        spool = Spool(store, spool=tmp_path, folder=tmp_path, utc=lambda: now)
        trace = Trace("812", now, "asked")
        [leg] = [row.id for row in made.values() if row.leg_of]
        with pytest.raises(Needed, match=r"was made for the sake of fake-1\.1"):
            erase(store, spool, leg, trace)
        with store.read() as connection:
            ticket = tickets.of_message(connection, message)
        for step in ("taken", "done", "closed"):
            tickets.change(store, ticket, step, "812", now)
        assert erase(store, spool, "fake-1.1", trace).calls == 3
        with store.read() as connection:
            assert connection.execute(select(tables.journal)).all() == []
            callers = connection.execute(select(tables.calls.c.caller)).scalars()
            assert set(callers) == {""}
