"""Nothing of a ticket is covered up: what is changed in the database itself is found and named."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from ticketed import COLUMNS, NOON, ROWS, edited, found_in, heads, left

from ivr import chain, tickets
from ivr.audit import audit
from ivr.chain import Head
from ivr.store import Store

pytest_plugins = ["databases"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ticket_history SET who = '802'",
        "DELETE FROM ticket_history",
        "UPDATE ticket_head SET length = 0",
        "DELETE FROM ticket_head",
        "DELETE FROM tickets",
        "behind the row triggers' back",
    ],
)
def test_the_database_itself_refuses_to_change_the_history(store: Store, statement: str) -> None:
    left(store)
    if statement.startswith("behind"):
        replace_all = "INSERT OR REPLACE INTO ticket_history SELECT * FROM ticket_history"
        statement = replace_all if store.sqlite else "TRUNCATE ticket_history"
    refused = pytest.raises(DBAPIError, match=r"append-only|never deleted")
    with refused, store.engine.begin() as connection:
        connection.execute(text(statement))
    assert audit(store).findings == ()


def test_replacing_a_row_behind_the_triggers_back_is_refused(sqlite_store: Store) -> None:
    left(sqlite_store)
    path = sqlite_store.engine.url.database
    again = "INSERT OR REPLACE INTO ticket_history SELECT * FROM ticket_history"
    refused = pytest.raises(sqlite3.IntegrityError, match="append-only")
    with closing(sqlite3.connect(str(path))) as other, refused:  # no recursive triggers here
        other.execute(again)


def test_an_empty_database_is_whole(store: Store) -> None:
    report = audit(store)
    assert (report.findings, report.first_bad_row, report.head) == ((), 0, Head())


def test_two_writers_make_one_chain(store: Store) -> None:
    other = Store(store.engine.url.render_as_string(hide_password=False))
    name = left(store)
    for number in range(6):
        tickets.remark(other if number % 2 else store, name, "801", NOON, str(number))
    other.close()
    report = audit(store)
    assert (report.head.length, report.findings) == (7, ())


EDITS = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SEQ = st.integers(1, ROWS)


@EDITS
@given(SEQ, st.sampled_from(COLUMNS), st.text(max_size=20) | st.binary(max_size=20) | st.integers())
def test_any_edit_of_a_row_is_found_and_the_row_is_named(
    tmp_path: Path, seq: int, column: str, value: object
) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    with edited(tmp_path) as database:
        query = f"SELECT {column}, typeof({column}) FROM ticket_history WHERE seq = ?"
        before = database.execute(query, (seq,)).fetchone()
        bounded = str(value)[:18] if isinstance(value, int) else value
        database.execute(f"UPDATE ticket_history SET {column} = ? WHERE seq = ?", (bounded, seq))
        changed = database.execute(query, (seq,)).fetchone() != before
    assert found_in(tmp_path).first_bad_row == (seq if changed else 0)


@EDITS
@given(SEQ, st.sampled_from(COLUMNS), st.data())
def test_one_character_changed_is_found(
    tmp_path: Path, seq: int, column: str, data: st.DataObject
) -> None:
    with edited(tmp_path) as database:
        query = f"SELECT {column} FROM ticket_history WHERE seq = ?"
        (before,) = database.execute(query, (seq,)).fetchone()
        assume(before)  # there is nothing before the first row
        at = data.draw(st.integers(0, len(before) - 1))
        other = data.draw(st.characters(codec="utf-8").filter(lambda one: one != before[at]))
        after = before[:at] + other + before[at + 1 :]
        database.execute(f"UPDATE ticket_history SET {column} = ? WHERE seq = ?", (after, seq))
    assert found_in(tmp_path).first_bad_row == seq


@pytest.mark.parametrize("seq", range(1, ROWS + 1))
def test_a_row_changed_and_sealed_anew_by_itself_is_the_one_that_is_named(
    tmp_path: Path, seq: int
) -> None:
    with edited(tmp_path) as database:
        names = ("seq", "ticket", "at", "what", "who", "data", "before")
        query = f"SELECT {', '.join(names)} FROM ticket_history WHERE seq = ?"
        row = dict(zip(names, database.execute(query, (seq,)).fetchone(), strict=True))
        digest = chain.seal(row["before"], {**row, "who": "899"})
        change = "UPDATE ticket_history SET who = '899', hash = ? WHERE seq = ?"
        database.execute(change, (digest, seq))
    assert found_in(tmp_path).first_bad_row == seq


@pytest.mark.parametrize("seq", range(2, ROWS + 1))
def test_a_row_sealed_anew_after_another_one_is_named_where_the_row_before_is_vouched_for(
    tmp_path: Path, seq: int
) -> None:
    known = heads(tmp_path)
    with edited(tmp_path) as database:
        names = ("seq", "ticket", "at", "what", "who", "data")
        query = f"SELECT {', '.join(names)} FROM ticket_history WHERE seq = ?"
        row = dict(zip(names, database.execute(query, (seq,)).fetchone(), strict=True))
        zeros = "0" * 64
        digest = chain.seal(zeros, {**row, "who": "899"})
        change = "UPDATE ticket_history SET who = '899', before = ?, hash = ? WHERE seq = ?"
        database.execute(change, (zeros, digest, seq))
    assert found_in(tmp_path, tuple(known.values())).first_bad_row == seq


@EDITS
@given(st.sets(SEQ, min_size=1))
def test_any_deletion_is_found_and_the_first_row_that_is_missing_is_named(
    tmp_path: Path, gone: set[int]
) -> None:
    with edited(tmp_path) as database:
        database.executemany("DELETE FROM ticket_history WHERE seq = ?", [(seq,) for seq in gone])
    assert found_in(tmp_path).first_bad_row == min(gone)


@EDITS
@given(SEQ, st.booleans())
def test_a_tail_cut_off_is_found_also_with_the_tickets_that_it_opened(
    tmp_path: Path, first: int, tickets_too: bool
) -> None:
    with edited(tmp_path) as database:
        database.execute("DELETE FROM ticket_history WHERE seq >= ?", (first,))
        if tickets_too:
            database.execute(
                "DELETE FROM tickets WHERE id NOT IN (SELECT ticket FROM ticket_history)"
            )
    assert found_in(tmp_path).first_bad_row == first


@EDITS
@given(st.permutations(range(1, ROWS + 1)))
def test_any_other_order_is_found(tmp_path: Path, order: list[int]) -> None:
    with edited(tmp_path) as database:
        database.execute("UPDATE ticket_history SET seq = -seq")
        for seq, place in enumerate(order, 1):
            database.execute("UPDATE ticket_history SET seq = ? WHERE seq = ?", (place, -seq))
    moved = [min(seq, place) for seq, place in enumerate(order, 1) if seq != place]
    assert found_in(tmp_path).first_bad_row == min(moved, default=0)


@EDITS
@given(st.integers(-3, ROWS + 3), SEQ)
def test_any_row_put_in_is_found_also_one_that_is_sealed_well(
    tmp_path: Path, place: int, copied: int
) -> None:
    with edited(tmp_path) as database:
        database.execute("UPDATE ticket_history SET seq = -100 - seq WHERE seq >= ?", (place,))
        database.execute("UPDATE ticket_history SET seq = -seq - 99 WHERE seq <= -100")
        names = ("ticket", "at", "what", "who", "data")
        copy = f"SELECT {', '.join(names)} FROM ticket_history WHERE seq = ?"
        source = copied if copied < place else copied + 1
        row = dict(zip(names, database.execute(copy, (source,)).fetchone(), strict=True))
        before = database.execute(
            "SELECT hash FROM ticket_history WHERE seq < ? ORDER BY seq DESC", (place,)
        ).fetchone()
        row |= {"seq": place, "before": before[0] if before else ""}
        row["hash"] = chain.seal(row["before"], row)
        places = ", ".join(f":{name}" for name in row)
        database.execute(f"INSERT INTO ticket_history ({', '.join(row)}) VALUES ({places})", row)
    first = found_in(tmp_path).first_bad_row
    assert (
        first == place or (1 <= place <= ROWS and first == place + 1) or place > ROWS == first - 1
    )


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE tickets SET state = 'closed' WHERE id = 'T1'", "ticket T1: its 'state'"),
        ("UPDATE tickets SET due_at = '2030-01-01 00:00:00.000000'", "ticket T1: its 'due_at'"),
        ("UPDATE tickets SET due_at = 'never' WHERE id = 'T2'", "ticket T2: its 'due_at'"),
        ("UPDATE tickets SET staff_number = '' WHERE id = 'T2'", "ticket T2: its 'staff_number'"),
        ("UPDATE tickets SET contact = x'ff' WHERE id = 'T2'", "ticket T2: its 'contact'"),
        ("DELETE FROM tickets WHERE id = 'T2'", "ticket T2 has a history and is not there"),
        ("UPDATE tickets SET id = 'T77' WHERE id = 'T2'", "ticket T77 has no history"),
    ],
)
def test_a_ticket_whose_row_was_changed_is_named(
    tmp_path: Path, statement: str, sentence: str
) -> None:
    with edited(tmp_path) as database:
        database.execute(statement)
    assert str(found_in(tmp_path).findings[0]).startswith(sentence)


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE ticket_head SET length = 11", 12),
        ("UPDATE ticket_head SET length = 13", 13),
        ("UPDATE ticket_head SET hash = ''", 12),
        ("UPDATE ticket_head SET length = 'many'", 12),
        ("DELETE FROM ticket_head", 13),
    ],
)
def test_a_head_that_was_changed_is_found(tmp_path: Path, statement: str, row: int) -> None:
    with edited(tmp_path) as database:
        database.execute(statement)
    assert found_in(tmp_path).first_bad_row == row


def test_a_guard_taken_away_is_told(tmp_path: Path) -> None:
    with edited(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "edited.db")) as database:
        database.execute("DROP TRIGGER ticket_history_is_never_deleted")
        database.commit()
    [finding] = found_in(tmp_path).findings
    assert str(finding).endswith("no trigger ticket_history_is_never_deleted")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("ALTER TABLE ticket_history DISABLE TRIGGER ticket_history_is_append_only",
         ["ticket_history_is_append_only"]),
        ("ALTER TABLE ticket_history ENABLE REPLICA TRIGGER ticket_history_is_append_only",
         ["ticket_history_is_append_only"]),
        ("ALTER TABLE ticket_history ENABLE ALWAYS TRIGGER ticket_history_is_append_only", []),
        ("CREATE OR REPLACE FUNCTION ticket_head_guard() RETURNS trigger LANGUAGE plpgsql AS"
         " $$ BEGIN RETURN NEW; END $$", ["ticket_head_only_grows"]),
        ("DROP TRIGGER tickets_are_never_deleted ON tickets; CREATE TRIGGER"
         " tickets_are_never_deleted BEFORE DELETE ON versions FOR EACH ROW"
         " EXECUTE FUNCTION ticket_guard()", ["tickets_are_never_deleted"]),
        ("DROP TRIGGER tickets_are_never_deleted ON tickets; CREATE TRIGGER"
         " tickets_are_never_deleted BEFORE DELETE ON tickets FOR EACH ROW WHEN (false)"
         " EXECUTE FUNCTION ticket_guard()", ["tickets_are_never_deleted"]),
    ],
)  # fmt: skip
def test_a_guard_of_postgresql_that_guards_no_more_is_told(
    store: Store, change: str, lost: list[str]
) -> None:
    left(store)
    with store.write() as connection:
        connection.execute(text(change))
    assert [str(one).rpartition(" ")[2] for one in audit(store).findings] == lost


def test_a_message_whose_ticket_is_gone_altogether_is_told(tmp_path: Path) -> None:
    with edited(tmp_path) as database:
        database.execute("DELETE FROM ticket_history")
        database.execute("DELETE FROM tickets")
        database.execute("UPDATE ticket_head SET length = 0, hash = ''")
    told = [str(one) for one in found_in(tmp_path).findings]
    assert len(told) == 3
    assert all(one.endswith("has no ticket") for one in told)


def test_ten_thousand_rows_are_read_in_seconds(sqlite_store: Store) -> None:
    name = left(sqlite_store)
    with sqlite_store.write() as connection:
        for number in range(10_000):
            tickets.add(connection, name, "remark", "801", NOON, str(number))
    began = time.monotonic()
    assert audit(sqlite_store).head.length == 10_001
    assert time.monotonic() - began < 10
