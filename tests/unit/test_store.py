"""The database keeps its rules on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from ivr import tables
from ivr.codec import canonical
from ivr.store import (
    Call,
    Contact,
    Message,
    NewerDatabase,
    StorageFailed,
    Store,
    Version,
    erase_call,
    for_the_sake_of,
    write_rows,
)

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALL = Call("c1", "pbx", "1.1", "ems", "11185", "13800138000", NOON, record={"kind": "query"})
ENTRY = {"call_id": "c1", "seq": 0, "at_ms": 0, "side": "event", "name": "HungUp", "data": "{}"}


def filled(store: Store) -> None:
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
        connection.execute(insert(tables.journal), [ENTRY, {**ENTRY, "seq": 1}])


def test_the_migrations_make_exactly_the_tables_of_the_code(empty: str) -> None:
    store = Store(empty)
    store.upgrade()
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    store.close()


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    filled(store)
    store.upgrade()
    with store.read() as connection:
        assert len(connection.execute(select(tables.journal)).all()) == 2


def test_a_database_of_a_newer_version_is_left_alone_and_says_so(store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabase, match=r"'9999'.*newer version"):
        store.upgrade()


def test_processes_that_start_together_make_the_tables_once(empty: str) -> None:
    code = f"from ivr.store import Store; s = Store({empty!r}); s.upgrade(); s.close()"
    starting = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(30) for process in starting] == [0, 0]


@pytest.mark.parametrize("how", ["update", "delete", "behind the row triggers' back"])
def test_the_database_itself_refuses_to_change_the_journal(store: Store, how: str) -> None:
    back = "INSERT OR REPLACE INTO journal SELECT * FROM journal"
    change = {
        "update": "UPDATE journal SET data = '{}'",
        "delete": "DELETE FROM journal",
        "behind the row triggers' back": back if store.sqlite else "TRUNCATE journal",
    }[how]
    filled(store)
    with pytest.raises(DBAPIError, match="append-only"), store.engine.begin() as connection:
        connection.execute(text(change))
    with store.read() as connection:
        assert len(connection.execute(select(tables.journal)).all()) == 2


def test_erasing_a_call_is_the_one_door_and_leaves_its_trace(store: Store) -> None:
    filled(store)
    with store.write() as connection:
        other = {**ENTRY, "call_id": "c2"}
        write_rows(connection, Call, [Call("c2", "pbx", "1.2", "ems", "11185", "1", NOON)])
        connection.execute(insert(tables.journal), [other])
    with store.write() as connection:
        assert erase_call(connection, "c1", "retention of 90 days", NOON) == 2
    with store.read() as connection:
        left = connection.execute(select(tables.journal)).all()
        call = connection.execute(select(tables.calls).where(tables.calls.c.id == "c1")).one()
        trace = connection.execute(select(tables.erasures)).one()
    assert [row.call_id for row in left] == ["c2"]
    assert (call.caller, call.record) == ("", {"kind": "query"})
    assert (trace.call_id, trace.erased_at, trace.reason) == ("c1", NOON, "retention of 90 days")
    with pytest.raises(KeyError), store.write() as connection:
        erase_call(connection, "nobody", "", NOON)


def test_erasing_a_call_erases_its_legs_and_the_calls_that_kept_its_promises(store: Store) -> None:
    filled(store)
    number = "13800138000"
    # an agent is rung for the place of a promise, before there is a call back
    names = [
        ("leg", "c1"),
        ("back", ""),
        ("leg of back", "p"),
        ("in vain", "p"),
        ("other", ""),
        ("its leg", "o"),
    ]
    made = [
        Call(name, "pbx", name, "ems", "801", number, NOON, leg_of=of, record={"contact": number})
        for name, of in names
    ]
    promise = {
        "message_id": "m1", "place": "p", "hotline": "ems", "kind": "message", "contact": number,
        "owner": "", "promised": "24 h", "made_at": NOON, "due_at": NOON, "next_at": NOON,
        "state": "kept", "reason": "", "tries": 1,
    }  # fmt: skip
    attempt = {
        "contact": number, "owner": "", "made_at": NOON, "agent": "801", "result": "",
        "talked": 0.0, "ended_at": NOON, "promise": "P1",
    }  # fmt: skip
    left = Message("m1", "call", "c1#5", "ems", "message", NOON, call_id="c1", contact=number)
    with store.write() as connection:
        write_rows(connection, Call, made)
        write_rows(connection, Message, [left])
        rows = [{**ENTRY, "call_id": one.id, "data": f'{{"contact":"{number}"}}'} for one in made]
        connection.execute(insert(tables.journal), rows)
        connection.execute(insert(tables.promises), [{**promise, "id": "P1", "call_id": "c1"}])
        for name in ("back", "never answered"):  # the second one became no call
            row = {**attempt, "id": name, "channel_id": name, "call_id": name}
            connection.execute(insert(tables.attempts), [row])
    with store.write() as connection:
        family = for_the_sake_of(connection, "c1")
        assert sum(erase_call(connection, one, "asked", NOON) for one in family) == 2 + 4
    with store.read() as connection:
        kept = select(tables.calls.c.id).where(tables.calls.c.caller != "")
        assert set(connection.execute(kept).scalars()) == {"other", "its leg"}
        traces = connection.execute(select(tables.erasures.c.call_id)).scalars()
        assert set(traces) == {"c1", "leg", "back", "leg of back", "in vain"}
        journals = connection.execute(select(tables.journal.c.call_id)).scalars()
        assert set(journals) == {"other", "its leg"}
        record = select(tables.calls.c.record).where(tables.calls.c.id == "leg")
        assert connection.execute(record).scalar_one() == {}


def add_version(store: Store, body: object, created: datetime) -> None:
    with store.write() as connection:
        write_rows(connection, Version, [Version("h", "ems", body, created)])


def test_times_are_stored_in_utc_and_come_back_aware(store: Store) -> None:
    beijing = datetime(2026, 11, 23, 12, 0, tzinfo=timezone(timedelta(hours=8)))
    add_version(store, {"b": [1, "二"], "a": None}, beijing)
    with store.read() as connection:
        row = connection.execute(select(tables.versions)).one()
    assert row.created == NOON
    assert row.created.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(sqlite_store: Store) -> None:
    naive = datetime(2026, 11, 23)  # noqa: DTZ001
    with pytest.raises(Exception, match="without a zone"):
        add_version(sqlite_store, {}, naive)


def test_a_version_is_kept_once_and_never_written_over(store: Store) -> None:
    add_version(store, {"first": True}, NOON)
    add_version(store, {"first": False}, NOON)
    assert store.version("h") == {"first": True}
    with pytest.raises(KeyError):
        store.version("unknown")


def test_whatever_a_caller_id_holds_is_stored_visibly(store: Store) -> None:
    hostile = "1\x00'; DROP TABLE calls; --\udcff\r\n王" + "9" * 500
    with store.write() as connection:
        write_rows(connection, Call, [Call("c", "s", "u", "ems", "11185", hostile, NOON)])
    with store.read() as connection:
        caller = connection.execute(select(tables.calls.c.caller)).scalar_one()
    assert caller == ("1\\x00'; DROP TABLE calls; --\\udcff\r\n王" + "9" * 500)[:200]


def test_a_call_is_written_over_and_a_message_is_not(store: Store) -> None:
    message = Message("m1", "call", "c1#5", "ems", "message", NOON, call_id="c1", contact="1")
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
        write_rows(connection, Message, [message])
    with store.write() as connection:
        write_rows(connection, Call, [Call("c1", "pbx", "1.1", "ems", "1", "2", NOON, rung_ms=5)])
        write_rows(connection, Message, [Message("m2", "call", "c1#5", "ems", "other", NOON)])
    with store.read() as connection:
        assert connection.execute(select(tables.calls.c.rung_ms)).scalar_one() == 5
        assert connection.execute(select(tables.messages.c.id)).scalars().all() == ["m1"]


def test_a_caller_is_known_to_the_line_that_asked_and_to_no_other(store: Store) -> None:
    with store.write() as connection:
        write_rows(connection, Contact, [Contact("infodesk", "1381", {"company": "甲"}, NOON)])
        write_rows(connection, Contact, [Contact("infodesk", "1381", {"company": "乙"}, NOON)])
    assert store.contact("infodesk", "1381") == {"company": "乙"}
    assert store.contact("ems", "1381") is None


def test_a_version_row_and_the_store_write_the_same(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        write_rows(connection, Version, [Version("h", "ems", {"a": 1.0}, NOON)])
    assert canonical(sqlite_store.version("h")) == '{"a":1.0}'


def test_sqlite_is_opened_so_that_a_commit_survives_a_power_cut(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 5000,
        "foreign_keys": 1,
    }


def test_reading_waits_for_no_writer(sqlite_store: Store) -> None:
    filled(sqlite_store)
    with sqlite_store.write() as writing:
        writing.execute(insert(tables.journal), [{**ENTRY, "seq": 2}])
        with sqlite_store.read() as reading:
            assert len(reading.execute(select(tables.journal)).all()) == 2


def test_what_is_read_together_is_one_view_also_while_others_write(store: Store) -> None:
    filled(store)
    both = select(tables.journal.c.seq).order_by(tables.journal.c.seq)
    with store.read() as reading:
        before = reading.execute(both).scalars().all()
        with store.write() as writing:
            writing.execute(insert(tables.journal), [{**ENTRY, "seq": 2}])
        assert reading.execute(both).scalars().all() == before == [0, 1]
    with store.read() as reading:
        assert reading.execute(both).scalars().all() == [0, 1, 2]


@pytest.mark.parametrize("address", ["nonsense", "mysql://host/x", "oracle+nothing://x"])
def test_an_address_that_makes_no_sense_is_told(address: str) -> None:
    with pytest.raises(StorageFailed):
        Store(address)


def test_a_database_that_cannot_be_opened_is_told_with_its_address(tmp_path: Path) -> None:
    closed = Store(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(StorageFailed, match="no/such/folder"):
        closed.upgrade()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_postgresql_that_is_locked_or_gone_holds_nobody_up_for_ever(url: str) -> None:
    for more, limit in (("", "5s"), ("options=-c%20lock_timeout%3D3s", "3s")):
        store = Store(f"{url}{'&' if '?' in url else '?'}{more}" if more else url)
        with store.read() as connection:
            assert connection.execute(text("SHOW lock_timeout")).scalar() == limit
            driver = connection.connection.driver_connection
            assert driver is not None
            told = driver.info.get_parameters()
            assert (told["connect_timeout"], told["tcp_user_timeout"]) == ("5", "10000")
        store.engine.dispose()


def test_the_password_of_a_database_is_never_told() -> None:
    assert "secret" not in str(Store("postgresql://user:secret@127.0.0.1/x"))
