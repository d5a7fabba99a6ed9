"""Attempts to keep a promise: one at a time, spaced, counted from when the person is rung."""

from __future__ import annotations

from datetime import timedelta

from owed import NOON, RULES, begun, ended, left, only

from ivr import attempts, tables, tickets
from ivr.attempts import tried
from ivr.promises import listed
from ivr.store import Store

pytest_plugins = ["databases"]


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
