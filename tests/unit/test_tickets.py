"""Every message becomes a ticket that somebody owes an answer to, and nothing can be covered up."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from migrated import new
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from ivr import chain, tables, tickets
from ivr.actions import Keep
from ivr.audit import audit
from ivr.chain import Head, Witness
from ivr.clock import SystemClock
from ivr.desk import Desk
from ivr.document import BadFile
from ivr.files import parse
from ivr.hotlines import Hotlines
from ivr.hours import Hours, spoken
from ivr.intake import Intake
from ivr.messages import keep, message_id
from ivr.migrations.versions import s0003_tickets as made
from ivr.spool import Spool
from ivr.store import Call, Message, StorageFailed, Store, write_rows
from ivr.ticket_rules import Alert, Rule, Rules
from ivr.ticket_rules import parse as rules
from ivr.tickets import NoTicket, NotNow, Terms

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", "+8613800138000", NOON)
RULES = Rules(
    {
        "complaint": Rule("supervisor", "high", "simple", "light"),
        "agent_complaint": Rule("supervisor", "urgent", "complex", "serious"),
    },
    {"answer": "24 h", "simple": "2 working days", "complex": "5 working days"},
)
COMPLAINT = Keep(
    9,
    "agent_complaint",
    (
        ("contact", "13800138000"),
        ("recording", "r.wav"),
        ("surname", "s.wav"),
        ("staff_number", "801"),
        ("item", "123456785"),
    ),
    "5 working days",
)


def left(store: Store, wish: Keep = COMPLAINT, call: Call = CALL, at: datetime = NOON) -> str:
    """A caller leaves this; the id of the ticket."""
    with store.write() as connection:
        write_rows(connection, Call, [call])
    message = keep(store, call, wish, HOURS, at, RULES).reference
    with store.read() as connection:
        return tickets.of_message(connection, message)


def all_of(store: Store) -> list[tickets.Ticket]:
    return tickets.listed(store, states=tickets.STATES)


# ---------------------------------------------------------------- opening


def test_a_complaint_opens_a_ticket_that_says_all_that_must_be_said(store: Store) -> None:
    one = tickets.found(store, left(store))
    assert (one.kind, one.hotline, one.state) == ("agent_complaint", "ems", "new")
    assert (one.urgency, one.owner, one.grade) == ("urgent", "supervisor", "serious")
    assert (one.complexity, one.promised) == ("complex", "5 working days")
    assert (one.contact, one.caller) == ("13800138000", "+8613800138000")
    assert (one.staff_number, one.recording, one.surname_recording) == ("801", "r.wav", "s.wav")
    assert one.asked == {"item": "123456785"}
    assert one.call_id == CALL.id
    # Monday's call; the fifth working day after it is the next Monday, 17:00 in Beijing
    assert one.due_at == datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    assert audit(store).findings == ()


def test_the_due_time_of_a_ticket_is_that_of_its_message_which_is_the_promise_spoken(
    store: Store,
) -> None:
    for number, within in enumerate(("24 h", "30 min", "2 working hours", "1 working day")):
        # of one number a day only so many are promised anything
        values = {**dict(COMPLAINT.values), "contact": f"1380013800{number}"}
        wish = replace(COMPLAINT, id=number, within=within, values=tuple(values.items()))
        left(store, wish)
    with store.read() as connection:
        dues = dict(
            connection.execute(select(tables.messages.c.id, tables.messages.c.due_at)).all()
        )
    assert len(dues) == 4
    assert {one.message_id: one.due_at for one in all_of(store)} == dues


def test_a_ticket_has_a_time_also_where_the_caller_was_promised_nothing(store: Store) -> None:
    one = tickets.found(store, left(store, Keep(1, "complaint")))
    assert (one.promised, one.complexity) == ("", "simple")
    assert one.due_at == datetime(2026, 11, 25, 9, 0, tzinfo=UTC)  # two working days
    plain = tickets.found(store, left(store, Keep(2, "suggestion")))
    assert plain.due_at == NOON + timedelta(hours=24)
    assert (plain.owner, plain.urgency) == ("service", "normal")


def test_the_same_wish_tried_twice_is_one_ticket(store: Store) -> None:
    assert left(store) == left(store)
    assert len(all_of(store)) == 1


@pytest.mark.parametrize("kind", ["caller", "note"])
def test_what_asks_nobody_for_anything_is_no_ticket(store: Store, kind: str) -> None:
    assert left(store, Keep(1, kind), replace(CALL, caller="")) == ""
    assert all_of(store) == []
    assert audit(store).findings == ()


def test_no_message_is_kept_without_its_ticket(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON ticket_history "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        )
    with pytest.raises(StorageFailed, match="full"):
        left(sqlite_store)
    with sqlite_store.read() as connection:
        assert connection.execute(select(tables.messages)).all() == []


def test_whatever_a_caller_id_holds_the_history_still_holds(store: Store) -> None:
    hostile = "1\x00'; DROP TABLE tickets; --\udcff\r\n王" + "9" * 500
    values = (("contact", hostile), ("company", hostile), ("staff_number", hostile))
    left(store, Keep(1, "message", values), replace(CALL, caller=hostile))
    assert audit(store).findings == ()


def spool(store: Store, folder: Path) -> Spool:
    for name in ("spool", "kept"):
        (folder / name).mkdir(exist_ok=True)
    moment = datetime.now(UTC) + timedelta(seconds=10)
    return Spool(store, spool=folder / "spool", folder=folder / "kept", utc=lambda: moment)


NOTE = {"system": "pbx", "call": "2.2", "hotline": "xjca", "number": "1001",
        "caller": "13900139000", "began": "1763870400", "ended": "1763870430"}  # fmt: skip


def test_a_message_left_while_we_were_away_opens_a_ticket_by_the_rules_of_its_line(
    store: Store, tmp_path: Path
) -> None:
    asked = []

    def terms(hotline: str) -> Terms:
        asked.append(hotline)
        return Terms(Rules({"message": Rule("supervisor", "low")}, {"answer": "2 h"}), HOURS)

    for _ in range(2):
        Intake(spool(store, tmp_path), terms).run({"1763870400-1-2": NOTE})
    [one] = all_of(store)
    assert (one.owner, one.urgency, one.caller) == ("supervisor", "low", "13900139000")
    assert one.due_at == datetime.fromtimestamp(1763870400, UTC) + timedelta(hours=2)
    assert one.promised == ""
    assert asked == ["xjca"]
    assert audit(store).findings == ()


def test_messages_of_an_older_version_get_their_tickets(store: Store, tmp_path: Path) -> None:
    due = NOON + timedelta(hours=3)
    message = Message("m1", "call", "c#1", "ems", "complaint", NOON, within="3 h", due_at=due)
    with store.write() as connection:
        write_rows(connection, Message, [message, replace(message, id="m2", source_key="c#2",
                                                          state="done")])  # fmt: skip
    assert [str(one) for one in audit(store).findings] == [
        "message m1 has no ticket", "message m2 has no ticket",
    ]  # fmt: skip
    for _ in range(2):
        Intake(spool(store, tmp_path)).run({})
    assert [(one.message_id, one.state, one.due_at) for one in all_of(store)] == [
        ("m1", "new", due), ("m2", "done", due),
    ]  # fmt: skip
    assert audit(store).findings == ()


def test_a_ticket_learns_who_called_when_the_note_is_found(
    sqlite_store: Store, tmp_path: Path
) -> None:
    one = spool(sqlite_store, tmp_path)
    key = "spool:1763870400-1-2"
    message = Message(message_id(key), "fallback", key, "", "message", NOON)
    with sqlite_store.write() as connection:
        write_rows(connection, Message, [message])
        tickets.open_(connection, message, Terms(), NOON)
    Intake(one, lambda hotline: Terms(RULES, HOURS)).run({"1763870400-1-2": NOTE})
    [found] = all_of(sqlite_store)
    assert (found.hotline, found.caller) == ("xjca", "13900139000")
    assert [step.what for step in tickets.history(sqlite_store, found.id)] == ["opened", "learned"]
    assert audit(sqlite_store).findings == ()


# ---------------------------------------------------------------- following


def test_what_people_have_set_is_not_taken_back_when_the_note_is_found(store: Store) -> None:
    unknown = Message("m1", "fallback", "spool:x", "", "complaint", NOON)
    with store.write() as connection:
        write_rows(connection, Message, [unknown])
        assert tickets.open_(connection, unknown, Terms(), NOON) == "T1"
    tickets.assign(store, "T1", "expert", "801", NOON)
    tickets.grade(store, "T1", "serious", "801", NOON)
    known = replace(unknown, hotline="ems", caller="13800138000", contact="13800138000")
    rule = Rule(owner="supervisor", urgency="urgent", grade="light")
    with store.write() as connection:
        tickets.learn(connection, known, Terms(Rules({"complaint": rule})), NOON)
    [one] = all_of(store)
    assert (one.hotline, one.contact, one.urgency) == ("ems", "13800138000", "urgent")
    assert (one.owner, one.grade) == ("expert", "serious")
    assert audit(store).findings == ()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("second", ["state", "owner"])
def test_two_who_change_a_ticket_at_once_decide_one_after_the_other(
    store: Store, second: str
) -> None:
    left(store)
    tickets.take(store, "T1", "801", NOON)

    def change() -> None:
        if second == "state":
            tickets.change(store, "T1", "waiting_form", "802", NOON)
        else:
            tickets.assign(store, "T1", "expert", "802", NOON)

    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as other:
        with store.write() as connection:
            tickets.add(connection, "T1", "done", "801", NOON, state="done")
            later = other.submit(change)
            while not later.done() and not connection.execute(waits).scalar():
                pass
        with pytest.raises(NotNow):
            later.result(10)
    assert [one.state for one in all_of(store)] == ["done"]


def test_a_ticket_goes_its_way_and_its_message_goes_with_it(store: Store) -> None:
    name = left(store)

    def state() -> tuple[str, str]:
        with store.read() as connection:
            message = connection.execute(select(tables.messages.c.state)).scalar_one()
        return tickets.found(store, name).state, message

    assert state() == ("new", "new")
    assert tickets.take(store, name, "801", NOON).taken_by == "801"
    assert state() == ("taken", "taken")
    tickets.change(store, name, "waiting_documents", "801", NOON, "waits for the fax")
    tickets.take(store, name, "802", NOON)
    tickets.change(store, name, "done", "802", NOON, "refunded")
    assert state() == ("done", "done")
    tickets.change(store, name, "closed", "802", NOON)
    assert state() == ("closed", "done")
    tickets.take(store, name, "801", NOON, "the caller rang again")
    assert state() == ("taken", "taken")
    steps = tickets.history(store, name)
    assert [(step.what, step.who) for step in steps] == [
        ("opened", "call"), ("taken", "801"), ("waiting_documents", "801"), ("taken", "802"),
        ("done", "802"), ("closed", "802"), ("taken", "801"),
    ]  # fmt: skip
    assert steps[4].text == "refunded"
    assert audit(store).findings == ()


@pytest.mark.parametrize(
    ("before", "wanted", "sentence"),
    [
        ((), "done", "is new: it can become done when it is taken, waiting_form"),
        ((), "closed", "is new: it can become closed when it is done"),
        ((), "waiting_form", "is new"),
        (("taken",), "closed", "is taken"),
        (("taken", "done"), "waiting_form", "is done"),
        ((), "new", "is new"),
        ((), "gone", "is new"),
    ],
)
def test_a_step_out_of_turn_is_refused_with_a_sentence(
    sqlite_store: Store, before: tuple[str, ...], wanted: str, sentence: str
) -> None:
    name = left(sqlite_store)
    for state in before:
        tickets.change(sqlite_store, name, state, "801", NOON)
    with pytest.raises(NotNow, match=sentence):
        tickets.change(sqlite_store, name, wanted, "801", NOON)
    with pytest.raises(NoTicket, match="T99"):
        tickets.change(sqlite_store, "T99", wanted, "801", NOON)


def test_a_very_serious_complaint_is_not_closed_before_the_follow_up_call_and_the_report(
    sqlite_store: Store,
) -> None:
    store, name = sqlite_store, left(sqlite_store)
    tickets.grade(store, name, "very_serious", "801", NOON)
    for state in ("taken", "done"):
        tickets.change(store, name, state, "801", NOON)
    with pytest.raises(NotNow, match="needs its follow_up and its report"):
        tickets.change(store, name, "closed", "801", NOON)
    tickets.remark(store, name, "801", NOON, "rang, is content", "follow_up")
    with pytest.raises(NotNow, match="needs its report"):
        tickets.change(store, name, "closed", "801", NOON)
    tickets.remark(store, name, "801", NOON, "see file 12", "report")
    assert tickets.change(store, name, "closed", "801", NOON).state == "closed"


def test_remarks_and_owners_are_added_in_whatever_state(store: Store) -> None:
    name = left(store)
    tickets.remark(store, name, "801", NOON, "called twice")
    tickets.assign(store, name, "expert", "801", NOON)
    assert tickets.found(store, name).owner == "expert"
    for words, what in ((" ", "remark"), ("x", "deleted")):
        with pytest.raises(NotNow):
            tickets.remark(store, name, "801", NOON, words, what)
    with pytest.raises(NotNow):
        tickets.grade(store, name, "mild", "801", NOON)
    assert audit(store).findings == ()


def test_how_a_ticket_stands_is_told_by_the_time_that_is_left(sqlite_store: Store) -> None:
    name = left(sqlite_store, replace(COMPLAINT, within="24 h"))
    one = tickets.found(sqlite_store, name)
    hours = {0: "", 21: "", 22: "due_soon", 23: "due_soon", 24: "overdue", 99: "overdue"}
    for after, expected in hours.items():
        assert tickets.standing(one, NOON + timedelta(hours=after), 7200) == expected, after
    short = replace(one, due_at=NOON + timedelta(minutes=30))
    assert tickets.standing(short, NOON + timedelta(minutes=14), 7200) == ""
    assert tickets.standing(short, NOON + timedelta(minutes=15), 7200) == "due_soon"
    assert tickets.standing(replace(one, state="done"), NOON + timedelta(hours=99), 7200) == ""


# ---------------------------------------------------------------- nothing is covered up


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


# what an editor of the file does: no program of ours in between, guards taken away and put back


TEMPLATE: dict[str, bytes] = {}


def template(folder: Path) -> bytes:
    """The bytes of a database with three tickets and twelve rows of history."""
    if not TEMPLATE:
        path = folder / "template.db"
        store = new(path)
        names = [left(store, replace(COMPLAINT, id=number)) for number in range(3)]
        for name in (names[0], names[1], names[0]):
            tickets.take(store, name, "801", NOON)
            tickets.remark(store, name, "801", NOON, "rang")
        for name in names:
            tickets.remark(store, name, "802", NOON, "asked the department")
        store.close()
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        TEMPLATE["bytes"] = path.read_bytes()
    return TEMPLATE["bytes"]


ROWS = 12
COLUMNS = ("ticket", "at", "what", "who", "data", "before", "hash")


@contextmanager
def edited(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database opened as an editor opens it; no guard is there while it lasts."""
    path = folder / "edited.db"
    path.write_bytes(template(folder))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        yield database
        for sql in made.SQLITE_GUARDS:
            database.execute(sql)
        database.commit()


