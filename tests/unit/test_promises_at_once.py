"""Promises while several processes see to them: nobody promises too much, or forgets what another
has written down, and all go through them in the same order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from at_once import after
from owed import NOON, PERSON, RULES, left
from sqlalchemy import Connection, update

from ivr import attempts, chain, promises, tables, tickets
from ivr.promises import Promise, listed
from ivr.store import Message, Store, write_rows

pytest_plugins = ["databases"]


@pytest.mark.parametrize("same", [True, False])
def test_promises_whose_time_has_passed_are_gone_through_in_one_order(
    store: Store, same: bool
) -> None:
    for number in range(8):
        at = NOON if same else NOON - timedelta(minutes=number)
        left(store, number, f"1381111000{number}", at)
    found = promises.passed(store, NOON + timedelta(days=2))
    assert len(found) == 8
    assert found == sorted(found, key=lambda one: (one.due_at, one.id))


def test_promises_that_people_have_kept_are_gone_through_in_the_same_order(store: Store) -> None:
    for number in range(8):
        left(store, number, f"1381111000{number}", NOON - timedelta(minutes=number % 2))
    for one in listed(store):
        with store.read() as connection:
            ticket = tickets.of_message(connection, one.message_id)
        tickets.take(store, ticket, "801", NOON)
        tickets.change(store, ticket, tickets.DONE, "801", NOON)
    in_order = [one.id for one in listed(store)]
    assert promises.answered(store, NOON) == in_order


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_two_calls_at_once_do_not_get_more_promises_than_a_day_has(store: Store) -> None:
    for number in range(promises.A_DAY - 1):
        assert left(store, number).promised
    at_once = Message(
        *("m9", "call", "pbx-9#9", "xjca", "message", NOON),
        contact=PERSON,
        within="24 h",
        due_at=NOON + timedelta(days=1),
    )

    def keeps(connection: Connection) -> None:
        chain.lock(connection)
        write_rows(connection, Message, [at_once])
        promises.make(connection, at_once, "service")

    assert not after(store, keeps, lambda: left(store, 8)).promised
    assert len(listed(store)) == promises.A_DAY


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_promise_broken_while_an_attempt_ends_stays_broken(store: Store) -> None:
    left(store)
    (one,) = listed(store)
    attempt = attempts.begin(store, one.id, "one", "pbx", NOON, 3)
    assert attempt is not None

    def passes(connection: Connection) -> None:
        connection.execute(update(tables.promises).values(broken_at=NOON))

    def ends() -> Promise | None:
        return attempts.end(store, attempt.id, "no_agent", NOON, RULES)

    ended = after(store, passes, ends)
    assert ended is not None
    assert ended.state == promises.BROKEN
