"""Every order of events within a scope obeys the rules, and the exploration would notice if not:
each cancel, release, leave and timer of the engine is left out in turn, and must be missed.

The bounds here are small (two agents are tried instead of five); `make explore` takes the lines as
they ship."""

from __future__ import annotations

import ast
import inspect
import json
import sys

import pytest
from mutants import Site, sites, without

from ivr import activities, line_compiler
from ivr.actions import Bridge, Release
from ivr.call import Call, step
from ivr.chances import World
from ivr.events import AgentGone, Answered, Key, Said
from ivr.explore import NotReached, Scope, call_backs, explore, offers

ELSEWHERE = frozenset(
    {"menu", "extension", "query", "advice", "handling", "complaint", "suggestion", "closing"}
)
PLAIN = World(plain=True)
HOLD = Scope("hold", frozenset({"menu", "explain", "message", "person"}), 50_000, world=PLAIN)
"""A wait for a lookup, to where the caller is answered or leaves contact."""
TRANSFER = Scope("transfer", ELSEWHERE | {"message"}, 50_000, world=PLAIN)
"""A transfer, from the look at who is there to where the caller leaves contact or goes on."""

CALL_BACK = Scope(most=50_000, world=PLAIN)
"""A whole call of ours to somebody who was promised one."""

GIVES_BACK = frozenset(
    {"cancel_timer", "cancel_look_up", "cancel_ring", "leave_line", "release", "forget"}
)
"""What gives back something that is held."""
WAKES = frozenset({"set_timer", "resume"})
"""What sees to it that the call goes on."""
TURN = frozenset({"turn"})
ALL_OF_PEOPLE = [
    site
    for module in ("ivr.activity", "ivr.transferring", "ivr.bridging")
    for site in sites(module, GIVES_BACK | WAKES, TURN)
]
CALLED_BACK = frozenset({"LetGo.enter", "Bridge.enter"})
"""Where only a call back gives anything back."""
PEOPLE = [site for site in ALL_OF_PEOPLE if site.function not in CALLED_BACK]
OF_CALL_BACKS = [site for site in ALL_OF_PEOPLE if site.function in CALLED_BACK]
WAITS = [
    *sites("ivr.waiting", GIVES_BACK | WAKES, TURN),
    *sites("ivr.call", frozenset({"leave"}), frozenset({"self"})),
    *sites("ivr.turn", frozenset({"leave"}), frozenset({"self"})),
]


@pytest.fixture(scope="module")
def xjca(lines):
    """The line as it ships, but that a caller is offered to two agents at most."""
    body = json.loads(lines.bodies["xjca"])
    body["hotline"]["transfer"]["attempts"] = "2"
    return line_compiler.from_body(json.dumps(body, ensure_ascii=False))


@pytest.fixture(scope="module")
def offered(xjca):
    return next(offers(xjca))


def test_a_wait_for_a_lookup_is_explored_to_closure_and_nothing_is_wrong(xjca, offered):
    found = explore(xjca, HOLD, [offered])
    assert found.violation is None, str(found.violation)
    assert found.closed
    assert found.states > 1000


def test_a_transfer_is_explored_to_closure_and_nothing_is_wrong(xjca, offered):
    found = explore(xjca, TRANSFER, [offered])
    assert found.violation is None, str(found.violation)
    assert found.closed
    assert found.states > 3000


def test_what_is_explored_is_stopped_at_the_bound_and_says_so(xjca, offered):
    found = explore(xjca, Scope(most=200), [offered])
    assert found.violation is None, str(found.violation)
    assert not found.closed
    assert not explore(xjca, Scope(depth=3), [offered]).closed


def test_a_flow_to_which_no_way_leads_is_refused(xjca, offered):
    with pytest.raises(NotReached, match="'nowhere'"):
        explore(xjca, Scope(begin="nowhere"), [offered])


def test_what_is_wrong_is_told_as_the_events_that_lead_there_and_what_followed(xjca, offered):
    site = next(site for site in PEOPLE if site.text == "turn.cancel_ring(memory.ring)")
    with without(site):
        found = explore(xjca, TRANSFER, [offered])
    assert found.violation is not None
    told = str(found.violation)
    assert "whose leg is ringing" in found.violation.what
    assert told.index("RingAgent(") < told.index("HungUp()") < told.index("Release(")


# ---------------------------------------------------------------- what must not be left out


def some(sites: list[Site]) -> list[object]:
    """Every fifth in a run of all tests, the others with the deep ones."""
    deep = pytest.mark.deep
    return [s if n % 5 == 0 else pytest.param(s, marks=deep) for n, s in enumerate(sites)]


@pytest.mark.parametrize("site", some(WAITS), ids=str)
def test_each_cancel_leave_and_timer_of_a_wait_is_missed_when_it_is_left_out(xjca, offered, site):
    with without(site):
        found = explore(xjca, HOLD, [offered])
    assert found.violation is not None, f"{site} can be left out and nobody notices"


@pytest.mark.parametrize("site", some(PEOPLE), ids=str)
def test_each_cancel_release_leave_and_timer_of_a_transfer_is_missed_too(xjca, offered, site):
    with without(site):
        found = explore(xjca, TRANSFER, [offered])
    assert found.violation is not None, f"{site} can be left out and nobody notices"


def test_a_call_back_is_explored_to_closure_and_nothing_is_wrong(xjca):
    found = explore(xjca, CALL_BACK, call_backs())
    assert found.violation is None, str(found.violation)
    assert found.closed
    assert found.states > 500


@pytest.mark.parametrize("site", some(OF_CALL_BACKS), ids=str)
def test_each_cancel_and_release_of_a_call_back_is_missed_too(xjca, site):
    with without(site):
        found = explore(xjca, CALL_BACK, call_backs())
    assert found.violation is not None, f"{site} can be left out and nobody notices"


def test_an_agent_who_is_gone_before_the_person_called_agrees_is_not_waited_for(xjca):
    """The word of it comes while another activity runs; the bridge is not even tried."""
    begun, _ = step(xjca, Call(last_id=1000), next(call_backs()))
    for event in (Answered(1002, 5.0), AgentGone("801"), Key("1"), Said(1004)):
        begun, wishes = step(xjca, begun, event)
    assert [wish for wish in wishes if isinstance(wish, Release | Bridge)] == [
        Release("801", "dropped")
    ]


def test_nothing_else_in_the_engine_gives_anything_back_or_sets_a_timer():
    """The list above is whole: these calls stand in no other activity, and under no other name."""
    listed = {(site.module, site.line) for site in (*PEOPLE, *WAITS, *OF_CALL_BACKS)}
    found = set()
    for module in {kind.__module__ for kind in activities.REGISTRY.values()}:
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
            if isinstance(node, ast.Attribute) and node.attr in GIVES_BACK | WAKES:
                found.add((module, node.lineno))
    assert found == {place for place in listed if place[0] not in ("ivr.call", "ivr.turn")}
