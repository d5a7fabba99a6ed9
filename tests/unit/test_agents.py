"""Agents are claimed once, callers are served in their turn, and what goes wrong is given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from ivr import floor, tables
from ivr.agents import Agents, NotClaimed
from ivr.staff import Agent, Department, Staff, Transfer
from ivr.store import StorageFailed, Store
from ivr.turns import Claim, Matched, Standing

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
TRANSFER = Transfer("service", wrap_up=20.0, misses=2)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def staff(**agents: tuple[str, str]) -> Staff:
    """`a801=("801", "service expert")`: staff number 801 on phone 801, in two departments."""
    return Staff(
        {name: Department(name, name, 3) for name in ("service", "expert")},
        {
            name[1:]: Agent(name[1:], phone, tuple(departments.split()))
            for name, (phone, departments) in agents.items()
        },
        TRANSFER,
    )


SHOP = staff(a801=("801", "service expert"), a802=("802", "service"), a803=("803", "expert"))
BANK = staff(a901=("901", "service"), a902=("802", "service"))
"""802 is one phone that serves both lines."""


@pytest.fixture
def agents(store: Store) -> Agents:
    made = Agents(store, "one")
    made.sync({"shop": SHOP, "bank": BANK}, at(-60))
    return made


@pytest.fixture
def other(store: Store, agents: Agents) -> Agents:
    """The same in another process."""
    made = Agents(store, "two")
    made.sync({"shop": SHOP, "bank": BANK}, at(-60))
    return made


def ready(agents: Agents, *phones: str) -> None:
    """These phones are ready, the first one for longest."""
    for number, phone in enumerate(phones):
        agents.set_ready(phone, "phone", at(number - 50))


def join(
    agents: Agents, call: str, seconds: float = 0, department: str = "service", wish: str = ""
) -> str:
    return agents.join(call, 1, "shop", department, wish, at(seconds))


def rung(matched: Matched) -> dict[str, str]:
    """Who is rung for whom."""
    return {claim.call_id: claim.phone for claim in matched.claims}


def state(store: Store, phone: str) -> tuple[str, str]:
    columns = tables.agents.c
    with store.read() as connection:
        return tuple(
            connection.execute(
                select(columns.state, columns.reason).where(columns.phone == phone)
            ).one()
        )


def logged(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        rows = connection.execute(select(tables.agent_log).order_by(tables.agent_log.c.id)).all()
    return [(row.phone, row.before, row.state) for row in rows]


@contextmanager
def broken(store: Store) -> Iterator[None]:
    """A database that takes nothing."""
    with store.engine.connect() as connection:  # the one that the pool gives out next
        connection.exec_driver_sql("PRAGMA query_only=ON")
    yield
    store.engine.dispose()


# ---------------------------------------------------------------- who there is, and their states


def test_an_agent_begins_as_busy_and_is_rung_once_signed_in(agents: Agents, store: Store) -> None:
    assert state(store, "801") == ("busy", "has not signed in yet")
    assert agents.set_ready("801", "phone", NOON) == "ready"
    join(agents, "c1")
    assert agents.match(NOON).claims == (
        Claim("c1#1", "c1", "801", "801", "shop", "service", None),
    )
    assert state(store, "801") == ("ringing", "claimed")


def test_who_is_busy_is_never_rung(agents: Agents, store: Store) -> None:
    ready(agents, "801", "802")
    assert agents.set_busy("801", "away", NOON) == "busy"
    join(agents, "c1")
    join(agents, "c2")
    assert rung(agents.match(NOON)) == {"c1": "802"}
    assert state(store, "801") == ("busy", "away")


def test_reading_the_same_files_again_changes_no_state(agents: Agents, store: Store) -> None:
    ready(agents, "801")
    agents.sync({"shop": SHOP, "bank": BANK}, NOON)
    assert state(store, "801")[0] == "ready"


def test_an_agent_taken_out_of_the_file_is_rung_no_more(agents: Agents, store: Store) -> None:
    ready(agents, "801", "802")
    agents.sync({"shop": staff(a802=("802", "service"))}, NOON)
    join(agents, "c1")
    join(agents, "c2")
    assert rung(agents.match(NOON)) == {"c1": "802"}
    with store.read() as connection:
        assert len(connection.execute(select(tables.seats)).all()) == 1


def test_an_unknown_phone_has_no_state(agents: Agents) -> None:
    for change in (agents.set_ready, agents.set_busy):
        with pytest.raises(KeyError):
            change("999", "phone", NOON)


def test_who_is_set_busy_in_a_call_is_busy_after_it(agents: Agents, store: Store) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(NOON)
    agents.talking("c1", at(5))
    assert agents.set_busy("801", "lunch", at(6)) == "talking"
    assert agents.release("c1", "801", "talked", TRANSFER, at(60)) == "busy"
    assert state(store, "801") == ("busy", "lunch")


def test_who_thinks_better_of_it_in_a_call_stays_at_work(agents: Agents) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(NOON)
    agents.set_busy("801", "lunch", at(6))
    assert agents.set_ready("801", "phone", at(7)) == "ringing"
    assert agents.release("c1", "801", "refused", TRANSFER, at(60)) == "ready"


def test_a_phone_that_was_rung_and_not_reached_is_rung_again_when_the_agent_signs_in(
    agents: Agents,
) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(NOON)
    assert agents.release("c1", "801", "unreachable", TRANSFER, at(1)) == "unreachable"
    assert agents.survey("shop", "service", "", at(2)) == Standing(False)
    assert agents.set_ready("801", "phone", at(3)) == "ready"
    assert agents.survey("shop", "service", "", at(4)) == Standing(True)


# ---------------------------------------------------------------- whose turn it is


def test_first_come_first_served_and_the_longest_idle_agent_goes_first(agents: Agents) -> None:
    ready(agents, "802", "801")
    for number, call in enumerate(("c", "b", "a")):
        join(agents, call, number)
    assert rung(agents.match(at(3))) == {"c": "802", "b": "801"}
    agents.leave("c#1")
    agents.release("c", "802", "talked", Transfer(wrap_up=0), at(10))
    assert rung(agents.match(at(10))) == {"a": "802"}


@pytest.mark.parametrize(("outcome", "first"), [("dropped", "c1"), ("talked", "c2")])
def test_who_was_put_through_in_vain_joins_again_where_they_stood(
    agents: Agents, outcome: str, first: str
) -> None:
    ready(agents, "801")
    place = join(agents, "c1", 0)
    agents.match(at(1))
    join(agents, "c2", 2)
    agents.talking("c1", at(3))
    agents.leave(place)
    agents.release("c1", "801", outcome, TRANSFER, at(60))
    agents.join("c1", 2, "shop", "service", "", at(61))
    assert rung(agents.match(at(200))) == {first: "801"}


def test_only_agents_of_the_department_are_rung(agents: Agents) -> None:
    ready(agents, "802", "803")
    join(agents, "c1", department="expert")
    assert rung(agents.match(NOON)) == {"c1": "803"}


def test_who_asks_for_one_agent_waits_for_that_one_and_keeps_nobody_else(agents: Agents) -> None:
    ready(agents, "801", "802")
    join(agents, "first", wish="801")
    assert rung(agents.match(NOON)) == {"first": "801"}
    join(agents, "second", 1, wish="801")
    join(agents, "third", 2)
    assert rung(agents.match(at(2))) == {"third": "802"}
    assert agents.survey("shop", "service", "803", at(2)) == Standing(False)


def test_a_phone_shared_by_two_lines_goes_to_whoever_of_both_came_first(agents: Agents) -> None:
    ready(agents, "802")
    agents.join("bank1", 1, "bank", "service", "", at(0))
    join(agents, "shop1", 1)
    matched = agents.match(at(2))
    assert [(one.call_id, one.staff_number) for one in matched.claims] == [("bank1", "902")]


def test_the_place_is_kept_while_an_agent_is_tried_and_another_comes_for_it(
    agents: Agents,
) -> None:
    ready(agents, "801", "802")
    join(agents, "c1", 0)
    assert rung(agents.match(at(0))) == {"c1": "801"}
    agents.set_busy("802", "away", at(1))
    join(agents, "c2", 1)
    agents.set_ready("802", "back", at(2))
    agents.release("c1", "801", "refused", TRANSFER, at(3))
    # c1 came first and has the one that has not refused; c2 the other
    assert rung(agents.match(at(3))) == {"c1": "802", "c2": "801"}


def test_who_refused_is_asked_again_for_the_same_caller_only_if_nobody_else_is_at_work(
    agents: Agents,
) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(0))
    agents.release("c1", "801", "refused", TRANSFER, at(1))
    assert agents.match(at(2)).claims == ()  # not at once
    assert rung(agents.match(at(11))) == {"c1": "801"}
    agents.release("c1", "801", "refused", TRANSFER, at(12))
    agents.set_ready("802", "phone", at(12))
    assert rung(agents.match(at(30))) == {"c1": "802"}


# ---------------------------------------------------------------- how a claim ends


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        ("free", "ready"),
        ("talked", "wrap_up"),
        ("refused", "ready"),
        ("busy", "ready"),
        ("failed", "ready"),
        ("no_answer", "ready"),
        ("no_key", "ready"),
        ("dropped", "ready"),
        ("unreachable", "unreachable"),
    ],
)
def test_the_outcome_decides_the_next_state(agents: Agents, outcome: str, after: str) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(NOON)
    assert agents.release("c1", "801", outcome, TRANSFER, at(5)) == after


@pytest.mark.parametrize("outcomes", [("no_answer", "no_key"), ("dropped", "no_answer")])
def test_who_misses_twice_in_a_row_is_busy_and_ops_see_why(
    agents: Agents, store: Store, outcomes: tuple[str, str]
) -> None:
    ready(agents, "801")
    for number, outcome in enumerate(outcomes):
        join(agents, f"c{number}", number)
        agents.match(at(number))
        agents.release(f"c{number}", "801", outcome, TRANSFER, at(number))
        agents.leave(f"c{number}#1")
    assert state(store, "801") == ("busy", f"missed twice in a row: {outcomes[1]}")


def test_a_miss_is_forgotten_when_the_agent_answers_or_signs_in(agents: Agents) -> None:
    ready(agents, "801")
    for number, outcome in enumerate(("no_answer", "refused", "no_answer")):
        join(agents, f"c{number}", number)
        agents.match(at(number))
        assert agents.release(f"c{number}", "801", outcome, TRANSFER, at(number)) == "ready"
        agents.leave(f"c{number}#1")
    agents.set_ready("801", "phone", at(9))
    join(agents, "c9", 9)
    agents.match(at(9))
    assert agents.release("c9", "801", "no_answer", TRANSFER, at(9)) == "ready"


def test_an_agent_who_wraps_up_is_left_in_peace_and_then_ready(
    agents: Agents, store: Store
) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(0))
    agents.talking("c1", at(1))
    agents.leave("c1#1")
    agents.release("c1", "801", "talked", TRANSFER, at(100))
    join(agents, "c2", 100)
    assert agents.match(at(119)).claims == ()
    assert rung(agents.match(at(120))) == {"c2": "801"}
    assert logged(store)[-3:] == [
        ("801", "talking", "wrap_up"),
        ("801", "wrap_up", "ready"),
        ("801", "ready", "ringing"),
    ]


def test_an_agent_who_was_never_rung_keeps_the_turn(agents: Agents) -> None:
    ready(agents, "801", "802")
    join(agents, "c1")
    agents.match(at(0))
    agents.leave("c1#1")
    agents.release("c1", "801", "free", TRANSFER, at(1))
    join(agents, "c2", 2)
    assert rung(agents.match(at(2))) == {"c2": "801"}


def test_a_claim_is_given_back_once_and_by_its_call_only(agents: Agents) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(NOON)
    for call, number in (("c2", "801"), ("c1", "802")):
        with pytest.raises(NotClaimed):
            agents.release(call, number, "talked", TRANSFER, NOON)
    with pytest.raises(ValueError, match="cannot end as"):
        agents.release("c1", "801", "eloped", TRANSFER, NOON)
    agents.release("c1", "801", "free", TRANSFER, NOON)
    for again in (
        lambda: agents.release("c1", "801", "free", TRANSFER, NOON),
        lambda: agents.talking("c1", NOON),
    ):
        with pytest.raises(NotClaimed):
            again()


def test_a_call_that_forgets_what_it_holds_gives_it_back_when_it_is_over(
    agents: Agents, store: Store
) -> None:
    ready(agents, "801", "802")
    join(agents, "c1")
    agents.match(NOON)
    join(agents, "c2")
    assert agents.over("c1", at(1)) == ("the agent 801 (ringing)", "the place c1#1")
    assert agents.over("c1", at(1)) == ()
    assert state(store, "801")[0] == "ready"
    assert rung(agents.match(at(1))) == {"c2": "801"}


# ---------------------------------------------------------------- what callers are told


def test_nobody_waits_where_somebody_is_free(agents: Agents) -> None:
    ready(agents, "801")
    assert agents.survey("shop", "service", "", NOON) == Standing(True, 0, 0)
    assert agents.survey("shop", "expert", "803", NOON) == Standing(False)


def test_the_likely_wait_is_reckoned_from_the_line_as_it_is(agents: Agents) -> None:
    ready(agents, "801", "802")
    for number in range(5):
        join(agents, f"c{number}", number)
    matched = agents.match(at(5))
    assert rung(matched) == {"c0": "801", "c1": "802"}
    # two talk-to-be and three wait; two are at work, and a talk takes three minutes
    assert dict(matched.moved) == {
        "c2#1": Standing(True, 2, 5),
        "c3#1": Standing(True, 3, 6),
        "c4#1": Standing(True, 4, 8),
    }
    assert agents.survey("shop", "service", "", at(6)) == Standing(True, 5, 9)
    for call in ("c0", "c1"):  # accepted: no longer in the line
        agents.leave(f"{call}#1")
        agents.talking(call, at(7))
    assert dict(agents.match(at(7)).moved) == {
        "c2#1": Standing(True, 0, 2),
        "c3#1": Standing(True, 1, 3),
        "c4#1": Standing(True, 2, 5),
    }
    assert agents.match(at(8)) == Matched()  # told once


def test_the_likely_wait_follows_the_last_talks(agents: Agents) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(0))
    agents.talking("c1", at(0))
    agents.leave("c1#1")
    agents.release("c1", "801", "talked", Transfer(wrap_up=60), at(600))
    assert agents.survey("shop", "service", "", at(600)) == Standing(True, 0, 10)


def test_a_line_whose_last_agent_leaves_says_so_and_lets_go(agents: Agents, store: Store) -> None:
    ready(agents, "801")
    join(agents, "c1")
    join(agents, "c2", 1)
    agents.match(at(1))
    agents.release("c1", "801", "no_answer", TRANSFER, at(20))
    agents.match(at(31))
    agents.release("c1", "801", "no_answer", TRANSFER, at(50))
    assert agents.match(at(50)).unstaffed == ("c1#1", "c2#1")
    assert agents.match(at(51)) == Matched()
    assert agents.leave("c1#1") is False


def test_who_is_busy_after_this_call_is_nobody_to_wait_for(agents: Agents) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(0))
    agents.talking("c1", at(1))
    agents.leave("c1#1")
    join(agents, "c2", 2)
    assert dict(agents.match(at(2)).moved) == {"c2#1": Standing(True, 0, 3)}
    agents.set_busy("801", "lunch", at(3))
    assert agents.survey("shop", "service", "", at(3)) == Standing(False)
    assert agents.match(at(3)).unstaffed == ("c2#1",)


def test_callers_of_a_dead_process_are_not_counted(agents: Agents, other: Agents) -> None:
    ready(agents, "801")
    for number in range(3):
        join(other, f"c{number}", number)
    other.match(at(2))
    assert agents.survey("shop", "service", "", at(9)) == Standing(True, 3, 12)
    join(agents, "ours", 10)
    assert agents.survey("shop", "service", "", at(15)) == Standing(True, 1, 6)


def test_a_caller_whose_phone_rings_is_not_told_that_nobody_is_there(agents: Agents) -> None:
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(1))
    agents.set_busy("801", "away", at(2))
    assert agents.match(at(3)) == Matched()


# ---------------------------------------------------------------- call-backs in their turn


def test_a_caller_who_leaves_contact_keeps_the_place_for_the_call_back(agents: Agents) -> None:
    ready(agents, "801")
    for number in range(3):
        join(agents, f"c{number}", number)
    agents.match(at(3))
    assert agents.leave("c1#1", "t7") is True
    agents.release("c0", "801", "free", TRANSFER, at(4))
    agents.leave("c0#1")
    matched = agents.match(at(4), callbacks={"shop"})
    assert [(one.place, one.call_id, one.ticket) for one in matched.claims] == [
        ("c1#1", "t7", "t7")
    ]
    assert agents.release("t7", "801", "free", TRANSFER, at(5)) == "ready"
    assert agents.postpone("t7", at(900)) is True
    assert rung(agents.match(at(6), callbacks={"shop"})) == {"c2": "801"}
    agents.release("c2", "801", "free", TRANSFER, at(7))
    agents.leave("c2#1")
    assert rung(agents.match(at(899), callbacks={"shop"})) == {}
    assert rung(agents.match(at(900), callbacks={"shop"})) == {"t7": "801"}
    assert (agents.drop_place("t7"), agents.drop_place("t7")) == (True, False)


def test_a_call_back_that_may_not_be_made_now_holds_nobody_up(agents: Agents) -> None:
    ready(agents, "801")
    agents.keep_place("t1", "shop", "service", "", at(-9))
    agents.keep_place("t1", "shop", "expert", "", at(-5))
    join(agents, "c1")
    assert agents.survey("shop", "service", "", at(0), {"shop"}) == Standing(True, 2, 9)
    assert rung(agents.match(at(0))) == {"c1": "801"}


def test_a_call_back_belongs_to_the_process_that_takes_it_up(agents: Agents, other: Agents) -> None:
    ready(agents, "801", "802")
    agents.keep_place("t1", "shop", "service", "", at(-9))
    assert rung(other.match(at(0), callbacks={"shop"})) == {"t1": "801"}
    assert rung(agents.match(at(0), callbacks={"shop"})) == {}


# ---------------------------------------------------------------- several processes, and death


def test_a_process_leaves_alone_what_is_another_ones_turn(agents: Agents, other: Agents) -> None:
    ready(agents, "801")
    join(other, "theirs", 0)
    join(agents, "ours", 1)
    assert agents.match(at(2)) == Matched(moved=(("ours#1", Standing(True, 1, 6)),))
    assert rung(other.match(at(2))) == {"theirs": "801"}
    assert agents.match(at(3)) == Matched()


def test_what_a_dead_process_held_is_freed(agents: Agents, other: Agents, store: Store) -> None:
    ready(agents, "801", "802", "803")
    join(other, "talks", 0)
    join(other, "rings", 1)
    other.match(at(1))
    other.talking("talks", at(1))
    other.keep_place("t1", "shop", "expert", "", at(1))
    other.match(at(1), callbacks={"shop"})
    join(other, "waits", 1)
    join(agents, "ours", 2)
    assert rung(agents.match(at(10.5))) == {}
    assert rung(agents.match(at(12.1))) == {"ours": "802"}
    assert state(store, "801") == ("busy", "the service died in a talk: *81 when that is over")
    assert state(store, "803")[0] == "ready"
    with store.read() as connection:
        rows = connection.execute(select(tables.places.c.id, tables.places.c.owner)).all()
    assert {tuple(row) for row in rows} == {("ours#1", "one"), ("t1", None)}
    assert rung(agents.match(at(13), callbacks={"shop"})) == {"t1": "803"}


def test_who_was_talking_when_the_service_died_is_not_rung_in_the_middle_of_the_talk(
    agents: Agents, other: Agents
) -> None:
    ready(agents, "801")
    join(other, "talks", 0)
    other.match(at(1))
    other.talking("talks", at(2))
    join(agents, "ours", 3)
    assert agents.match(at(20)).unstaffed == ("ours#1",)
    join(agents, "later", 60)
    assert rung(agents.match(at(3600))) == {}
    assert agents.set_ready("801", "phone", at(3601)) == "ready"
    join(agents, "last", 3602)
    assert rung(agents.match(at(3603))) == {"last": "801"}


def test_a_process_that_only_stood_still_gets_its_places_back(
    agents: Agents, other: Agents
) -> None:
    ready(agents, "801")
    join(other, "first", 0)
    join(agents, "second", 1)
    agents.match(at(0))
    agents.set_busy("801", "away", at(0))
    agents.set_ready("802", "phone", at(30))
    agents.set_busy("802", "away", at(31))
    agents.set_ready("803", "phone", at(31))
    join(agents, "third", 32, "expert")
    agents.match(at(32))  # frees what the other held
    agents.set_ready("801", "phone", at(33))
    assert rung(other.match(at(33))) == {"first": "801"}


def test_a_process_that_stands_still_loses_its_claims_and_is_told(
    agents: Agents, other: Agents
) -> None:
    ready(agents, "801")
    join(other, "theirs", 0)
    other.match(at(0))
    join(agents, "ours", 20)
    assert rung(agents.match(at(20))) == {"ours": "801"}
    with pytest.raises(NotClaimed):
        other.release("theirs", "801", "talked", TRANSFER, at(21))


def test_a_failing_database_is_told_and_what_failed_can_be_tried_again(
    sqlite_store: Store,
) -> None:
    agents = Agents(sqlite_store, "one")
    agents.sync({"shop": SHOP}, at(-60))
    ready(agents, "801")
    join(agents, "c1")
    agents.match(at(0))
    wishes = (
        lambda: agents.leave("c1#1"),
        lambda: agents.release("c1", "801", "talked", TRANSFER, at(1)),
    )
    with broken(sqlite_store):
        for wish in wishes:
            with pytest.raises(StorageFailed):
                wish()
        with pytest.raises(StorageFailed):
            join(agents, "c2", 1)
    assert [wish() for wish in wishes] == [True, "wrap_up"]
    assert agents.match(at(3)) == Matched()
    with sqlite_store.read() as connection:
        assert connection.execute(select(tables.places)).all() == []


# ---------------------------------------------------------------- the database's own refusals


@pytest.mark.parametrize(
    "values",
    [
        {"call_id": "c1"},
        {"place_id": "c1#1", "call_id": "c9"},
        {"state": "ready"},
        {"call_id": None},
        {"owner": None},
        {"state": "asleep"},
    ],
    ids=str,
)
def test_the_database_itself_refuses_a_second_claim_and_half_a_claim(
    agents: Agents, store: Store, values: dict[str, str | None]
) -> None:
    ready(agents, "801", "802")
    for call in ("c1", "c2"):
        join(agents, call)
    agents.match(NOON)
    mine = tables.agents.c.phone == "802"
    with pytest.raises(IntegrityError), store.engine.begin() as connection:
        connection.execute(update(tables.agents).where(mine).values(**values))


def test_a_state_is_changed_only_if_it_is_still_what_it_was(agents: Agents, store: Store) -> None:
    ready(agents, "801")
    with store.write() as connection:
        row = floor.agent(connection, "801")
        floor.change(connection, row, "unreachable", "x", NOON)
    with pytest.raises(StorageFailed, match="801 is ready no longer"), store.write() as connection:
        floor.change(connection, row, "busy", "y", NOON)
    assert state(store, "801") == ("unreachable", "x")


@pytest.mark.parametrize("how", ["UPDATE agent_log SET reason = ''", "DELETE FROM agent_log"])
def test_the_log_of_agents_only_grows(agents: Agents, store: Store, how: str) -> None:
    ready(agents, "801")
    with pytest.raises(DBAPIError, match="append-only"), store.engine.begin() as connection:
        connection.execute(text(how))
    assert logged(store) == [("801", "busy", "ready")]


def test_the_log_says_how_long_a_state_lasted_and_for_whom_it_was(
    agents: Agents, store: Store
) -> None:
    ready(agents, "801")
    join(agents, "c1", 10)
    agents.match(at(10))
    agents.talking("c1", at(15))
    agents.release("c1", "801", "talked", TRANSFER, at(75))
    with store.read() as connection:
        row = connection.execute(
            select(tables.agent_log).where(tables.agent_log.c.before == "talking")
        ).one()
    assert (row.seconds, row.staff_number, row.hotline, row.department, row.call_id) == (
        60.0,
        "801",
        "shop",
        "service",
        "c1",
    )
