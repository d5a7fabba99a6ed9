"""Asterisk says whether it knows where a phone is: who is away is not rung, and who is back is what
they were."""

from __future__ import annotations

import pytest
from at_work import (
    BANK,
    NOON,
    SHOP,
    TRANSFER,
    at,
    join,
    logged,
    ready,
    rung,
    state,
)

from ivr.agents import Agents
from ivr.floor import BACK, GONE
from ivr.queueing import Standing
from ivr.store import Store

pytest_plugins = ["databases"]

AWAY, THERE = {"801": False}, {"801": True}


@pytest.fixture
def one(agents: Agents) -> Agents:
    """801 is ready."""
    ready(agents, "801")
    return agents


def test_who_is_ready_and_whose_phone_goes_is_not_rung_and_is_shown(
    one: Agents, store: Store
) -> None:
    assert one.reached(AWAY, at(1))
    assert state(store, "801") == ("unreachable", GONE)
    assert one.survey("shop", "service", "", at(2)) == Standing(False)
    assert one.reached(THERE, at(3))
    assert state(store, "801") == ("ready", BACK)
    join(one, "c1", 4)
    assert rung(one.match(at(4))) == {"c1": "801"}


def test_what_is_known_already_changes_nothing(one: Agents, store: Store) -> None:
    assert not one.reached(THERE, at(1))
    one.reached(AWAY, at(2))
    before = logged(store)
    assert not one.reached(AWAY, at(3))
    assert not one.reached({"999": False}, at(4))
    assert logged(store) == before


def test_who_was_rung_and_not_reached_is_ready_when_the_phone_is_there_again(
    one: Agents, store: Store
) -> None:
    join(one, "c1")
    one.match(NOON)
    assert one.release("c1", "801", "unreachable", TRANSFER, at(1)) == "unreachable"
    one.reached(THERE, at(2))
    assert state(store, "801") == ("ready", BACK)


def test_who_is_not_reached_twice_in_a_row_is_busy_and_the_phone_alone_does_not_make_them_ready(
    one: Agents, store: Store
) -> None:
    for number in range(2):
        join(one, f"c{number}", number)
        one.match(at(number))
        one.release(f"c{number}", "801", "unreachable", TRANSFER, at(number))
        one.leave(f"c{number}#1")
        one.reached(THERE, at(number + 0.5))
    assert state(store, "801") == ("busy", "missed twice in a row: unreachable")
    assert one.set_ready("801", "phone", at(9)) == "ready"


@pytest.mark.parametrize("first", [AWAY, {}])
def test_who_is_busy_stays_so_whatever_the_phone_does(
    one: Agents, store: Store, first: dict[str, bool]
) -> None:
    one.reached(first, at(1))
    one.set_busy("801", "lunch", at(2))
    one.reached(AWAY, at(3))
    one.reached(THERE, at(4))
    assert state(store, "801") == ("busy", "lunch")


def test_a_talk_goes_on_when_the_phone_goes_and_who_is_back_in_time_is_not_away(
    one: Agents, store: Store
) -> None:
    join(one, "c1")
    one.match(NOON)
    one.talking("c1", at(1))
    one.reached(AWAY, at(2))
    assert state(store, "801")[0] == "talking"
    # those who wait are not told that nobody is there: the talk may outlast it
    assert one.survey("shop", "service", "", at(2)).staffed
    one.reached(THERE, at(3))
    assert one.release("c1", "801", "talked", TRANSFER, at(4)) == "wrap_up"


def test_whose_phone_is_away_when_the_talk_is_over_is_unreachable_and_then_wraps_up(
    one: Agents, store: Store
) -> None:
    join(one, "c1")
    one.match(NOON)
    one.talking("c1", at(1))
    one.reached(AWAY, at(2))
    assert one.release("c1", "801", "talked", TRANSFER, at(10)) == "unreachable"
    assert state(store, "801") == ("unreachable", GONE)
    one.reached(THERE, at(20))
    assert state(store, "801") == ("wrap_up", BACK)
    one.reached(AWAY, at(21))
    one.reached(THERE, at(40))
    assert state(store, "801") == ("ready", BACK)