def found_in(folder: Path, witnessed: tuple[Head, ...] = ()) -> Any:
    store = Store(f"sqlite:///{folder / 'edited.db'}")
    try:
        return audit(store, witnessed)
    finally:
        store.close()


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


def sealed_anew(database: sqlite3.Connection) -> None:
    """What somebody does who knows this program: every row is sealed again, the head as well."""
    before, length = "", 0
    names = ("seq", "ticket", "at", "what", "who", "data")
    for values in database.execute(f"SELECT {', '.join(names)} FROM ticket_history").fetchall():
        row = dict(zip(names, values, strict=True))
        digest, length = chain.seal(before, row), row["seq"]
        change = "UPDATE ticket_history SET before = ?, hash = ? WHERE seq = ?"
        database.execute(change, (before, digest, length))
        before = digest
    database.execute("UPDATE ticket_head SET length = ?, hash = ?", (length, before))


def heads(folder: Path) -> dict[int, Head]:
    with edited(folder) as database:
        rows = database.execute("SELECT seq, hash FROM ticket_history").fetchall()
    return {seq: Head(seq, digest) for seq, digest in rows}


@pytest.mark.parametrize("seq", [1, 5, 8, 12])
def test_a_chain_sealed_anew_is_found_by_a_head_that_was_written_down_elsewhere(
    tmp_path: Path, seq: int
) -> None:
    known = heads(tmp_path)
    with edited(tmp_path) as database:
        database.execute("UPDATE ticket_history SET who = '899' WHERE seq = ?", (seq,))
        sealed_anew(database)
    assert found_in(tmp_path).findings == ()  # nothing within the database can tell
    assert found_in(tmp_path, (known[4], known[8], known[12])).first_bad_row in {
        1: (1,), 5: (5,), 8: (5,), 12: (9,),
    }[seq]  # fmt: skip


