"""Every order of events within a scope obeys the rules, and the exploration would notice if not:
each cancel, release, leave and timer of the engine is left out in turn, and must be missed."""

from __future__ import annotations

import pytest
from mutants import sites, without

from ivr.explore import NotReached, Scope, explore, offers

GIVES_BACK = frozenset({"cancel_timer", "cancel_look_up", "set_timer", "leave"})
"""What gives something back, or wakes us."""
HOLD = Scope(begin="hold", until=frozenset({"menu", "explain", "message"}), most=50_000)
"""A wait for a lookup, to where the caller is answered or leaves contact."""
WAITS = [
    *sites("ivr.waiting", GIVES_BACK, frozenset({"turn"})),
    *sites("ivr.call", frozenset({"leave"}), frozenset({"self"})),
]


@pytest.fixture(scope="module")
def xjca(lines):
    return lines.lines["xjca"]


@pytest.fixture(scope="module")
def offered(xjca):
    return next(offers(xjca))


def test_a_wait_for_a_lookup_is_explored_to_closure_and_nothing_is_wrong(xjca, offered):
    found = explore(xjca, HOLD, [offered])
    assert found.violation is None, str(found.violation)
    assert found.closed
    assert found.states > 1000


def test_what_is_explored_is_stopped_at_the_bound_and_says_so(xjca, offered):
    found = explore(xjca, Scope(most=200), [offered])
    assert found.violation is None, str(found.violation)
    assert not found.closed


def test_a_flow_to_which_no_way_leads_is_refused(xjca, offered):
    with pytest.raises(NotReached, match="'nowhere'"):
        explore(xjca, Scope(begin="nowhere"), [offered])


@pytest.mark.parametrize("site", WAITS, ids=str)
def test_each_cancel_leave_and_timer_of_a_wait_is_missed_when_it_is_left_out(xjca, offered, site):
    with without(site):
        found = explore(xjca, HOLD, [offered])
    assert found.violation is not None, f"{site} can be left out and nobody notices"
    assert explore(xjca, Scope(begin="hold", most=50), [offered]).violation is None
