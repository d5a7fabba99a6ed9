"""The conversation with an agent: holds with consent, sentences by code, and how it ends."""

from __future__ import annotations

import pytest
from talk import Conversation, line

from ivr import actions, events
from ivr.actions import (
    Action,
    CancelRing,
    CancelTimer,
    HearOut,
    Ignored,
    Listen,
    Music,
    Note,
    Release,
    Resume,
    Say,
)
from ivr.call import canonical
from ivr.events import AgentGone, BridgeOver, EndAsked, FeatureAsked, HeardOut, HungUp, Key, Voice

STAFF = """\
departments: {service: {title: one}}
agents: [{staff_number: "801", phone: "801", departments: [service]}]
transfer: {hold_limit: 100 s}
features:
  hold: {code: "*1"}
  back: {code: "*2"}
  slow: {code: "*31", say: j}
  number: {code: "*32", say: [h, i]}
  rude: {code: "*39", steps: [g, j]}
  superior: {code: "*59", asks: bridged.ask_superior}
"""
FLOW = """\
flow: call
initial: waiting
states:
  - {name: waiting, transfer: {begin: a, next: b, sign_of_life: c, position: d}}
  - name: talking
    bridge: {ask: e, hint: f, begin: g, sign_of_life: h, thanks: i, pause: 4 s}
  - {name: left, say: {prompt: j}}
  - {name: over, say: {prompt: "j"}}
  - {name: failed, say: {prompt: j}}
  - {name: abandoned, say: {prompt: j}}
  - {name: ended, end: {}}
  - {name: bye, say: {prompt: j}}
transitions:
  - {trigger: accepted, source: waiting, dest: talking}
  - {trigger: [leave, too_long, nobody], source: waiting, dest: left}
  - {trigger: over, source: talking, dest: over}
  - {trigger: failed, source: talking, dest: failed}
  - {trigger: abandoned, source: talking, dest: abandoned}
  - {trigger: ended, source: talking, dest: ended}
  - {trigger: end_asked, source: talking, dest: bye}
"""


class Bridged(Conversation):
    """What an agent may key meanwhile."""

    def __init__(self) -> None:
        super().__init__(line(FLOW, STAFF))

    def asks(self, feature: str) -> Bridged:
        self.tell(FeatureAsked(feature))
        return self

    def over(self, reason: str = "agent", talked: float = 61.4) -> Bridged:
        self.tell(BridgeOver(self.bridge, reason, talked))
        return self

    def holds(self) -> Bridged:
        """On hold, with music."""
        self.asks("hold").said().said().keys("1").said()
        return self

    @property
    def people(self) -> list[Action]:
        """What the last step gave back."""
        return [want for want in self.wants if isinstance(want, CancelRing | Release)]

    @property
    def resumed(self) -> bool:
        return bool(self.wants) and isinstance(self.wants[-1], Resume)


@pytest.fixture
def talk() -> Bridged:
    return Bridged()


# ---------------------------------------------------------------- the end


def test_the_agent_hangs_up_and_the_caller_is_with_us_again(talk):
    talk.tell(AgentGone("801"))
    assert talk.wants == ()
    talk.over()
    assert talk.where == "over"
    assert talk.people == [Release("801", "talked")]
    assert talk.call.slot("talked") == "61"
    assert talk.call.awaited == ()


def test_the_end_of_the_conversation_alone_says_as_much(talk):
    assert talk.over().where == "over"
    assert talk.people == [Release("801", "talked")]
    assert talk.call.leg == 0


def test_a_conversation_that_never_began_is_told_to_the_flow_and_the_agent_is_hung_up(talk):
    talk.over("failed", 0.0)
    assert talk.where == "failed"
    assert talk.people == [CancelRing(talk.leg), Release("801", "failed")]


def test_and_nobody_is_hung_up_who_is_gone_already(talk):
    talk.tell(AgentGone("801")).over("failed", 0.0)
    assert talk.people == [Release("801", "failed")]


@pytest.mark.parametrize("way", [HungUp(), EndAsked()])
def test_whoever_ends_the_call_lets_the_agent_go(talk, way):
    talk.tell(way)
    assert talk.people == [CancelRing(talk.leg), Release("801", "talked")]
    assert talk.call.awaited == ()


