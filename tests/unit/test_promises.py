"""Promises to call back: who gets one, how it is tried, what becomes of it; and how a line's file
says so."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic import command as steps
from sqlalchemy import text

from ivr import attempts, callback_rules, cli, migrations, promise_news, promises, tables, tickets
from ivr.actions import Keep
from ivr.attempts import Attempt, tried
from ivr.callback_rules import Rules
from ivr.document import BadFile
from ivr.files import parse
from ivr.hours import Hours
from ivr.messages import Kept, keep
from ivr.promises import Promise, listed
from ivr.store import Call, Message, Store, write_rows

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
RULES = Rules(through="carrier", shows="1001")
OWN = ("1001", "11183")
PERSON = "13912345678"


def left(store: Store, number: int = 1, contact: str = PERSON, at: datetime = NOON) -> Kept:
    """A caller leaves a message and is promised an answer, or not."""
    call = Call(f"pbx-{number}", "pbx", str(number), "xjca", "1001", "", at)
    with store.write() as connection:
        write_rows(connection, Call, [call])
    wish = Keep(9, "message", (("contact", contact),) if contact else (), "24 h")
    return keep(store, call, wish, HOURS, at, None, OWN)


def only(store: Store) -> Promise:
    (one,) = listed(store, states=promises.STATES)
    return one


def begun(store: Store, at: datetime = NOON, owner: str = "one") -> Attempt:
    attempt = attempts.begin(store, only(store).id, owner, "pbx", at, RULES.attempts)
    assert attempt is not None
    return attempt


def ended(store: Store, result: str, at: datetime = NOON) -> Promise:
    """One attempt that rang the person and came to this."""
    attempt = begun(store, at)
    assert attempts.dialling(store, attempt.id, "801", at)
    after = attempts.end(store, attempt.id, result, at, RULES)
    assert after is not None
    return after


# ---------------------------------------------------------------- who gets one


def test_a_message_and_its_promise_are_kept_together_once(store: Store) -> None:
    kept = left(store)
    assert kept.promised
    assert left(store) == kept
    one = only(store)
    assert (one.message_id, one.contact, one.state) == (kept.reference, PERSON, "open")
    assert one.due_at == NOON + timedelta(hours=24)
    assert one.place == one.message_id


@pytest.mark.parametrize(
    "contact", ["", "+12025550123", "4008000000", "95533", "1001", "02011183", "not a number"]
)
def test_who_may_not_be_called_back_is_promised_nothing_and_the_message_is_kept(
    store: Store, contact: str
) -> None:
    kept = left(store, contact=contact)
    assert not kept.promised
    assert listed(store, states=promises.STATES) == []
    with store.read() as connection:
        assert tickets.of_message(connection, kept.reference)


def test_a_number_gets_three_promises_a_day_of_the_lines_calendar(store: Store) -> None:
    late = datetime(2026, 11, 23, 15, 59, tzinfo=UTC)  # a minute before midnight there
    assert [left(store, number, at=late).promised for number in range(5)] == [
        *(True, True, True),
        *(False, False),
    ]
    assert left(store, 9, at=late + timedelta(minutes=2)).promised
    assert left(store, 10, "13800138000", at=late).promised
    assert len(listed(store, states=promises.STATES)) == 5


# ---------------------------------------------------------------- trying


def test_one_attempt_at_a_time_holds_the_promise_and_the_number(store: Store) -> None:
    left(store, 1)
    left(store, 2)
    first, second = listed(store)
    attempt = attempts.begin(store, first.id, "one", "pbx", NOON, 3)
    assert attempt is not None
    assert attempt.channel_id == f"sansheng-callback-{attempt.id}"
    assert attempts.begin(store, first.id, "two", "pbx", NOON, 3) is None
    assert attempts.begin(store, second.id, "two", "pbx", NOON, 3) is None
    attempts.end(store, attempt.id, "no_agent", NOON, RULES)
    assert attempts.begin(store, second.id, "two", "pbx", NOON, 3) is not None


def test_an_attempt_is_dialled_once_and_counts_from_then_on(store: Store) -> None:
    left(store)
    attempt = begun(store)
    assert only(store).tries == 0
    assert attempts.dialling(store, attempt.id, "801", NOON)
    assert not attempts.dialling(store, attempt.id, "801", NOON)
    assert only(store).tries == 1
    assert attempts.end(store, attempt.id, "unknown", NOON, RULES) is not None
    assert attempts.end(store, attempt.id, "connected", NOON, RULES) is None
    assert not attempts.dialling(store, attempt.id, "801", NOON)
    assert tried(store, only(store).id)[0].result == "unknown"


def test_attempts_are_spaced_and_the_third_is_the_last(store: Store) -> None:
    left(store)
    at = NOON
    for _ in range(2):
        after = ended(store, "busy", at)
        assert after.next_at == at + timedelta(minutes=30)
        assert not attempts.waiting(store, after.next_at - timedelta(seconds=1), ["xjca"])
        early = after.next_at - timedelta(seconds=1)
        assert attempts.begin(store, after.id, "one", "pbx", early, 3) is None
        at = after.next_at
    last = ended(store, "no_answer", at)
    assert (last.state, last.tries) == ("given_up", 3)
    assert "3 calls" in last.reason
    assert not attempts.waiting(store, at + timedelta(days=2), ["xjca"])


def test_a_query_waits_for_its_back_end_and_other_promises_do_not(store: Store) -> None:
    left(store)
    assert attempts.waiting(store, NOON, ["xjca"], ["xjca"])
    with store.write() as connection:
        connection.execute(tables.promises.update().values(kind="query"))
    assert not attempts.waiting(store, NOON, ["xjca"], ["xjca"])
    assert attempts.unplaced(store, NOON, ["xjca"], ["xjca"]) == []
    assert len(attempts.unplaced(store, NOON, ["xjca"])) == 1
    assert attempts.unplaced(store, NOON, ["lakala"]) == []


def test_no_agent_is_no_call_to_the_person(store: Store) -> None:
    left(store)
    attempt = begun(store)
    after = attempts.end(store, attempt.id, "no_agent", NOON, RULES)
    assert after is not None
    assert (after.state, after.tries) == ("open", 0)
    assert after.next_at == NOON + attempts.AGAIN


def test_a_wrong_person_is_not_called_again(store: Store) -> None:
    left(store)
    assert ended(store, "wrong_person").state == "given_up"


def test_what_came_of_it_stands_in_the_tickets_history(store: Store) -> None:
    kept = left(store)
    ended(store, "connected")
    with store.read() as connection:
        ticket = tickets.of_message(connection, kept.reference)
    steps = [(step.what, step.text) for step in tickets.history(store, ticket)]
    assert steps[-1] == ("callback", "connected 801")


def test_only_one_process_takes_over_an_attempt_of_one_that_died(store: Store) -> None:
    left(store)
    attempt = begun(store, owner="dead")
    assert attempts.adopt(store, attempt, "two")
    assert not attempts.adopt(store, attempt, "three")
    assert [one.owner for one in attempts.running(store)] == ["two"]


# ---------------------------------------------------------------- time passes


def test_a_promise_past_its_time_is_broken_once_and_stays_so_when_kept_late(store: Store) -> None:
    left(store)
    due = only(store).due_at
    assert promises.passed(store, due - timedelta(seconds=1)) == []
    assert [one.id for one in promises.passed(store, due)] == [only(store).id]
    assert promises.passed(store, due) == []
    assert only(store).state == "broken"
    assert ended(store, "busy", due).state == "broken"
    later = due + timedelta(minutes=30)
    assert ended(store, "connected", later).state == "kept"
    (line,) = promises.report(store)
    assert (line.made, line.kept, line.late, line.broken) == (1, 0, 1, 0)


def test_a_promise_given_up_is_broken_too_when_its_time_has_passed(store: Store) -> None:
    left(store)
    ended(store, "wrong_person")
    assert len(promises.passed(store, NOON + timedelta(days=2))) == 1
    (line,) = promises.report(store)
    assert (line.broken, line.given_up) == (1, 1)


def news(store: Store, at: datetime, say: bool = True) -> list[str]:
    """What is said of promises at this time."""
    found = promise_news.claim(store, {"xjca": 7200.0}, at)
    for one in found if say else []:
        promise_news.said(store, one, at)
    return [one.what for one in found]


def test_a_promise_is_said_to_be_due_soon_once(store: Store) -> None:
    left(store)
    due = only(store).due_at
    assert news(store, due - timedelta(hours=3)) == []
    assert news(store, due - timedelta(hours=2)) == ["due_soon"]
    assert news(store, due - timedelta(hours=1)) == []


def test_what_a_process_that_died_did_not_come_to_say_is_said_by_another(store: Store) -> None:
    left(store)
    due = only(store).due_at
    promises.passed(store, due)
    assert news(store, due, say=False) == ["broken"]
    assert news(store, due + timedelta(seconds=30)) == []  # it may be about to
    assert news(store, due + timedelta(seconds=90)) == ["broken"]
    assert news(store, due + timedelta(days=1)) == []


def test_a_promise_given_up_again_is_said_again(store: Store) -> None:
    left(store)
    for _ in range(2):
        ended(store, "wrong_person")
        assert news(store, NOON) == ["given_up"]
        promises.settle(store, only(store).id, "open", "801", "", NOON)
        assert news(store, NOON) == []


def test_a_promise_that_people_dropped_is_neither_owed_nor_broken(store: Store) -> None:
    left(store)
    promises.settle(store, only(store).id, "given_up", "801", "she rang us", NOON)
    late = NOON + timedelta(days=2)
    assert promises.passed(store, late) == []
    assert news(store, late) == []
    assert listed(store) == []
    assert listed(store, states=["given_up"]) == []
    assert len(listed(store, states=["dropped"])) == 1
    (line,) = promises.report(store)
    assert (line.broken, line.given_up, line.dropped) == (0, 0, 1)
    promises.settle(store, only(store).id, "open", "801", "", late)
    assert len(listed(store)) == 1


def test_a_ticket_that_people_have_solved_keeps_its_promise(store: Store) -> None:
    kept = left(store)
    with store.read() as connection:
        ticket = tickets.of_message(connection, kept.reference)
    tickets.take(store, ticket, "801", NOON)
    assert promises.answered(store, NOON) == []
    tickets.change(store, ticket, tickets.DONE, "801", NOON)
    assert promises.answered(store, NOON) == [only(store).id]
    assert only(store).state == "kept"


def test_people_may_say_what_became_of_a_promise_but_not_while_it_is_tried(store: Store) -> None:
    left(store)
    one = only(store)
    attempt = begun(store)
    with pytest.raises(promises.NoPromise):
        promises.settle(store, one.id, "kept", "801", "", NOON)
    attempts.end(store, attempt.id, "wrong_person", NOON, RULES)
    promises.settle(store, one.id, "open", "801", "another number", NOON)
    assert only(store).state == "open"
    promises.settle(store, one.id, "kept", "801", "rang them", NOON)
    assert only(store).reason == "801: rang them"
    with pytest.raises(promises.NoPromise):
        promises.settle(store, "p0", "kept", "801", "", NOON)


# ---------------------------------------------------------------- what a line's file says


def rules(text: str) -> Rules:
    return callback_rules.parse(parse(f'numbers: {{"1001": {{}}}}\n{text}', "line.yaml"))


def test_a_line_calls_in_its_working_hours_unless_it_says_others() -> None:
    line = 'hours: {open: {mon-fri: "09:30-18:30"}, holidays: cn}\n'
    sunday = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
    assert not rules(line).hours.is_open(sunday)
    assert rules(line).hours.is_open(NOON)
    every = rules(line + 'callbacks: {hours: {mon-sun: "09:00-21:00"}}')
    assert every.hours.is_open(sunday)
    assert not every.hours.is_open(datetime(2026, 10, 1, 4, 0, tzinfo=UTC))  # a public holiday
    night = rules(line + 'callbacks: {hours: {mon-sun: "22:00-02:00"}}')
    assert night.hours.is_open(datetime(2026, 11, 23, 17, 59, tzinfo=UTC))  # 1:59 there
    assert not night.hours.is_open(datetime(2026, 11, 23, 18, 0, tzinfo=UTC))


def test_what_is_shown_is_a_number_of_the_line() -> None:
    assert rules("").shows == "1001"
    with pytest.raises(BadFile) as told:
        rules('callbacks: {shows: "13800138000"}')
    assert str(told.value.problems[0]).startswith("line.yaml:2 F662")  # a code of its own


@pytest.mark.parametrize(
    "text",
    [
        "callbacks: {through: 'a b'}",
        "callbacks: {attempts: 0}",
        "callbacks: {spacing: 1 s}",
        "callbacks: {ring: 5 min}",
        "callbacks: {hours: {foo: '09:00-10:00'}}",
        "callbacks: {tries: 3}",
        "callbacks: 3",
    ],
)
def test_a_mistake_is_told_with_file_and_line(text: str) -> None:
    with pytest.raises(BadFile) as told:
        rules(text)
    assert str(told.value.problems[0]).startswith("line.yaml:2")


# ---------------------------------------------------------------- the command


def test_the_command_lists_shows_and_reports(
    sqlite_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    left(sqlite_store)
    database = ["--database", str(sqlite_store.engine.url)]

    def said(*words: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            cli.main(["promises", *words, "--json", *database])
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    (row,) = said()
    assert (row["contact"], row["state"]) == ("*******5678", "open")
    assert said("show", row["promise"])["contact"] == PERSON
    assert said("report", "--days", "3650")[0]["made"] == 1


def command(store: Store, *words: str) -> int:
    """The exit code of `sansheng promises …` on this database."""
    with pytest.raises(SystemExit) as over:
        cli.main(["promises", *words, "--database", str(store.engine.url)])
    assert isinstance(over.value.code, int)
    return over.value.code


def test_what_people_say_is_confirmed_one_line_and_shown_without_numbers(
    sqlite_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    left(sqlite_store)
    one = only(sqlite_store).id
    text = "she rang us\nfrom 13800138000"
    assert command(sqlite_store, "drop", one, "--by", "802", "--text", text) == 0
    assert f"promise {one} is dropped" in capsys.readouterr().err
    assert only(sqlite_store).reason == "802: she rang us from 13800138000"
    assert "13800138000" not in promises.told(only(sqlite_store))["reason"]
    assert command(sqlite_store, "--state", "dropped", "--json") == 0
    shown = capsys.readouterr().out
    assert "13800138000" not in shown
    assert '"dropped"' in shown
    assert command(sqlite_store, "report", "--days", "3650") == 0
    assert command(sqlite_store, "again", one, "--by", "802") == 0
    assert "tried again from now on" in capsys.readouterr().err


def test_a_promise_is_shown_by_its_id_at_the_time_of_the_machine(
    sqlite_store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left(sqlite_store)
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert command(sqlite_store, "show", only(sqlite_store).id) == 0
        shown = capsys.readouterr().out
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "made_at    2026-11-23 12:00" in shown
    assert command(sqlite_store, "show", "p0") != 0
    assert "there is no promise p0" in capsys.readouterr().err


def test_a_length_that_is_none_is_told_in_a_sentence(
    sqlite_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(sqlite_store, "--due", "abc") != 0
    assert "'abc' is no length of time: write e.g. 30 min or 2 h" in capsys.readouterr().err


# ---------------------------------------------------------------- older databases


def test_what_was_said_of_promises_in_an_older_database_is_not_said_again(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/older.db")
    settings = migrations.config()
    with store.write() as connection:
        settings.attributes["connection"] = connection
        steps.upgrade(settings, "0005")
        for number, state, soon, broken in [
            (1, "given_up", None, None),
            (2, "broken", NOON, NOON),
            (3, "open", None, None),
        ]:
            message = Message(
                id=f"m{number}",
                source="call",
                source_key=str(number),
                hotline="xjca",
                kind="message",
                created_at=NOON,
            )
            write_rows(connection, Message, [message])
            values = {
                "id": f"p{number}",
                "message_id": f"m{number}",
                "place": f"m{number}",
                "state": state,
                "soon_told_at": soon and soon.isoformat(sep=" "),
                "broken_at": broken and broken.isoformat(sep=" "),
                "now": NOON.isoformat(sep=" "),
            }
            connection.execute(text(OLDER), values)
    store.upgrade()
    assert len(listed(store)) == 3
    promises.passed(store, NOON)
    assert [(one.what, one.promise.id) for one in promise_news.claim(store, {}, NOON)] == [
        ("broken", "p1"),  # its time has passed only now
        ("broken", "p3"),
    ]
    store.close()


OLDER = (
    "INSERT INTO promises (id, message_id, place, hotline, kind, contact, owner, promised, made_at,"
    " due_at, next_at, state, reason, tries, soon_told_at, broken_at) VALUES (:id, :message_id,"
    " :place, 'xjca', 'message', '13912345678', '', '24 h', :now, :now, :now, :state, '', 0,"
    " :soon_told_at, :broken_at)"
)
