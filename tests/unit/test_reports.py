"""What an agent reports by a code: kept before it is said, with a number to call (XJCA-6.2b)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from talk import Conversation, line

from ivr import etiquette, events
from ivr.actions import HearOut, Ignored, Keep, Listen, Note, Resume, Say
from ivr.call import canonical
from ivr.document import BadFile
from ivr.events import (
    AgentGone,
    BridgeOver,
    EndAsked,
    FeatureAsked,
    HungUp,
    Stored,
    StoreFailed,
    Voice,
)

LINE = """\
promises: {answer: 24 h}
tickets: {kinds: {upset: {owner: supervisor}}}
departments: {service: {title: one}}
agents: [{staff_number: "801", phone: "801", departments: [service]}]
features: {upset: {code: "*45", keeps: upset}}
"""
FLOW = """\
flow: call
initial: waiting
states:
  - {name: waiting, transfer: {begin: a, next: b, sign_of_life: c, position: d}}
  - name: talking
    bridge: {ask: e, hint: f, stay: g, refused: h, lost: i, keeps: [reporter, item]}
  - {name: keeping, keep: {kind: upset, values: [reporter]}}
  - {name: over, say: {prompt: j}}
transitions:
  - {trigger: end_asked, source: talking, dest: keeping}
  - {trigger: [kept, lost], source: keeping, dest: over}
  - {trigger: accepted, source: waiting, dest: talking}
  - {trigger: [over, failed, abandoned, ended], source: talking, dest: over}
  - {trigger: [leave, too_long, nobody], source: waiting, dest: over}
