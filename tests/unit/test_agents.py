"""Agents are claimed once, callers are served in their turn, and what goes wrong is given back."""

from __future__ import annotations

import pytest
from at_work import BANK, NOON, SHOP, TRANSFER, at, join, logged, ready, rung, staff, state
from sqlalchemy import select

from ivr import tables
from ivr.agents import Agents, NotClaimed
from ivr.queueing import Claim, Standing
from ivr.staff import Transfer
from ivr.store import Store

pytest_plugins = ["databases"]

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


def test_an_agent_who_comes_back_into_the_file_is_new(agents: Agents, store: Store) -> None:
    ready(agents, "801", "802")
    join(agents, "c1", wish="802")
    agents.match(NOON)
    agents.sync({"shop": staff(a803=("803", "expert"))}, NOON)
    assert state(store, "802") == ("ringing", "claimed"), "a call has this one still"
    agents.sync({"shop": SHOP, "bank": BANK}, NOON)
    assert state(store, "801") == ("busy", "has not signed in yet")
    assert agents.release("c1", "802", "free", TRANSFER, at(5)) == "ready"


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
