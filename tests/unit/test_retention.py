"""What a line keeps for a time is erased after it, by itself, and never while somebody needs it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from background import going_on
from house import NOON, House, Killed, Killer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from migrated import new
from sqlalchemy import update
from structlog.testing import capture_logs

from ivr import erasing, promises, retention, tables, tickets
from ivr import logs as logging
from ivr.audit import audit
from ivr.clock import VirtualClock
from ivr.document import BadFile
from ivr.erasing import listed
from ivr.files import parse as read
from ivr.retention import EVERY, Retention, due
from ivr.retention_rules import Rules, parse

pytest_plugins = ["databases"]

BOTH = Rules(recordings=90, calls=365)


# ---------------------------------------------------------------- what a line's file says


def rules_of(text: str) -> Rules:
    return parse(read(f"hotline: x\n{text}", "x.yaml"))


def test_a_line_that_says_nothing_keeps_everything() -> None:
    assert rules_of("") == Rules(None, None)
    assert rules_of("retention: {recordings: 90 days}") == Rules(90, None)
    assert rules_of("retention: {calls: 1 day, recordings: 1 day}") == Rules(1, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retention: 90 days", "x.yaml:2 F103 retention takes settings: write {recordings: 90"),
        ("retention:\n  recording: 9 days", "x.yaml:3 F102 the key 'recording' is unknown: did"),
        ("retention:\n  calls: 90", "x.yaml:3 F671 '90' is no time to keep something: write e.g."),
        ("retention:\n  calls: 0 days", "x.yaml:3 F671 '0 days'"),
        ("retention:\n  calls: 99999 days", "x.yaml:3 F671 '99999 days'"),
        ("retention:\n  calls: 24 h", "x.yaml:3 F671 '24 h'"),
        ("retention:\n  calls: [1 day]", "x.yaml:3 F671"),
        (
            "retention:\n  calls: 30 days\n  recordings: 90 days",
            "x.yaml:4 F672 recordings are kept for 90 days, and their calls for 30: a call is",
        ),
    ],
)
def test_a_time_that_is_wrong_is_told_with_its_place_and_how_to_mend_it(
    text: str, told: str
) -> None:
    with pytest.raises(BadFile) as error:
        rules_of(text)
    assert any(str(one).startswith(told) for one in error.value.problems), error.value.problems


# ---------------------------------------------------------------- what goes, and when


def test_recordings_are_erased_after_their_time(house: House) -> None:
    """One of a call, one that only the dialplan's message names, one of nobody."""
    house.call("c1", 90.1)
    said = house.recording("a" * 32, "c1", 90.1)
    house.recording("b" * 32, "c1", 89.9)
    house.recording("of nobody", None, 200)
    rules = Rules(recordings=90)
    expected = due(house.store, house.spool, "ems", rules, NOON)
    assert (expected.recordings, expected.calls, expected.needed) == (1, 0, 0)
    house.look(Rules())
    house.look(rules, "xjca")
    assert len(house.files()) == 3
    house.look(rules)
    assert said not in house.files()
    assert len(house.files()) == 2
    [gone] = [row for row in house.rows(tables.recordings) if row["erased_at"]]
    assert (gone["key"], gone["reference"], gone["erased_at"]) == ("a" * 32, said, NOON)
    [trace] = listed(house.store)
    assert (trace["what"], trace["by"], trace["reason"]) == (
        "recording", "service", "kept for 90 days",
    )  # fmt: skip
    assert house.journals() == {"c1"}
    house.look(rules)
    assert len(listed(house.store)) == 1


def test_a_call_is_erased_after_its_time_with_all_made_for_its_sake(house: House) -> None:
    call = house.call("old", 366)
    house.call("leg", 366, leg_of="old")
    message = house.message(call, house.recording("a" * 32, "old", 366))
    house.callback("back", message, 365.5)
    house.rung("leg of back", message, 365.5)
    house.solve(message)
    house.call("young", 364)
    house.call("orphan", 366, leg_of="a call that was never written")
    expected = due(house.store, house.spool, "ems", BOTH, NOON)
    assert (expected.recordings, expected.calls, expected.needed) == (1, 5, 0)
    house.look(BOTH)
    assert house.journals() == {"young"}
    assert house.files() == set()
    reasons = {(row["by"], row["reason"]) for row in listed(house.store)}
    assert reasons == {("service", "kept for 365 days")}
    assert audit(house.store).findings == ()
    after = due(house.store, house.spool, "ems", BOTH, NOON)
    assert (after.recordings, after.calls, after.needed) == (0, 0, 0)


