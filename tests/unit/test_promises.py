"""Promises to call back: who gets one, and what becomes of it as time passes and people act."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from owed import NOON, PERSON, RULES, begun, ended, left, news, only

from ivr import attempts, promises, tickets
from ivr.promises import listed
from ivr.store import Store

pytest_plugins = ["databases"]


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