def test_a_tail_cut_off_and_the_head_put_back_is_found_by_a_head_written_down_elsewhere(
    tmp_path: Path,
) -> None:
    known = heads(tmp_path)
    with edited(tmp_path) as database:
        database.execute("DELETE FROM ticket_history WHERE seq > 9")
        sealed_anew(database)
        database.execute("UPDATE ticket_head SET length = 9")
    assert found_in(tmp_path, (known[12],)).first_bad_row == 10


def test_what_was_never_written_is_found_also_if_it_is_sealed_well(tmp_path: Path) -> None:
    for data in ("", "[]", '{"set":{"nothing":1}}', '{"set":{"due_at":"x"}}', '{"set":[1]}'):
        with edited(tmp_path) as database:
            database.execute("UPDATE ticket_history SET data = ? WHERE seq = 6", (data,))
            sealed_anew(database)
        assert found_in(tmp_path).first_bad_row == 6, data


def test_a_witness_writes_each_head_down_once_and_survives_a_line_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = Witness.of(tmp_path, f"sqlite:///{tmp_path}/x.db")
    assert witness.path == tmp_path / "x.db.heads"
    one, two = Head(1, "a" * 64), Head(2, "b" * 64)
    assert not witness.note(Head())
    assert [witness.note(one), witness.note(one)] == [True, False]
    with witness.path.open("a") as file:
        file.write("2:bbb")
    assert witness.note(two)
    assert list(witness.heads()) == [one, two]
    assert witness.path.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SANSHENG_TICKET_HEADS", str(tmp_path / "far"))
    server = Witness.of(tmp_path, "postgresql://me:secret@h/x")
    assert server.path.parent == tmp_path / "far"
    assert Witness.of(tmp_path, "postgresql://me:other@h/x").path == server.path
    assert Witness.of(tmp_path, "postgresql://me:secret@h/y").path != server.path


