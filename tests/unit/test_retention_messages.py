"""Messages that the dialplan took while we were away: of no call, and kept as long as one."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from house import CALLER, CONTACT, NOON, House
from hypothesis import given, settings
from hypothesis import strategies as st
from migrated import new

from ivr import retention, tables
from ivr.audit import audit
from ivr.erasing import listed
from ivr.retention import due
from ivr.retention_rules import Rules
from ivr.store import Message, write_rows
from ivr.tickets import Terms, open_

pytest_plugins = ["databases"]

RULES = Rules(calls=365)


def left(house: House, name: str, days: float, line: str = "ems", call: str | None = None) -> str:
    """A message that the dialplan took so many days ago, with its recording and its ticket."""
    said = house.recording(f"of {name}", None, days, "fallback")
    message = Message(
        name, "fallback", f"pbx/1/{name}", line, "message", NOON - timedelta(days=days), call,
        CALLER, CONTACT, recording=said, fields={"number": "11185"},
    )  # fmt: skip
    with house.store.write() as connection:
        write_rows(connection, Message, [message])
        open_(connection, message, Terms(), message.created_at)
    return name


def message(house: House, name: str) -> dict[str, Any]:
    return next(row for row in house.rows(tables.messages) if row["id"] == name)


def named(house: House) -> set[str]:
    """Messages that say who left them."""
    of = tables.messages.c
    return set(house.ids(tables.messages, (of.caller != "") | (of.contact != "")))


def test_a_message_of_no_call_names_its_caller_as_long_as_a_call_does(house: House) -> None:
    for name, days in (("old", 366), ("young", 364), ("open", 366)):
        left(house, name, days)
    left(house, "of another line", 366, "xjca")
    for name in ("old", "young", "of another line"):
        house.solve(name)
    plan = due(house.store, house.spool, "ems", RULES, NOON)
    assert (plan.messages, plan.recordings, plan.needed) == (1, 1, 1)
    house.look(Rules())
    house.look(Rules(recordings=400))
    assert named(house) == {"old", "young", "open", "of another line"}
    house.look(RULES)
    assert named(house) == {"young", "open", "of another line"}
    gone = message(house, "old")
    assert (gone["item"], gone["fields"], gone["kind"]) == ("", {}, "message")
    assert gone["recording"] not in house.files()
    assert len(house.files()) == 3
    assert [(row["by"], row["reason"]) for row in listed(house.store)] == [
        ("service", "kept for 365 days")
    ]
    assert audit(house.store).findings == ()


def test_what_was_needed_goes_once_nobody_needs_it_and_nothing_goes_twice(house: House) -> None:
    left(house, "m1", 400)
    house.look(RULES)
    assert named(house) == {"m1"}
    house.solve("m1")
    house.look(RULES)
    house.look(RULES)
    assert named(house) == set()
    assert len(listed(house.store)) == 1
    plan = due(house.store, house.spool, "ems", RULES, NOON)
    assert (plan.messages, plan.recordings, plan.needed) == (0, 0, 0)


def test_a_message_of_a_call_goes_with_its_call(house: House) -> None:
    house.call("c1", 400)
    left(house, "m1", 400, call="c1")
    house.solve("m1")
    assert due(house.store, house.spool, "ems", RULES, NOON).messages == 0
    house.look(RULES)
    assert named(house) == set()


def test_a_recording_without_a_number_goes_too(house: House) -> None:
    """The caller withheld the number; a recording is a voice."""
    left(house, "m1", 400)
    house.solve("m1")
    with house.store.write() as connection:
        nothing = {"caller": "", "contact": "", "fields": {}}
        connection.execute(tables.messages.update().values(**nothing))
    house.look(RULES)
    assert house.files() == set()


def test_more_than_fits_into_one_step_goes_also_past_what_is_needed(house: House) -> None:
    number = 2 * retention.AT_ONCE + 3
    for one in range(number):
        left(house, f"m{one:02}", 400)
        if one % 2:
            house.solve(f"m{one:02}")
    house.look(RULES)
    assert named(house) == {f"m{one:02}" for one in range(0, number, 2)}


TICKETS = st.sampled_from(["new", "taken", "done", "closed"])


@given(made=st.lists(st.tuples(st.sampled_from([300.0, 400.0]), TICKETS), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_no_message_goes_that_somebody_needs_and_all_others_do(
    made: list[tuple[float, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(new(Path(folder) / "x.db"), Path(folder))
        stays = set()
        for number, (days, state) in enumerate(made):
            name = left(house, f"m{number}", days)
            if state != "new":
                house.solve(name, state)
            stays |= {name} if days < 365 or state != "closed" else set()
        house.look(RULES)
        assert named(house) == stays
        assert len(house.files()) == len(stays)
        house.store.close()
