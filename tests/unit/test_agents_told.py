"""What callers who wait for an agent are told, and how they are called back in their turn."""

from __future__ import annotations

from at_work import NOON, TRANSFER, at, join, ready, rung

from ivr.agents import Agents
from ivr.queueing import Matched, Standing
from ivr.staff import Transfer
from ivr.store import Store

pytest_plugins = ["databases"]

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
