"""The pure machine: one step after another, nothing left half done, nothing that cannot be told."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Talk, line, one

from ivr import actions, events
from ivr.actions import CancelTimer, Foreground, HangUp, Ignored, Note, Say
from ivr.call import Call, FlowLoop, canonical, step
from ivr.events import EndAsked, HungUp, Key, Offered, Said, Silence, Voice

NESTED = """\
flow: call
initial: outer
states:
  - {name: outer, invoke: {flow: inner, with: {greeting: a}}}
  - {name: after, say: {prompt: b}}
  - {name: person, say: {prompt: c}}
  - {name: bye, say: {prompt: d}}
  - {name: hanging_up, end: {}}
transitions:
  - {trigger: done, source: outer, dest: after}
  - {trigger: person, source: outer, dest: person}
  - {trigger: end_asked, source: [outer, after, person], dest: bye, note: {ended_by: ops}}
  - {trigger: said, source: [after, person, bye], dest: hanging_up}
---
flow: inner
initial: asking
states:
  - {name: asking, ask: {prompt: "{greeting}", keys: {"1": yes_please}}}
  - {name: waiting, wait: {lookup: item, begin: e, sign_of_life: f}}
  - {name: done, final: true}
transitions:
  - {trigger: yes_please, source: asking, dest: waiting}
  - {trigger: [silence, spoke, no_match], source: asking, dest: done}
  - {trigger: [found, missing, failed, too_long], source: waiting, dest: done}
