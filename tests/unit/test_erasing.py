"""A call is erased with all made for its sake, by somebody, for a reason, and never too early."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from house import CALLER, CONTACT, NOON, TRACE, House, Killed, Killer, full
from migrated import new
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from ivr import promises, tables, tickets
from ivr.actions import Keep
from ivr.audit import audit
from ivr.erasing import Erased, Needed, NoCall, Trace, erase, finish, listed
from ivr.intake import Intake
from ivr.offenders import offenders
from ivr.store import erase_call, for_the_sake_of

pytest_plugins = ["databases"]


def test_a_call_goes_with_all_made_for_its_sake_and_the_history_of_tickets_holds(
    house: House,
) -> None:
    house.solve(full(house))
    assert erase(house.store, house.spool, "c1", TRACE) == Erased(calls=4, recordings=2)
    assert house.journals() == {"c2"}
    assert len(house.files()) == 1
    callers = {row["id"]: row["caller"] for row in house.rows(tables.calls)}
    assert {name for name, caller in callers.items() if caller} == {"c2"}
    for table in (tables.messages, tables.promises, tables.attempts, tables.contacts):
        of_c2 = ("c2", promises_of(house))
        rows = [row for row in house.rows(table) if not belongs(row, of_c2)]
        told = json.dumps(rows, default=str, ensure_ascii=False)
        for word in (CONTACT, CALLER, "473124829", "甲"):
            assert word not in told, table.name
    gone = [row for row in house.rows(tables.recordings) if row["erased_at"]]
    assert {(row["call_id"], row["erased_at"]) for row in gone} == {("c1", NOON)}
    assert all(row["reference"] for row in gone)
    assert audit(house.store).findings == ()
    assert house.count(tables.tickets) == 2


def promises_of(house: House) -> str:
    return next(row["id"] for row in house.rows(tables.promises) if row["call_id"] == "c2")


def belongs(row: dict[str, object], names: tuple[str, ...]) -> bool:
    return bool(set(names) & {str(row.get("call_id")), str(row.get("promise"))})


def test_who_erased_what_when_and_why_is_kept_and_nobody_can_change_it(house: House) -> None:
    house.solve(full(house))
    erase(house.store, house.spool, "c1", TRACE)
    rows = listed(house.store)
    assert {(row["what"], row["call"]) for row in rows} == {
        ("call", "c1"), ("call", "c1-leg"), ("call", "back"), ("call", "back-leg"),
        ("recording", "c1"),
    }  # fmt: skip
    told = {(row["line"], row["by"], row["reason"], row["at"], row["gone"]) for row in rows}
    assert told == {("ems", "812", TRACE.reason, "2026-11-23T04:00:00+00:00", True)}
    assert listed(house.store, "xjca") == []
    assert len(listed(house.store, "ems", limit=2)) == 2
    for table in ("erasures", "erased_recordings"):
        empty = f"DELETE FROM {table}" if house.store.sqlite else f"TRUNCATE {table}"
        for change in (f"UPDATE {table} SET who = ''", f"DELETE FROM {table}", empty):
            with (
                pytest.raises(DBAPIError, match="append-only"),
                house.store.engine.begin() as connection,
            ):
                connection.execute(text(change))


def test_a_second_time_says_who_did_it_first_and_changes_nothing(house: House) -> None:
    house.solve(full(house))
    erase(house.store, house.spool, "c1", TRACE)
    before = listed(house.store)
    later = Trace("801", NOON + timedelta(days=1), "again")
    assert erase(house.store, house.spool, "c1", later) == Erased(0, 0, TRACE)
    assert listed(house.store) == before


def test_a_call_that_an_older_version_erased_loses_what_was_left_of_it(house: House) -> None:
    message = full(house)
    with house.store.write() as connection:
        for name in for_the_sake_of(connection, "c1"):
            erase_call(connection, name, "asked", NOON)
    old = Trace("", NOON, "asked")
    # somebody still owes the caller an answer: nothing more goes, and why is told
    kept = erase(house.store, house.spool, "c1", TRACE)
    assert (kept.calls, kept.recordings, kept.before) == (0, 0, old)
    assert kept.why[0].startswith("ticket T1 is new")
    house.solve(message)
    assert erase(house.store, house.spool, "c1", TRACE) == Erased(0, 2, old)
    assert len(house.files()) == 1


def test_an_unknown_call_is_told(house: House) -> None:
    with pytest.raises(NoCall, match="no call c9: `sansheng calls`"):
        erase(house.store, house.spool, "c9", TRACE)


def reopened(house: House, message: str) -> str:
    house.solve(message)
    tickets.take(house.store, house.ticket(message), "812", NOON)
    return f"ticket {house.ticket(message)} is taken"


def given_up(house: House, message: str) -> str:
    """The ticket is closed before anybody knew of it; the promise is another's concern."""
    house.solve(message)
    with house.store.write() as connection:
        of = tables.promises.c.message_id == message
        changed = update(tables.promises).where(of)
        connection.execute(changed.values(state="given_up", kept_at=None))
    return r"promise p\w+ is given up"