def test_a_call_waits_for_the_youngest_of_what_was_made_for_its_sake(small: House) -> None:
    message = small.message(small.call("old", 370))
    small.callback("back", message, 360)
    small.solve(message)
    small.look(BOTH)
    assert small.journals() == {"old", "back"}
    small.now = NOON + timedelta(days=6)
    small.look(BOTH)
    assert small.journals() == set()


def test_a_leg_of_a_call_back_is_no_orphan_while_its_promise_or_call_is_there(house: House) -> None:
    message = house.message(house.call("open", 400))
    house.rung("leg", message, 399)
    young = house.message(house.call("young", 364))
    house.rung("older than its call", young, 366)
    house.solve(young)
    expected = due(house.store, house.spool, "ems", BOTH, NOON)
    assert (expected.calls, expected.needed) == (0, 1)
    house.look(BOTH)
    assert house.journals() == {"open", "leg", "young", "older than its call"}


def test_more_than_fits_into_one_step_goes_also_past_what_is_needed(house: House) -> None:
    for number in range(2 * retention.AT_ONCE + 3):
        call = house.call(f"c{number}", 400)
        said = house.recording(f"r{number}", call.id, 400)
        if number % 2:
            house.message(call, said)
    expected = due(house.store, house.spool, "ems", BOTH, NOON)
    house.look(BOTH)
    left = {f"c{number}" for number in range(1, 2 * retention.AT_ONCE + 3, 2)}
    assert house.journals() == left
    assert len(house.files()) == len(left)
    assert expected.calls == expected.recordings == retention.AT_ONCE + 2
    assert expected.needed == 2 * len(left)  # calls, and their recordings


# ---------------------------------------------------------------- what is open is never erased


DONE, CLOSED, OPEN_AGAIN = "done", "closed", "open again"
TICKET = st.sampled_from(["none", "new", "taken", "waiting", DONE, CLOSED, OPEN_AGAIN])
PROMISE = st.sampled_from(["none", "open", "broken", "given_up", "dropped", "kept", "calling"])
CALLS = st.lists(
    st.tuples(
        st.sampled_from([100.0, 400.0]),  # days
        st.sampled_from(["ended", "up", "leg up", "leg young"]),
        TICKET,
        PROMISE,
        st.booleans(),  # with a call back
    ),
    min_size=1,
    max_size=5,
)