def test_an_agent_who_has_hung_up_is_not_hung_up_again(talk):
    talk.tell(AgentGone("801")).tell(HungUp())
    assert talk.people == [Release("801", "talked")]


def test_while_the_two_talk_neither_keys_nor_voices_are_ours(talk):
    for event in (Key("1"), Voice(), events.Noise()):
        talk.tell(event)
        assert isinstance(talk.wants[0], Ignored)


# ---------------------------------------------------------------- sentences


def test_a_sentence_is_said_and_the_two_talk_on(talk):
    talk.asks("slow")
    assert talk.heard == ["j"]
    assert talk.said().resumed
    assert talk.over().where == "over"


def test_a_sentence_has_a_form_for_the_first_time_and_one_for_every_other(talk):
    for _ in range(4):
        talk.asks("number").said()
    assert talk.heard == ["h", "i", "i", "i"]


def test_how_often_a_sentence_was_said_is_counted_no_further_than_it_matters(talk):
    for _ in range(2):
        talk.asks("number").said()
    before = canonical(talk.call)
    talk.asks("number").said()
    assert canonical(talk.call) == before


def test_a_feature_that_the_line_does_not_have_gives_the_caller_back_at_once(talk):
    assert talk.asks("dance").resumed


def test_a_caller_who_listens_to_us_already_is_not_asked_for_again(talk):
    talk.asks("slow").asks("number")
    assert talk.heard == ["j"]
    assert isinstance(talk.wants[0], Ignored)


def test_harassment_is_warned_of_at_first_and_ends_the_call_the_second_time(talk):
    talk.asks("rude")
    assert Note("rude", "warned") in talk.wants
    assert talk.said().resumed
    talk.asks("rude")
    assert Note("rude", "ended") in talk.wants
    assert talk.heard == ["g", "j"]
    talk.said()
    assert talk.call.over
    assert talk.people == [CancelRing(talk.leg), Release("801", "talked")]
    assert isinstance(talk.wants[-1], actions.HangUp)


def test_a_call_that_is_being_ended_ends_even_if_the_agent_hangs_up_first(talk):
    talk.asks("rude").said()
    talk.asks("rude").tell(AgentGone("801")).said()
    assert talk.call.over
    assert talk.people == [Release("801", "talked")]


# ---------------------------------------------------------------- consent to a hold


def test_a_hold_needs_consent_by_key(talk):
    talk.asks("hold").said().said()
    assert talk.heard == ["e", "f"]
    assert talk.wants == (Listen(talk.foreground, 4.0),)
    talk.keys("1")
    assert Note("consent", "given") in talk.wants
    assert talk.heard == ["e", "f", "g"]
    assert isinstance(talk.said().wants[-1], Music)


def test_who_does_not_want_to_wait_talks_on(talk):
    talk.asks("hold").keys("2")
    assert talk.wants == (Note("consent", "refused"), talk.wants[-1])
    assert talk.resumed


def test_silence_is_no_consent(talk):
    talk.asks("hold").said().said().silence()
    assert talk.heard[-1] == "e"
    talk.said().said().silence()
    assert talk.resumed


def test_another_key_is_no_consent(talk):
    talk.asks("hold").keys("5")
    assert talk.heard == ["e", "e"]
    assert talk.keys("5").resumed


def test_the_star_repeats_the_question(talk):
    talk.asks("hold").keys("***")
    assert talk.heard == ["e"] * 4
    assert talk.keys("1").heard[-1] == "g"


def test_a_spoken_answer_is_heard_out_and_answered_with_the_key_hint_once(talk):
    talk.asks("hold").tell(Voice())
    assert isinstance(talk.wants[-1], HearOut)
    talk.tell(HeardOut(talk.foreground))
    assert talk.heard == ["e", "f"]
    talk.tell(Voice()).tell(HeardOut(talk.foreground))
    assert talk.resumed


def test_a_hold_may_be_asked_for_in_words_of_its_own_until_the_caller_has_answered(talk):
    talk.asks("superior").said().said().silence()
    talk.keys("*")
    own = "bridged.ask_superior"
    assert talk.heard == [own, "f", own, own]
    talk.keys("1").said()
    assert isinstance(talk.wants[-1], Music)
    talk.fires("sign_of_life").said()
    talk.asks("back")
    assert talk.heard[4:] == ["g", "h", "i"]
    assert talk.said().resumed
    talk.asks("hold")
    assert talk.heard[-1] == "e"