def test_a_witness_reads_only_the_end_of_its_file(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "x.heads")
    assert witness.last() is None
    known = [Head(n, f"{n:064x}") for n in range(1, 61)]
    witness.path.write_text("".join(f"\n{one}\n" for one in known))
    assert witness.last() == known[-1]
    assert not witness.note(known[-1])
    with witness.path.open("r+b") as file:
        file.write(b"\xff" * 100)  # what is long past is not looked at
        file.seek(0, 2)
        file.write(b"\n61:00")  # cut short by a crash
    assert witness.last() == known[-1]
    assert witness.note(Head(61, "1" * 64))
    assert witness.last() == Head(61, "1" * 64)


def test_ten_thousand_rows_are_read_in_seconds(sqlite_store: Store) -> None:
    name = left(sqlite_store)
    with sqlite_store.write() as connection:
        for number in range(10_000):
            tickets.add(connection, name, "remark", "801", NOON, str(number))
    began = time.monotonic()
    assert audit(sqlite_store).head.length == 10_001
    assert time.monotonic() - began < 10


# ---------------------------------------------------------------- a line's file


def line(body: str) -> Rules:
    return rules(parse(f"hotline: x\npromises: {{answer: 24 h, simple: 2 h}}\n{body}\n", "x.yaml"))