@given(made=CALLS)
@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # five calls are small enough
    suppress_health_check=list(HealthCheck),
)
def test_nothing_that_is_open_is_ever_erased_and_all_else_is(
    made: list[tuple[float, str, str, str, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(new(Path(folder) / "x.db"), Path(folder))
        journals, files, asked = set[str](), set[str](), dict[str, str]()
        for number, (days, state, ticket, promise, back) in enumerate(made):
            name = f"c{number}"
            call = house.call(name, days, up=state == "up")
            family = {name}
            if state.startswith("leg"):
                house.call(f"leg{number}", 1, up=state == "leg up", leg_of=name)
                family.add(f"leg{number}")
            said = house.recording(f"r{number}", name, days)
            held = False
            if ticket != "none":
                within, contact = "" if promise == "none" else "24 h", f"1391111{number:04}"
                message = house.message(call, said, within, contact)
                if back and promise != "none":
                    family.add(house.callback(f"back{number}", message, days).id)
                    family.add(house.rung(f"rung{number}", message, days).id)
                progress(house, message, ticket)
                asked[message] = promise
                held = ticket != CLOSED or promise not in ("none", "kept", "dropped")
            stays = days < 365 or state != "ended" or held
            journals |= family if stays else set()
            files |= {said} if held or (stays and days < 90) else set()
        for message, promise in asked.items():  # a ticket that is solved keeps its promise
            promised(house, message, promise)
        plan = due(house.store, house.spool, "ems", BOTH, NOON)
        before = house.count(tables.calls)
        house.look(BOTH)
        assert house.journals() == journals
        assert house.files() == files
        assert plan.calls == before - len(journals)
        assert plan.recordings == len(made) - len(files)
        assert audit(house.store).findings == ()
        house.store.close()


def progress(house: House, message: str, state: str) -> None:
    ticket = house.ticket(message)
    if state in ("taken", "waiting"):
        tickets.take(house.store, ticket, "812", NOON)
    if state == "waiting":
        tickets.change(house.store, ticket, "waiting_form", "812", NOON)
    if state in (DONE, CLOSED, OPEN_AGAIN):
        house.solve(message, "done" if state == DONE else "closed")
    if state == OPEN_AGAIN:
        tickets.take(house.store, ticket, "812", NOON)


def promised(house: House, message: str, state: str) -> None:
    """As if its ticket had nothing to do with it."""
    values = {"state": state, "kept_at": None, "dropped_at": None}
    if state == "dropped":
        values |= {"state": promises.GIVEN_UP, "dropped_at": NOON}
    with house.store.write() as connection:
        of = tables.promises.c.message_id == message
        connection.execute(update(tables.promises).where(of).values(**values))


# ---------------------------------------------------------------- in the service


async def test_the_service_looks_every_hour_by_the_rules_of_the_moment(small: House) -> None:
    small.call("c1", 30)
    small.recording("a" * 32, "c1", 30)
    clock = VirtualClock(NOON)
    lines = {"ems": Rules(recordings=31)}
    logging.configure(level="info")
    with capture_logs() as logs:
        async with going_on(Retention(small.store, small.spool, clock, lambda: lines).run()):
            await clock.run_for(23 * EVERY)
            assert len(small.files()) == 1
            await clock.run_for(2 * EVERY)
            assert small.files() == set()
            lines["ems"] = Rules(calls=31)  # as after a reload
            await clock.run_for(EVERY)
            assert small.journals() == set()
    clock.close()
    logging.configure(level="warning")
    told = [{k: row[k] for k in ("line", "calls", "recordings", "needed")} for row in logs]
    assert told == [
        {"line": "ems", "calls": 0, "recordings": 1, "needed": 0},
        {"line": "ems", "calls": 1, "recordings": 0, "needed": 0},
    ]
    assert "1380013" not in str(logs)


async def test_a_disk_that_fails_is_told_and_tried_again(small: House) -> None:
    small.call("c1", 100)
    path = small.home / "recordings" / small.recording("a" * 32, "c1", 100)
    path.unlink()
    path.mkdir()
    clock = VirtualClock(NOON)
    with capture_logs() as logs:
        rules = {"ems": BOTH}
        async with going_on(Retention(small.store, small.spool, clock, lambda: rules).run()):
            await clock.run_for(1)
            assert [row["log_level"] for row in logs] == ["warning"]
            path.rmdir()
            await clock.run_for(EVERY)
    clock.close()
    assert all(row["erased_at"] for row in small.rows(tables.recordings))


def test_a_file_that_cannot_be_deleted_keeps_nothing_else_from_going(small: House) -> None:
    number = 2 * retention.AT_ONCE + 3
    for one in range(number):
        small.call(f"c{one:02}", 400 - one / 100)
        small.recording(f"r{one}", f"c{one:02}", 400 - one / 100)
    [row] = [row for row in small.rows(tables.recordings) if row["key"] == "r0"]
    path = small.home / "recordings" / row["reference"]
    path.unlink()
    path.mkdir()
    for _ in range(2):  # also when it had been decided before
        with pytest.raises(OSError, match=row["reference"]):
            small.look(BOTH)
        assert small.journals() == set()
        assert small.files() == {path.name}
        if not small.ids(tables.calls, tables.calls.c.id == "later"):
            small.call("later", 400)
            small.recording("of later", "later", 400)
    path.rmdir()
    small.look(BOTH)
    assert small.files() == set()


@pytest.mark.parametrize("die_at", range(1, 6))
def test_killed_between_any_two_steps_the_next_look_goes_on(tmp_path: Path, die_at: int) -> None:
    store, killer = new(tmp_path / "x.db"), Killer(die_at)
    house = House(store, tmp_path, killer)
    fill(house)
    with suppress(Killed):
        erase_all(house)
    after = House(store, tmp_path)
    erase_all(after)
    assert killer.steps == min(die_at, 3), "three recordings, three steps"
    assert after.journals() == {"c2", "c3"}
    assert len(after.files()) == 1
    gone = [row for row in after.rows(tables.recordings) if row["erased_at"]]
    assert len(gone) == 3
    assert len(listed(store)) == 1 + 3
    store.close()


def fill(house: House) -> None:
    """One call to go, one recording of another to go, and one that is needed."""
    house.call("c1", 400)
    house.recording("a" * 32, "c1", 400)
    house.recording("b" * 32, "c1", 400, "surname")
    house.call("c2", 100)
    house.recording("c" * 32, "c2", 100)
    house.message(house.call("c3", 400), house.recording("d" * 32, "c3", 400))


def erase_all(house: House) -> None:
    """As `Retention.look` does it, without a loop: what kills it must come out."""
    erasing.finish(house.store, house.spool)
    for kind in retention.KINDS:
        retention.apply(house.store, house.spool, "ems", BOTH, NOON, kind)
        erasing.finish(house.store, house.spool)