def test_who_does_not_want_to_wait_for_a_superior_talks_on(talk):
    talk.asks("superior").keys("2")
    assert Note("consent", "refused") in talk.wants
    assert talk.resumed


def test_the_next_hold_is_asked_for_anew(talk):
    talk.asks("hold").said().said().silence()
    talk.keys("2")
    talk.asks("hold").said().said().silence()
    assert not talk.resumed
    assert talk.heard == ["e", "f", "e", "e", "f", "e"]


# ---------------------------------------------------------------- on hold


def test_who_is_on_hold_hears_from_us_from_start_to_start_and_an_apology_at_the_end(talk):
    talk.holds()
    for _ in range(2):
        talk.fires("sign_of_life")
        assert actions.SetTimer(talk.awaits["sign_of_life"], "sign_of_life", 30) in talk.wants
        assert isinstance(talk.said().wants[-1], Music)
    sign, limit = talk.awaits["sign_of_life"], talk.awaits["limit"]
    talk.asks("back")
    assert talk.heard == ["e", "f", "g", "h", "h", "i"]
    assert {CancelTimer(sign), CancelTimer(limit)} <= set(talk.wants)
    assert talk.said().resumed
    assert talk.over().where == "over"


def test_a_sign_of_life_is_said_to_its_end_before_the_apology(talk):
    talk.holds().fires("sign_of_life")
    talk.asks("back")
    assert talk.heard[-1] == "h"
    assert talk.said().heard[-1] == "i"
    assert talk.said().resumed


def test_a_caller_who_speaks_over_a_sign_of_life_is_heard_out_before_the_apology(talk):
    talk.holds().fires("sign_of_life").tell(Voice())
    talk.asks("back").said()
    assert isinstance(talk.wants[-1], HearOut)
    talk.tell(HeardOut(talk.foreground))
    assert talk.heard[-1] == "i"


def test_an_agent_who_is_back_before_the_caller_has_answered_talks_on(talk):
    talk.asks("hold").said().said()
    assert talk.asks("back").resumed


def test_and_what_is_being_said_then_is_said_to_its_end(talk):
    talk.asks("hold").asks("back")
    assert not talk.resumed
    assert talk.said().resumed
    assert talk.heard == ["e"]


def test_back_without_a_hold_is_nothing(talk):
    talk.asks("back")
    assert talk.wants == (Ignored("nobody is on hold"),)


def test_an_agent_who_hangs_up_in_the_hold_ends_it_without_another_word(talk):
    talk.holds().tell(AgentGone("801"))
    assert talk.resumed
    assert talk.over().where == "over"
    assert talk.people == [Release("801", "talked")]


def test_and_a_sign_of_life_that_has_begun_is_ended_first(talk):
    talk.holds().fires("sign_of_life").tell(AgentGone("801"))
    assert not talk.resumed
    assert talk.said().resumed


def test_a_caller_who_hangs_up_in_the_hold_gives_all_back(talk):
    talk.holds()
    sign, limit = talk.awaits["sign_of_life"], talk.awaits["limit"]
    talk.tell(HungUp())
    assert talk.people == [CancelRing(talk.leg), Release("801", "talked")]
    assert {CancelTimer(sign), CancelTimer(limit)} <= set(talk.wants)
    assert talk.call.awaited == ()


def test_an_agent_who_does_not_come_back_is_let_go_and_the_caller_goes_back(talk):
    talk.holds().fires("limit")
    assert talk.people == [CancelRing(talk.leg), Release("801", "dropped")]
    assert Note("hold", "abandoned") in talk.wants
    assert talk.resumed
    talk.over()
    assert talk.where == "abandoned"
    assert talk.people == []


def test_a_sign_of_life_that_is_being_said_at_the_limit_is_said_to_its_end(talk):
    talk.holds().fires("sign_of_life").fires("limit")
    assert not talk.resumed
    assert talk.said().resumed


def test_no_timer_of_a_hold_outlives_it(talk):
    talk.holds().asks("back").said()
    assert set(talk.call.awaited) == {talk.bridge, talk.leg}


def test_the_late_end_of_an_earlier_agent_is_nothing_to_this_one(talk):
    talk.holds().tell(AgentGone("802"))
    assert isinstance(talk.wants[0], Ignored)
    assert not any(isinstance(want, Say | Resume) for want in talk.wants)