@pytest.mark.parametrize("signs_in", [False, True])
def test_a_phone_that_moves_while_its_old_address_is_rung_is_rung_again_and_that_was_a_miss(
    one: Agents, store: Store, signs_in: bool
) -> None:
    join(one, "c1")
    one.match(NOON)
    one.reached(THERE, at(1))
    if signs_in:
        one.set_ready("801", "phone", at(2))
    assert one.release("c1", "801", "unreachable", TRANSFER, at(6)) == "ready"
    assert state(store, "801") == ("ready", BACK)
    one.leave("c1#1")
    join(one, "c2", 7)
    assert rung(one.match(at(7))) == {"c2": "801"}
    # twice in a row is once too often; who has signed in begins anew, and misses for the first time
    one.reached(THERE, at(8))
    assert one.release("c2", "801", "unreachable", TRANSFER, at(9)) == "busy"


def test_what_was_heard_in_one_call_does_not_hold_for_the_next(one: Agents) -> None:
    join(one, "c1")
    one.match(NOON)
    one.reached(THERE, at(1))
    one.release("c1", "801", "refused", TRANSFER, at(2))
    one.leave("c1#1")
    join(one, "c2", 3)
    one.match(at(3))
    assert one.release("c2", "801", "unreachable", TRANSFER, at(4)) == "unreachable"


def test_a_phone_that_moves_and_goes_in_a_call_is_away_after_it(one: Agents, store: Store) -> None:
    join(one, "c1")
    one.match(NOON)
    one.reached(THERE, at(1))
    one.reached(AWAY, at(2))
    one.release("c1", "801", "unreachable", TRANSFER, at(3))
    assert state(store, "801") == ("unreachable", GONE)


def test_who_waits_is_not_told_that_nobody_is_there_when_a_phone_only_blinks_after_a_talk(
    one: Agents,
) -> None:
    """A softphone registers anew while its agent, the only one, wraps up."""
    join(one, "c1")
    one.match(NOON)
    one.talking("c1", at(1))
    one.leave("c1#1")
    join(one, "c2", 2)
    one.match(at(2))
    one.release("c1", "801", "talked", TRANSFER, at(5))
    one.reached(AWAY, at(24))
    assert one.match(at(24)).unstaffed == ()
    assert one.survey("shop", "service", "", at(24)).staffed
    assert one.match(at(33)).unstaffed == ()  # also when wrapping up would be over
    one.reached(THERE, at(33.5))
    assert rung(one.match(at(33.5))) == {"c2": "801"}


def test_who_waits_is_told_when_the_phone_of_who_wraps_up_stays_away(one: Agents) -> None:
    join(one, "c1")
    one.match(NOON)
    one.talking("c1", at(1))
    one.leave("c1#1")
    place = join(one, "c2", 2)
    one.match(at(2))
    one.release("c1", "801", "talked", TRANSFER, at(5))
    one.reached(AWAY, at(10))
    assert one.match(at(19.9)).unstaffed == ()
    assert one.match(at(20)).unstaffed == (place,)


def test_only_who_was_rung_in_vain_is_asked_about_again_and_not_at_once(one: Agents) -> None:
    ready(one, "802")
    one.reached({"802": False}, NOON)
    join(one, "c1")
    one.match(NOON)
    one.release("c1", "801", "unreachable", TRANSFER, at(1))
    assert one.rung_in_vain(at(0.5)) == []
    assert one.rung_in_vain(at(1)) == ["801"]
    one.reached(THERE, at(2))
    assert one.rung_in_vain(at(3)) == []


@pytest.mark.parametrize("asked", [0, 3])
def test_who_asks_to_be_busy_in_a_call_is_busy_after_it_though_the_phone_was_away(
    one: Agents, store: Store, asked: int
) -> None:
    join(one, "c1")
    one.match(NOON)
    for second in range(4):
        if second == asked:
            one.set_busy("801", "lunch", at(second))
        elif second == 1:
            one.reached(AWAY, at(second))
    assert one.release("c1", "801", "unreachable", TRANSFER, at(5)) == "busy"
    assert state(store, "801") == ("busy", "lunch")


def test_who_waits_is_told_when_the_last_phone_goes(one: Agents) -> None:
    join(one, "c1")
    one.match(NOON)
    place = join(one, "c2", 1)
    one.reached(AWAY, at(2))
    assert one.match(at(3)).unstaffed == ()
    one.release("c1", "801", "unreachable", TRANSFER, at(4))
    assert place in one.match(at(4)).unstaffed


def test_a_talk_whose_process_died_is_told_as_that(one: Agents, store: Store) -> None:
    join(one, "c1")
    one.match(NOON)
    one.talking("c1", at(1))
    one.reached(AWAY, at(2))
    other = Agents(store, "two")
    other.sync({"shop": SHOP, "bank": BANK}, at(30))
    other.match(at(30))
    assert state(store, "801")[0] == "busy"
    assert "died in a talk" in state(store, "801")[1]