def test_a_line_says_what_becomes_of_each_kind() -> None:
    read = line(
        "departments: {service: {}, expert: {}}\n"
        "tickets: {kinds: {complaint: {owner: expert, urgency: urgent, promise: simple, grade: "
        "serious}}, due_soon: 30 min, webhook: {url: 'https://h/x', token: HOOK}}"
    )
    assert read.rule("complaint") == Rule("expert", "urgent", "simple", "serious")
    assert read.rule("anything") == Rule("service", "normal", "answer", "")
    assert (read.promise("complaint"), read.promise("anything")) == ("2 h", "24 h")
    assert read.promise("complaint", "complex") == ""
    assert read.due_soon == 1800
    assert read.webhook is not None
    assert read.webhook.token == "HOOK"
    assert line("") == Rules({}, {"answer": "24 h", "simple": "2 h"})


def test_a_line_says_whom_a_grade_alerts_and_where_that_is_posted() -> None:
    read = line(
        "departments: {service: {}, quality: {}}\n"
        "tickets: {grades: {serious: {alert: supervisor}, very_serious: {alert: [quality, "
        "supervisor], webhook: 'https://h/q'}}, webhook: 'https://h/x'}"
    )
    assert read.grades["serious"] == Alert(("supervisor",))
    assert read.grades["very_serious"].whom == ("quality", "supervisor")
    hooks = [read.hook(name) for name in ("overdue", "serious", "very_serious")]
    assert [hook.url for hook in hooks if hook] == ["https://h/x", "https://h/x", "https://h/q"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("tickets: [1]", "x.yaml:3 F103 tickets take settings"),
        ("tickets: {kind: {}}", "x.yaml:3 F102 the key 'kind' is unknown: did you mean 'kinds'?"),
        ("tickets: {kinds: [1]}", "F103 kinds are a mapping"),
        ("tickets: {kinds: {a: high}}", "F103 a kind takes settings"),
        ("tickets: {kinds: {a: {urgencies: high}}}", "did you mean 'urgency'?"),
        ("tickets:\n  kinds:\n    a: {urgency: huge}", "x.yaml:5 F641 'huge' is no urgency"),
        ("tickets: {kinds: {a: {promise: complex}}}", "choose from answer, simple"),
        ("tickets: {kinds: {a: {grade: bad}}}", "choose from light, serious, very_serious"),
        ("departments: {service: {}}\ntickets: {kinds: {a: {owner: boss}}}",
         "'boss' is no owner of a ticket: choose from service, supervisor"),
        ("tickets: {kinds: {a: {owner: 'the boss'}}}", "F641 'the boss' is no name"),
        ("tickets: {due_soon: soon}", "F110"),
        ("tickets: {grades: [1]}", "F103 grades are a mapping"),
        ("tickets: {grades: {bad: {alert: supervisor}}}", "F641 'bad' is no grade of a ticket"),
        ("tickets: {grades: {serious: {}}}", "F643 a grade says whom it alerts"),
        ("tickets: {grades: {serious: {alert: boss}}}", "F643 'boss' is nobody who can be"),
        ("tickets: {webhook: {token: '${T}'}}", "F642 a webhook needs its address"),
        ("tickets: {webhook: {url: 'ftp://h'}}", "F642 'ftp://h' is no address"),
        ("tickets: {webhook: {url: 'https://u:p@h'}}", "without a password"),
        ("tickets: {webhook: {url: 'https://h', token: abc}}", "never the token"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_is_told_with_its_place(body: str, told: str) -> None:
    with pytest.raises(BadFile) as error:
        line(body)
    assert told in str(error.value)


def test_the_lines_that_ship_give_complaints_to_a_supervisor_with_both_settings(
    lines: Hotlines,
) -> None:
    for name, one in lines.lines.items():
        for kind in ("complaint", "agent_complaint"):
            assert one.tickets.rule(kind).owner == "supervisor", name
            assert one.tickets.rule(kind).complexity, name
            assert one.tickets.promise(kind), name
        assert {"simple", "complex"} <= set(one.promises), name


def test_a_record_that_cannot_be_read_is_nobodys_ticket(sqlite_store: Store) -> None:
    """A message's row without its call's is still a message, and gets its ticket."""
    message = Message("m9", "fallback", "k", "", "message", NOON, quality="missing")
    with sqlite_store.write() as connection:
        connection.execute(insert(tables.messages), [
            {name: getattr(message, name) for name in Message.__slots__}
        ])  # fmt: skip
        assert tickets.open_(connection, message, Terms(), NOON) == "T1"
    assert json.loads(json.dumps(dict(tickets.found(sqlite_store, "T1").asked))) == {}


# ---------------------------------------------------------------- the service


async def test_the_desk_opens_tickets_by_the_rules_of_the_line_as_it_is_now(
    sqlite_store: Store, tmp_path: Path, lines: Hotlines
) -> None:
    clock = SystemClock()
    desk = Desk(sqlite_store, spool(sqlite_store, tmp_path), clock, lambda: lines)
    with sqlite_store.write() as connection:
        write_rows(connection, Call, [replace(CALL, hotline="xjca")])
        messages = [
            Message(name, "fallback", name, hotline, "agent_complaint", NOON)
            for name, hotline in (("m1", "xjca"), ("m2", "gone"))
        ]
        write_rows(connection, Message, messages)
    line = lines.lines["xjca"]
    within = line.tickets.promise("agent_complaint")
    wish = replace(COMPLAINT, within=within)
    await desk.keep(replace(CALL, hotline="xjca"), line, wish)
    await desk.tidy()
    clock.close()
    found = {one.message_id: one for one in all_of(sqlite_store)}
    known, gone = found.pop("m1"), found.pop("m2")
    [kept] = found.values()
    assert (kept.promised, kept.complexity, kept.owner) == (within, "complex", "supervisor")
    assert (known.owner, known.due_at) == ("supervisor", lines.hours["xjca"].due(NOON, within))
    assert (gone.owner, gone.due_at) == ("service", NOON + timedelta(hours=24))


async def test_what_the_caller_heard_is_when_the_ticket_falls_due(
    sqlite_store: Store, lines: Hotlines
) -> None:
    """For every line and kind: the promise of the core's wish, the words, and the due time."""
    for line in lines.lines.values():
        for kind in ("message", "question", "query", "person", "complaint", "agent_complaint"):
            within = line.tickets.promise(kind)
            text = lines.library.text(line.name, f"message.kept.{kind}")
            due = lines.hours[line.name].due(NOON, within)
            message = Message(f"{line.name}{kind}", "call", f"{line.name}{kind}", line.name, kind,
                              NOON, within=within, due_at=due)  # fmt: skip
            with sqlite_store.write() as connection:
                write_rows(connection, Message, [message])
                name = tickets.open_(
                    connection, message, Terms(line.tickets, lines.hours[line.name]), NOON
                )
            assert tickets.found(sqlite_store, name).due_at == due
            said = {words for words in ("24小时", "三个工作日") if words in text}
            assert said <= {spoken(within)}, (line.name, kind)