"""
LOOKUPS = "lookups: {item: {limit: 120 s}}\n"


@pytest.fixture
def nested() -> Talk:
    return Talk(line(NESTED, LOOKUPS))


# ---------------------------------------------------------------- frames


def test_a_flow_that_is_invoked_lies_on_top_and_its_end_is_a_trigger_below(nested):
    assert nested.call.where == "call.outer > inner.asking"
    nested.keys("777")
    assert nested.call.where == "call.after"
    assert nested.heard[-1] == "b"


def test_slots_are_handed_to_the_invoked_flow(nested):
    assert nested.heard == ["a"]


def test_a_frame_is_dropped_when_one_below_takes_the_trigger_and_gives_back_what_it_held(nested):
    nested.keys("1")
    timers = {nested.awaits["sign_of_life"], nested.awaits["limit"]}
    nested.tell(EndAsked())
    assert nested.call.where == "call.bye"
    cancelled = {want.id for want in nested.wants if isinstance(want, CancelTimer)}
    assert cancelled == timers
    assert actions.CancelLookUp(nested.awaits["LookUp"]) in nested.wants
    assert nested.call.awaited == ()


def test_a_trigger_that_nobody_takes_is_ignored_and_said_so():
    talk = Talk(one('ask: {prompt: a, keys: {"1": one_key}}', "one_key", "silence", "spoke",
                    "no_match"))  # fmt: skip
    before = talk.call
    talk.tell(EndAsked())
    assert talk.wants == (Ignored("nobody takes 'end_asked'"),)
    assert talk.call == before


# ---------------------------------------------------------------- run to completion


def test_several_decisions_are_taken_in_one_step_and_the_last_one_speaks():
    decided = line(
        "flow: call\ninitial: one\nstates:\n"
        "  - {name: one, choose: {}}\n  - {name: two, choose: {}}\n"
        "  - {name: three, say: {prompt: a}}\n  - {name: bye, end: {}}\n"
        "transitions:\n"
        "  - {trigger: next, source: one, dest: two, set: {mood: good}, note: {first: one}}\n"
        "  - {trigger: next, source: two, dest: three, conditions: is mood good}\n"
        "  - {trigger: next, source: two, dest: bye}\n"
        "  - {trigger: said, source: three, dest: bye}\n"
    )
    talk = Talk(decided)
    assert talk.call.where == "call.three"
    assert talk.wants == (Note("first", "one"), Say(1, "a", (), voice=False))


def test_a_flow_that_goes_round_in_a_circle_is_a_bug_that_is_told():
    circle = line(
        "flow: call\ninitial: one\nstates:\n"
        "  - {name: one, choose: {}}\n  - {name: two, choose: {}}\n"
        "transitions:\n"
        "  - {trigger: next, source: one, dest: two}\n"
        "  - {trigger: next, source: two, dest: one}\n"
    )
    with pytest.raises(FlowLoop, match=r"call\."):
        step(circle, Call(), Offered("1"))


def test_a_step_changes_nothing_in_the_call_it_was_given(nested):
    before = copy.deepcopy(nested.call)
    given_ = nested.call
    nested.keys("1").tell(EndAsked()).tell(HungUp())
    assert given_ == before


# ---------------------------------------------------------------- answers that come too late


def test_the_answer_to_what_was_replaced_is_late(nested):
    old = nested.foreground
    nested.keys("1")
    before = nested.call
    assert nested.tell(Said(old)).wants == (Ignored("late"),)
    assert nested.call == before


def test_the_same_answer_twice_is_late_the_second_time(nested):
    number = nested.foreground
    nested.tell(Said(number))
    assert nested.tell(Said(number)).wants == (Ignored("late"),)


def test_an_answer_to_nothing_is_late(nested):
    for event in (Said(99), Silence(98), events.Found(97), events.TimerFired(96)):
        assert nested.tell(event).wants == (Ignored("late"),)


def test_a_call_is_offered_once(nested):
    before = nested.call
    assert nested.tell(Offered("1")).wants == (Ignored("offered twice"),)
    assert nested.call == before


# ---------------------------------------------------------------- the end


def test_a_caller_who_hangs_up_is_noted_and_the_call_is_over(nested):
    nested.tell(HungUp())
    assert Note("ended_by", "caller") in nested.wants
    assert nested.call.over
    assert nested.call.gone
    assert not any(isinstance(want, Foreground) for want in nested.wants)


def test_what_is_held_is_given_back_when_the_caller_hangs_up(nested):
    nested.keys("1").tell(HungUp())
    kinds = {type(want) for want in nested.wants}
    assert {CancelTimer, actions.CancelLookUp} <= kinds
    assert nested.call.awaited == ()


def test_after_the_end_nothing_happens_any_more(nested):
    nested.tell(HungUp())
    ended = nested.call
    for event in (Key("1"), Voice(), HungUp(), EndAsked(), Said(1)):
        assert nested.tell(event).wants == (Ignored("the call is over"),)
        assert nested.call == ended


def test_before_the_call_is_offered_nothing_happens():
    assert step(line(NESTED, LOOKUPS), Call(), Key("1"))[1] == (Ignored("the call is over"),)


KEEPING = """\
flow: call
initial: recording
states:
  - {name: recording, record: {prompt: a, what: message, into: kept}}
  - {name: keeping, keep: {kind: message, values: [kept]}}
  - {name: thanking, say: {prompt: b}}
  - {name: hanging_up, end: {}}
transitions:
  - {trigger: [recorded, nothing, unclear], source: recording, dest: keeping}
  - {trigger: hung_up, source: recording, dest: keeping, conditions: has kept}
  - {trigger: [kept, lost], source: keeping, dest: thanking}
  - {trigger: said, source: thanking, dest: hanging_up}
