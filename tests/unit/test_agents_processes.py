"""Agents and several processes, dead ones among them, and what the database itself refuses."""

from __future__ import annotations

import pytest
from at_work import NOON, SHOP, TRANSFER, at, broken, join, logged, ready, rung, state
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from ivr import floor, tables
from ivr.agents import Agents, NotClaimed
from ivr.queueing import Matched, Standing
from ivr.store import StorageFailed, Store

pytest_plugins = ["databases"]

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


def test_an_agent_who_says_to_be_ready_before_anybody_has_seen_the_death_is_ready(
    agents: Agents, other: Agents, store: Store
) -> None:
    ready(agents, "801")
    join(other, "talks", 0)
    other.match(at(1))
    other.talking("talks", at(2))
    assert agents.set_ready("801", "phone", at(9)) == "talking", "that process may live"
    assert agents.set_ready("801", "phone", at(20)) == "ready"
    assert agents.match(at(21)).claims == ()
    assert state(store, "801")[0] == "ready"


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
