"""What a journal says of its call, and that the call can be played again from it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from journalled import CALL, NOON, entry

from ivr.actions import Action, HangUp, Listen, Note, PickUp, Ring, Say
from ivr.clock import SystemClock
from ivr.events import Answered, EndAsked, Event, HungUp, Offered, Rung, Said, Silence
from ivr.journal import Entry
from ivr.journal_writer import Writer
from ivr.replay import entries, fold, replay
from ivr.store import Store, erase_call

pytest_plugins = ["databases"]

TALK = [
    entry(0, Offered("11185", "138", rung=2.0), 0),
    entry(1, Ring(1, 5.0), 0),
    entry(2, Rung(1, 5.02), 3020),
    entry(3, PickUp(2), 3020),
    entry(4, Answered(2, 5.04), 3040),
    entry(5, Note("kind", "query"), 3040),
    entry(6, Say(3, "opening"), 3040),
    entry(7, HungUp(), 9000),
    entry(8, Note("kind", "silent"), 9000),
]


def test_the_row_of_a_call_follows_from_its_journal() -> None:
    row = fold(CALL, TALK)
    assert row.rung_ms == 5040
    assert row.answered_at == NOON + timedelta(milliseconds=3040)
    assert row.ended_at == NOON + timedelta(seconds=9)
    assert row.ended_by == "caller"
    assert row.record == {"kind": "silent", "kinds": "query silent"}
    assert fold(row, TALK) == row


def test_who_ended_a_call_is_told_right() -> None:
    ours = [*TALK[:7], entry(7, HangUp(4), 8000), entry(8, HungUp(), 8100)]
    assert fold(CALL, ours).ended_by == "us"
    assert fold(CALL, ours).ended_at == NOON + timedelta(seconds=8)
    ops = [*TALK[:7], entry(7, EndAsked(), 7000), entry(8, HangUp(4), 8000)]
    assert fold(CALL, ops).ended_by == "ops"
    noted = [*TALK[:7], entry(7, Note("ended_by", "bad line")), entry(8, HangUp(4), 8000)]
    assert fold(CALL, noted).ended_by == "bad line"


def machine(state: int, event: Event) -> tuple[int, list[Action]]:
    """A small machine: counts, and says what it counted."""
    if isinstance(event, HungUp):
        return state, []
    return state + 1, [Say(state, "count"), Listen(state, 2.0)]


def journalled(*events: Event) -> list[Entry]:
    state, rows = 0, []
    for event in events:
        rows.append(entry(len(rows), event))
        state, actions = machine(state, event)
        for action in actions:
            rows.append(entry(len(rows), action))
    return rows


GOOD = journalled(Offered("1001"), Said(0), Silence(1), HungUp())


def test_a_replay_yields_the_same_actions_byte_for_byte() -> None:
    result = replay(GOOD, 0, machine)
    assert result.difference is None
    assert not result.cut
    assert (result.events, result.actions) == (4, 6)


def test_the_first_difference_is_told_with_its_place() -> None:
    rows = [*GOOD]
    rows[5] = entry(5, Listen(1, 3.0))
    result = replay(rows, 0, machine)
    assert result.difference is not None
    assert result.difference.seq == 5
    assert 'Listen {"id":1,"seconds":3.0' in str(result.difference)
    assert '"seconds":2.0' in str(result.difference)


def test_an_action_too_many_and_one_too_few_are_differences() -> None:
    more = [*GOOD[:3], entry(3, Note("a", "b")), *GOOD[3:]]
    found = replay(more, 0, machine).difference
    assert found is not None
    assert (found.expected, found.got) == ('Note {"key":"a","value":"b"}', "")
    fewer = [*GOOD[:5], *GOOD[6:]]
    found = replay(fewer, 0, machine).difference
    assert found is not None
    assert found.expected == ""


def test_a_journal_that_a_crash_cut_short_is_no_difference_but_is_told() -> None:
    result = replay(GOOD[:5], 0, machine)
    assert result.difference is None
    assert result.cut


def test_a_journal_that_begins_with_an_action_is_told() -> None:
    with pytest.raises(ValueError, match="begins with an action"):
        replay(GOOD[1:], 0, machine)


def test_an_erased_call_replays_as_nothing(store: Store) -> None:
    writer = Writer(store, clock=SystemClock())
    for row in (CALL, *TALK):
        writer.append(row)
    writer.close()
    assert entries(store, "c1") == TALK
    with store.write() as connection:
        erase_call(connection, "c1", "asked", NOON)
    assert entries(store, "c1") == []
    assert replay([], 0, machine).events == 0