"""


def test_a_flow_may_finish_its_work_for_a_caller_who_is_gone_but_says_nothing_more():
    talk = Talk(line(KEEPING)).said()
    talk.tell(events.Recorded(talk.foreground, "r1", 3.0, ended_by="hangup")).tell(HungUp())
    assert not talk.call.over
    talk.tell(events.Stored(talk.awaits["Keep"]))
    assert talk.call.over
    assert talk.heard == ["a"]


def test_a_flow_that_does_not_want_the_hang_up_ends():
    assert Talk(line(KEEPING)).said().tell(HungUp()).call.over


# ---------------------------------------------------------------- ids


def test_every_action_that_is_answered_has_an_id_of_its_own(nested):
    seen: list[int] = []
    for event in (Key("*"), Key("*"), Key("1"), EndAsked()):
        nested.tell(event)
        seen += [want.id for want in nested.wants if hasattr(want, "id")
                 and not isinstance(want, CancelTimer | actions.CancelLookUp)]  # fmt: skip
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)


def test_calls_that_differ_only_in_how_long_they_have_lasted_are_equal_once_renumbered(nested):
    other = Talk(nested.line).keys("****")
    assert other.call != nested.call
    assert canonical(other.call) == canonical(nested.call)
    assert canonical(other.keys("1").call) == canonical(nested.keys("1").call)


# ---------------------------------------------------------------- anything in any order


ANSWERS = {
    actions.Ring: [lambda n: events.Rung(n, 5.0)],
    actions.PickUp: [lambda n: events.Answered(n, 5.0), lambda n: events.Answered(n, 20.0)],
    actions.Say: [events.Said, events.Unplayable],
    actions.Listen: [events.Silence],
    actions.HearOut: [events.HeardOut],
    actions.Record: [
        events.Recorded,
        *(
            lambda n, q=q, e=e: events.Recorded(n, "r1", 3.0, q, e)
            for q in ("fine", "quiet", "noisy", "clipped", "silent")
            for e in ("key", "hangup")
        ),
    ],
    actions.SetTimer: [events.TimerFired],
    actions.LookUp: [
        events.NotFound,
        events.LookupFailed,
        lambda n: events.Found(n, (("status", "held"), ("letters", "EA"))),
        lambda n: events.Found(
            n, (("letters_1", "EA"), ("letters_2", "LX"), ("status_1", "a"), ("status_2", "b"))
        ),
    ],
    actions.Keep: [events.Stored, events.StoreFailed],
}
"""What can answer an action."""
NAMES = ("xjca", "ems", "lakala", "infodesk")
OWN = (
    *(Key(digit) for digit in "0123456789*#"),
    Voice(), events.Noise(), HungUp(), EndAsked(),
)  # fmt: skip
CALLERS = (("", "", ""), ("13800138000", "", ""), ("13900000001", "李女士", ""),
           ("8001", "王总", "manager"))  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    caller=st.sampled_from(CALLERS),
    maintenance=st.booleans(),
    choices=st.lists(st.integers(0, 2_000), max_size=60),
)
def test_whatever_happens_the_machine_goes_on(lines, name, caller, maintenance, choices):
    """No order of events raises; the state stays hashable; the dead hear nothing."""
    compiled = lines.lines[name]
    number, addressee, role = caller
    call, wants = step(
        compiled, Call(), Offered("1", number, 0.0, addressee, role, maintenance=maintenance)
    )
    asked: dict[int, actions.Action] = {}
    leaving = False
    for choice in choices:
        asked |= {want.id: want for want in wants if type(want) in ANSWERS}  # type: ignore[attr-defined]
        awaited = [
            answer(number)
            for number, want in asked.items()
            for answer in ANSWERS[type(want)]
            if number == call.foreground or number in call.awaited
        ]
        some = awaited if choice % 3 and awaited else OWN
        event = some[choice // 3 % len(some)]
        if leaving:
            event = HungUp()  # always follows a recording that ended so
        leaving = isinstance(event, events.Recorded) and event.ended_by == "hangup"
        before, told = call, hash(call)
        call, wants = step(compiled, call, event)
        assert hash(before) == told
        assert isinstance(hash(call), int)
        assert (call, wants) == step(compiled, before, event), "the same again gives the same"
        if before.gone or before.over:
            assert not any(isinstance(want, Foreground) for want in wants)
        assert sum(isinstance(want, Foreground) for want in wants) <= 1
        if any(isinstance(want, HangUp) for want in wants):
            assert call.over
        if not call.over and not leaving:
            assert call.foreground or call.awaited, f"nothing will ever happen: {call.where}"


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    kinds=st.lists(
        st.tuples(
            st.sampled_from(events.Answer.__subclasses__()),
            st.integers(0, 12),
        ),
        max_size=40,
    ),
)
def test_answers_of_the_wrong_kind_hurt_nobody(lines, name, kinds):
    call, _ = step(lines.lines[name], Call(), Offered("1"))
    for kind, number in kinds:
        call, _ = step(lines.lines[name], call, kind(number))
        assert isinstance(hash(canonical(call)), int)
