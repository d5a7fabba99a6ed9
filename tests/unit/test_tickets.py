"""Every message becomes a ticket that somebody owes an answer to, and nothing can be covered up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from at_once import after
from sqlalchemy import Connection, insert, select, text
from ticketed import CALL, COMPLAINT, HOURS, NOON, RULES, all_of, left, spool

from ivr import tables, tickets
from ivr.actions import Keep
from ivr.audit import audit
from ivr.clock import SystemClock
from ivr.desk import Desk
from ivr.hotlines import Hotlines
from ivr.hours import spoken
from ivr.intake import Intake
from ivr.messages import message_id
from ivr.store import Call, Message, StorageFailed, Store, write_rows
from ivr.ticket_rules import Rule, Rules
from ivr.tickets import NoTicket, NotNow, Terms

pytest_plugins = ["databases"]
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


@pytest.mark.parametrize("kind", ["caller", "transfer_note"])
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

    def is_done(connection: Connection) -> None:
        tickets.add(connection, "T1", "done", "801", NOON, state="done")

    with pytest.raises(NotNow):
        after(store, is_done, change)
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
    for past, expected in hours.items():
        assert tickets.standing(one, NOON + timedelta(hours=past), 7200) == expected, past
    short = replace(one, due_at=NOON + timedelta(minutes=30))
    assert tickets.standing(short, NOON + timedelta(minutes=14), 7200) == ""
    assert tickets.standing(short, NOON + timedelta(minutes=15), 7200) == "due_soon"
    assert tickets.standing(replace(one, state="done"), NOON + timedelta(hours=99), 7200) == ""


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


def test_what_the_caller_heard_is_when_the_ticket_falls_due(
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
            assert said or kind != "message", line.name