def waits(house: House, message: str) -> str:
    ticket = house.ticket(message)
    tickets.take(house.store, ticket, "812", NOON)
    tickets.change(house.store, ticket, "waiting_form", "812", NOON)
    return f"ticket {ticket} is waiting for form"


def done(house: House, message: str) -> str:
    house.solve(message, "done")
    return f"ticket {house.ticket(message)} is done"


def nothing_done(house: House, message: str) -> str:
    return f"ticket {house.ticket(message)} is new .*; promise p"


def the_leg_is_up(house: House, message: str) -> str:
    house.solve(message)
    house.call("late-leg", 0, up=True, leg_of="c1")
    return "late-leg is up"


def just_ended(house: House, message: str) -> str:
    house.solve(message)
    house.call("late-leg", 3 / 24 / 60, leg_of="c1")
    return "late-leg has just ended: wait a minute"


def still_in_the_spool(house: House, message: str) -> str:
    house.solve(message)
    house.recording("d" * 32, "c1", 2, reference=None, quality="")
    (house.home / "spool" / f"{'d' * 32}-00.wav").write_bytes(b"x")
    return f"recording {'d' * 32} is still being taken in"


OPEN_WORK = (nothing_done, waits, done, reopened, given_up)
OF_THE_CALL = (the_leg_is_up, just_ended, still_in_the_spool)


@pytest.mark.parametrize(
    ("name", "state"),
    [("c1", state) for state in (*OPEN_WORK, *OF_THE_CALL)]
    + [("back", state) for state in OPEN_WORK],
)
def test_what_somebody_still_needs_is_not_erased_and_the_reason_is_told(
    small: House, name: str, state: Callable[[House, str], str]
) -> None:
    why = state(small, full(small))
    if name == "back":
        why = "back cannot be erased now: it was made to keep a promise, and ticket T1 is open"
        if state is given_up:
            why = r"it was made to keep a promise, and promise p\w+ is open"
    files, journals = small.files(), small.journals()
    with pytest.raises(Needed, match=why):
        erase(small.store, small.spool, name, TRACE)
    assert (small.files(), small.journals()) == (files, journals)
    assert listed(small.store) == []


def test_a_leg_goes_with_its_call_and_not_before(small: House) -> None:
    small.solve(full(small))
    with pytest.raises(Needed, match="for the sake of c1, and is erased with that call"):
        erase(small.store, small.spool, "c1-leg", TRACE)


def test_an_agent_s_leg_of_a_call_back_goes_with_the_call_that_it_answers(small: House) -> None:
    message = full(small)
    small.rung("in vain", message, 1.8)  # nobody was called then
    with pytest.raises(
        Needed, match="back-leg cannot be erased now: it was made for the sake of c1"
    ):
        erase(small.store, small.spool, "back-leg", TRACE)
    small.solve(message)
    with pytest.raises(
        Needed, match="in vain cannot be erased now: it was made for the sake of c1"
    ):
        erase(small.store, small.spool, "in vain", TRACE)
    # a call back takes the leg of its own attempt, and no other
    assert erase(small.store, small.spool, "back", TRACE).calls == 2
    assert small.journals() == {"c1", "c1-leg", "in vain", "c2"}
    assert erase(small.store, small.spool, "c1", TRACE).calls == 3
    assert small.journals() == {"c2"}


def test_a_leg_of_an_open_promise_is_needed_also_when_its_call_is_not_known(small: House) -> None:
    message = full(small)
    with small.store.write() as connection:
        of = tables.promises.c.message_id == message
        connection.execute(update(tables.promises).where(of).values(call_id=None))
    with pytest.raises(Needed, match="back-leg cannot be erased now: it was made to keep"):
        erase(small.store, small.spool, "back-leg", TRACE)


def test_a_message_that_is_still_to_be_made_keeps_its_recording(small: House) -> None:
    small.call("died", 0.005, problem="the service died while this call was up")
    small.recording("e" * 32, "died", 0.005)
    with pytest.raises(Needed, match="within 15 minutes"):
        erase(small.store, small.spool, "died", TRACE)


def test_a_recording_that_will_never_be_a_message_holds_nothing(small: House) -> None:
    """The intake makes one of what is finished, and of what no other message has."""
    died = {"problem": "the service died while this call was up"}
    small.call("unfinished", 2, **died)
    small.recording("e" * 32, "unfinished", 2, quality="")
    small.call("told elsewhere", 2, **died)
    said = small.recording("f" * 32, "told elsewhere", 2)
    small.solve(small.message(small.call("other", 2), said))
    assert Intake(small.spool).run({}).messages == ()
    for name in ("unfinished", "told elsewhere"):
        assert erase(small.store, small.spool, name, TRACE).calls == 1