"""
SAID = "message.kept.upset"


class Reporting(Conversation):
    """An agent who keys what a caller is upset about."""

    def __init__(self, caller: str = "13800138000") -> None:
        super().__init__(line(FLOW, LINE), caller=caller)

    def reports(self) -> Reporting:
        self.tell(FeatureAsked("upset"))
        return self

    def stored(self, promised: bool = True) -> Reporting:
        self.tell(Stored(self.awaits["Keep"], "m1", promised))
        return self


@pytest.fixture
def talk() -> Reporting:
    return Reporting()


def test_a_report_is_stored_with_the_number_before_the_caller_hears_of_it(talk):
    talk.reports()
    kept = next(want for want in talk.wants if isinstance(want, Keep))
    assert (kept.kind, kept.within) == ("upset", "24 h")
    assert dict(kept.values) == {"contact": "13800138000", "reporter": "801"}
    assert talk.heard == []
    talk.stored()
    assert talk.heard == [SAID]
    assert Note("upset", "kept") in talk.wants
    assert talk.call.slot("reporter") == "", "what the caller says later is the caller's own"
    assert isinstance(talk.said().wants[-1], Resume)


def test_a_number_that_the_caller_left_before_is_the_one_to_be_called():
    talk = Reporting("010-12345678")
    talk.call = replace(talk.call, slots=(*talk.call.slots, ("contact", "13900139000")))
    talk.reports()
    kept = next(want for want in talk.wants if isinstance(want, Keep))
    assert dict(kept.values)["contact"] == "13900139000"


def test_what_takes_long_to_store_is_waited_for(talk):
    talk.reports()
    assert isinstance(talk.wants[-1], Listen)
    assert isinstance(talk.silence().wants[-1], Listen)
    assert talk.stored().heard == [SAID]


def test_a_caller_who_speaks_meanwhile_is_heard_out_first(talk):
    talk.reports().tell(Voice())
    assert isinstance(talk.wants[-1], HearOut)
    assert talk.stored().heard == []
    assert talk.tell(events.HeardOut(talk.foreground)).heard == [SAID]


def test_and_may_have_spoken_before_it_is_stored(talk):
    talk.reports().speaks()
    assert talk.heard == []
    assert talk.stored().heard == [SAID]


def test_a_number_that_is_promised_no_call_hears_no_promise(talk):
    assert talk.reports().stored(promised=False).heard == ["h"]
    assert isinstance(talk.said().wants[-1], Resume)


def test_nothing_is_promised_where_nothing_could_be_stored_and_it_may_be_tried_again(talk):
    talk.reports().tell(StoreFailed(talk.awaits["Keep"]))
    assert talk.heard == ["i"]
    talk.said()
    assert any(isinstance(want, Keep) for want in talk.reports().wants)


def test_who_has_no_number_is_asked_to_stay_on_the_line(talk):
    talk = Reporting("").reports()
    assert talk.heard == ["g"]
    assert not any(isinstance(want, Keep) for want in talk.wants)
    assert talk.call.slot("owed") == "upset"
    assert talk.call.slot("reporter") == "801"


def test_a_report_is_kept_once_and_may_be_said_again(talk):
    talk.reports().stored().said()
    talk.reports()
    assert talk.heard == [SAID, SAID]
    assert [type(want) for want in talk.wants] == [Say]


def test_a_second_code_while_it_is_being_stored_is_nothing(talk):
    talk.reports().reports()
    assert isinstance(talk.wants[0], Ignored)


def test_the_agent_may_hang_up_while_it_is_being_stored_and_the_caller_hears_of_it(talk):
    talk.reports().tell(AgentGone("801"))
    talk.stored()
    assert talk.heard == [SAID]
    assert isinstance(talk.said().wants[-1], Resume)
    assert talk.tell(BridgeOver(talk.bridge, "agent", 5.0)).where == "over"


@pytest.mark.parametrize("way", [HungUp(), BridgeOver(0)])
def test_nothing_of_it_is_awaited_when_the_conversation_is_over(talk, way):
    talk.reports()
    talk.tell(way if isinstance(way, HungUp) else BridgeOver(talk.bridge))
    assert talk.awaits["Keep"] not in talk.call.awaited
    assert isinstance(talk.stored().wants[0], Ignored)


def test_what_is_being_kept_makes_no_two_calls_differ(talk):
    again = Reporting()
    again.tell(FeatureAsked("nothing"))  # uses up ids
    assert canonical(talk.reports().call) == canonical(again.reports().call)


def test_a_code_that_keeps_names_a_kind_that_somebody_sees_to():
    with pytest.raises(BadFile, match="F709 nobody is named for tickets of the kind 'upset'"):
        line(FLOW, LINE.replace("kinds: {upset", "kinds: {other"))


def test_a_code_does_one_thing():
    with pytest.raises(BadFile, match="F706"):
        line(FLOW, LINE.replace("keeps: upset", "keeps: upset, say: a"))


# ---------------------------------------------------------------- the rule


def judged(line, *seen):
    marks = etiquette.marks(line, [(float(at), what) for at, what in enumerate(seen)])
    return [mark.kept for mark in marks if set(mark.clauses) & {"XJCA-6.2b", "LKL-5.6"}]


ASKED, SAYS, BACK = FeatureAsked("upset"), Say(9, SAID), Resume(10)
KEPT = Keep(5, "upset", (("contact", "13800138000"),)), Stored(5, "m1")


def test_the_rule_wants_the_report_stored_with_a_number_before_it_is_said(lines):
    xjca = lines.lines["xjca"]
    assert judged(xjca, ASKED, *KEPT, SAYS, BACK) == [True]
    assert judged(xjca, ASKED, KEPT[0], SAYS, KEPT[1], BACK) == [False]
    assert judged(xjca, ASKED, Keep(5, "upset"), KEPT[1], SAYS, BACK) == [False]
    assert judged(xjca, ASKED, KEPT[0], StoreFailed(5), Say(9, "bridged.lost"), BACK) == []


def test_the_rule_wants_what_is_owed_to_be_kept_in_the_end(lines):
    xjca = lines.lines["xjca"]
    owed = ASKED, Say(9, "bridged.stay"), BACK
    assert judged(xjca, *owed, *KEPT, SAYS) == [True, True, True]
    assert judged(xjca, *owed, HungUp()) == [True, False]
    assert judged(xjca, ASKED, BACK, HungUp()) == [False, False], "the caller was told nothing"


def test_the_rule_wants_a_mistake_that_was_told_to_be_stored(lines):
    lakala = lines.lines["lakala"]
    told = Say(1, "complaint.mistake"), events.Key("1"), events.Recorded(2, "r1")
    more = Say(9, "closing.anything_else")
    assert judged(lakala, *told, Keep(3, "agent_mistake"), Stored(3, "m1"), more) == [True]
    assert judged(lakala, *told, more) == [False]
    assert judged(lakala, *told[:2], more) == [], "nothing was told"
    assert judged(lakala, told[0], events.Key("2"), more) == []


def test_the_end_of_a_conversation_that_was_left_to_keep_something_is_late(talk):
    talk.tell(EndAsked())
    assert isinstance(talk.wants[-1], Keep)
    talk.tell(BridgeOver(talk.bridge, "agent", 60.0))
    assert talk.wants[-1] == Ignored("late")
    talk.stored()
    assert talk.heard[-1] == "j"