def test_a_recording_that_another_call_s_open_ticket_names_stays(small: House) -> None:
    said = small.recording("a" * 32, "c1", 2)
    small.call("c1", 2)
    small.message(small.call("c2", 2), said)
    with pytest.raises(Needed, match="ticket T1 is new"):
        erase(small.store, small.spool, "c1", TRACE)


def test_what_was_said_again_in_a_later_call_is_still_known(small: House) -> None:
    small.call("c1", 2)
    small.contact(small.call("c2", 1))
    erase(small.store, small.spool, "c1", TRACE)
    assert small.count(tables.contacts) == 1
    erase(small.store, small.spool, "c2", TRACE)
    assert small.count(tables.contacts) == 0


def test_what_was_learnt_of_who_withholds_their_number_goes_too(house: House) -> None:
    """The line knows them by the number that they keyed."""
    call = house.call("c1", 2, caller="")
    wish = Keep(1, "caller", (("contact", CONTACT), ("company", "甲")))
    assert house.keeps(call, wish) == f"ems/{CONTACT}"
    older = house.call("c2", 3, caller="")
    house.keeps(older, Keep(1, "caller", (("contact", "13700001111"),)))
    assert house.count(tables.contacts) == 2
    erase(house.store, house.spool, "c1", TRACE)
    assert [row["number"] for row in house.rows(tables.contacts)] == ["13700001111"]


def test_a_call_that_an_older_version_erased_is_known_by_the_number_in_its_message(
    small: House,
) -> None:
    call = small.call("c1", 2, caller="")
    small.keeps(call, Keep(1, "caller", (("contact", CONTACT),)))
    small.solve(small.message(call))
    with small.store.write() as connection:
        erase_call(connection, "c1", "asked", NOON)
    erase(small.store, small.spool, "c1", TRACE)
    assert small.count(tables.contacts) == 0


def test_an_erased_promise_is_not_tried_again(small: House) -> None:
    message = small.message(small.call("c1", 2))
    [promise] = small.ids(tables.promises)
    promises.settle(small.store, promise, promises.GIVEN_UP, "812", "rang themselves", NOON)
    ticket = small.ticket(message)
    for step in ("taken", "done", "closed"):
        tickets.change(small.store, ticket, step, "812", NOON)
    erase(small.store, small.spool, "c1", TRACE)
    with pytest.raises(promises.NoPromise, match="was erased with its call"):
        promises.settle(small.store, promise, promises.OPEN, "812", "", NOON)


def test_nobody_is_an_offender_by_calls_that_were_erased(small: House) -> None:
    for name in ("c1", "c2"):
        small.call(name, 2, record={"result": "harassment"})
        assert offenders(small.store, 1)
        erase(small.store, small.spool, name, TRACE)
    assert offenders(small.store, 1) == []


# ---------------------------------------------------------------- killed in the middle


@pytest.mark.parametrize("die_at", range(1, 5))
def test_killed_between_any_two_steps_the_next_goes_on(tmp_path: Path, die_at: int) -> None:
    store, killer = new(tmp_path / "x.db"), Killer(die_at)
    house = House(store, tmp_path, killer)
    house.solve(full(house))
    with suppress(Killed):
        erase(store, house.spool, "c1", TRACE)
    assert killer.steps == min(die_at, 2), "two recordings, two steps"
    # what was decided is committed, and whose file has gone is known; the next one goes on
    assert house.journals() == {"c2"}
    marked = [row for row in house.rows(tables.recordings) if row["erased_at"]]
    assert all(row["reference"] not in house.files() for row in marked)
    after = House(store, tmp_path)
    assert finish(store, after.spool) == 2 - len(marked)
    assert finish(store, after.spool) == 0
    assert len(after.files()) == 1
    assert sum(row["erased_at"] is not None for row in after.rows(tables.recordings)) == 2
    store.close()


def test_a_file_that_cannot_be_deleted_is_not_said_to_be_gone(small: House) -> None:
    small.solve(full(small))
    reference = next(
        row["reference"] for row in small.rows(tables.recordings) if row["key"] == "b" * 32
    )
    path = small.home / "recordings" / reference
    path.unlink()
    path.mkdir()  # what stands there is no file of ours
    with pytest.raises(OSError, match=reference):
        erase(small.store, small.spool, "c1", TRACE)
    [left] = [row for row in listed(small.store) if not row["gone"]]
    assert left["id"] == "b" * 32
    path.rmdir()
    assert finish(small.store, small.spool) == 1
