"""The wait for an agent: who is rung, what the caller hears meanwhile, and what is given back."""

from __future__ import annotations

import pytest
from talk import Talk, line

from ivr import actions, dialplan, events
from ivr.actions import (
    Action,
    CancelRing,
    CancelTimer,
    JoinLine,
    LeaveLine,
    Music,
    Release,
    RingAgent,
    Say,
    Survey,
)
from ivr.call import canonical
from ivr.events import (
    AgentAccepted,
    AgentAnswered,
    AgentFailed,
    AgentGone,
    Claimed,
    EndAsked,
    HeardOut,
    HungUp,
    Placed,
    Stored,
    Surveyed,
    Unstaffed,
    Voice,
)

STAFF = """\
departments: {service: {title: one}, expert: {title: two}}
agents:
  - {staff_number: "801", phone: "801", departments: [service]}
  - {staff_number: "802", phone: "802", departments: [expert, service]}
transfer: {department: service, ring: 15 s, limit: 90 s, attempts: 3}
"""
FLOW = """\
flow: call
initial: looking
states:
  - {name: looking, survey: {department: "%s", staff_number: "%s"}}
  - {name: unstaffed, say: {prompt: j}}
  - {name: keeping, keep: {kind: transfer_note, values: [caller, department]}}
  - {name: lost, say: {prompt: j}}
  - name: waiting
    transfer: {begin: a, next: b, sign_of_life: c, position: d, note: [caller, department]}
  - {name: talking, bridge: {ask: e, hint: f, begin: g, sign_of_life: h, thanks: i}}
  - {name: left, say: {prompt: j}}
  - {name: too_long, say: {prompt: j}}
  - {name: nobody, say: {prompt: j}}
  - {name: after, say: {prompt: j}}
  - {name: bye, say: {prompt: j}}
transitions:
  - {trigger: [staffed, busy], source: looking, dest: keeping}
  - {trigger: unstaffed, source: looking, dest: unstaffed}
  - {trigger: kept, source: keeping, dest: waiting}
  - {trigger: lost, source: keeping, dest: lost}
  - {trigger: accepted, source: waiting, dest: talking}
  - {trigger: leave, source: waiting, dest: left}
  - {trigger: too_long, source: waiting, dest: too_long}
  - {trigger: nobody, source: waiting, dest: nobody}
  - {trigger: [over, failed, abandoned, ended], source: talking, dest: after}
  - {trigger: end_asked, source: [waiting, talking], dest: bye}
"""


class Wait(Talk):
    """A caller who waits for an agent; `all` is everything the machine wanted so far."""

    def __init__(self, department: str = "", staff_number: str = "") -> None:
        self.all: list[Action] = []
        super().__init__(line(FLOW % (department, staff_number), STAFF), caller="13800138000")

    def tell(self, event: events.Event) -> Talk:
        super().tell(event)
        self.all += self.wants
        return self

    def waits(self) -> Wait:
        """Until the music plays."""
        self.tell(Surveyed(self.awaits["Survey"], True))
        self.tell(Stored(self.awaits["Keep"], "n1"))
        self.said()
        return self

    def claimed(self, agent: str = "801") -> Wait:
        self.tell(Claimed(self.awaits["JoinLine"], agent))
        return self

    def answered(self) -> Wait:
        self.tell(AgentAnswered(self.ring))
        return self

    def accepted(self) -> Wait:
        self.tell(AgentAccepted(self.ring))
        return self

    def failed(self, reason: str) -> Wait:
        self.tell(AgentFailed(self.ring, reason))
        return self

    @property
    def ring(self) -> int:
        return self.awaits["RingAgent"]

    def given_back(self) -> list[Action]:
        """What the last step gave back of people."""
        return [w for w in self.wants if isinstance(w, LeaveLine | CancelRing | Release)]


@pytest.fixture
def waiting() -> Wait:
    return Wait().waits()


# ---------------------------------------------------------------- a look at the department


def test_without_a_department_the_lines_own_is_looked_at():
    assert Wait().wants == (Survey(1, "service"),)


def test_an_agent_who_is_wanted_is_looked_for_where_they_work():
    assert Wait("", "802").wants == (Survey(1, "expert", "802"),)


@pytest.mark.parametrize(("department", "wanted"), [("kitchen", ""), ("", "899")])
def test_nobody_is_asked_about_a_department_or_an_agent_that_the_line_does_not_have(
    department, wanted
):
    one = Wait(department, wanted)
    assert one.where == "unstaffed"
    assert not any(isinstance(want, Survey) for want in one.all)


def test_where_nobody_takes_calls_nobody_waits():
    one = Wait()
    one.tell(Surveyed(one.awaits["Survey"], staffed=False))
    assert one.where == "unstaffed"


def test_numbers_too_great_to_be_said_are_told_as_the_greatest_that_can_be():
    one = Wait()
    one.tell(Surveyed(one.awaits["Survey"], True, ahead=70, minutes=200))
    assert (one.call.slot("ahead"), one.call.slot("minutes")) == ("60", "60")


# ---------------------------------------------------------------- the note, and the ring


def test_no_phone_rings_and_no_line_is_joined_before_the_note_is_stored():
    one = Wait()
    one.tell(Surveyed(one.awaits["Survey"], True))
    assert [type(want) for want in one.all] == [Survey, actions.Keep]
    one.tell(events.StoreFailed(one.awaits["Keep"]))
    assert one.where == "lost"
    assert not any(isinstance(want, JoinLine | RingAgent) for want in one.all)


def test_an_agent_who_is_claimed_is_rung_with_the_note_that_is_stored(waiting):
    waiting.claimed()
    kept = next(want for want in waiting.all if isinstance(want, actions.Keep))
    assert waiting.wants == (RingAgent(waiting.ring, "801", kept.values, "n1", 15.0),)


def test_a_second_agent_who_is_claimed_meanwhile_is_given_back_at_once(waiting):
    waiting.claimed()
    waiting.claimed("802")
    assert waiting.wants == (Release("802", "free"),)


def test_progress_keeps_the_id_and_the_last_answer_ends_it(waiting):
    waiting.tell(Placed(waiting.awaits["JoinLine"], 2, 6))
    waiting.tell(Placed(waiting.awaits["JoinLine"], 1, 3))
    assert waiting.call.slot("ahead") == "1"
    waiting.tell(Unstaffed(waiting.awaits["JoinLine"]))
    assert waiting.where == "nobody"
    waiting.tell(Placed(waiting.awaits["JoinLine"], 1, 3))
    assert waiting.wants == (actions.Ignored("late"),)


@pytest.mark.parametrize(
    "reason", ["busy", "no_answer", "unreachable", "refused", "no_key", "dropped", "failed"]
)
def test_an_agent_who_does_not_take_the_call_is_given_back_with_the_reason(waiting, reason):
    waiting.claimed().failed(reason)
    assert waiting.given_back() == [Release("801", reason)]
    assert waiting.heard[-1] == "b"
    waiting.claimed("802")
    assert isinstance(waiting.wants[-1], RingAgent)


def test_only_so_many_agents_are_tried(waiting):
    for agent in ("801", "802", "801"):
        waiting.claimed(agent).failed("refused")
        waiting.said()
    assert waiting.where == "nobody"
    assert sum(isinstance(want, LeaveLine) for want in waiting.all) == 1


def test_an_agent_of_a_department_that_closes_meanwhile_may_still_accept(waiting):
    waiting.claimed().tell(Unstaffed(waiting.awaits["JoinLine"]))
    assert waiting.where == "waiting"
    waiting.accepted()
    assert waiting.where == "talking"
    assert waiting.given_back() == []


def test_and_if_that_agent_does_not_there_is_nobody(waiting):
    waiting.claimed().tell(Unstaffed(waiting.awaits["JoinLine"]))
    waiting.failed("refused")
    assert waiting.where == "nobody"
    assert waiting.given_back() == [Release("801", "refused")]


# ---------------------------------------------------------------- signs of life


def test_a_sign_of_life_is_due_from_the_beginning_of_the_one_before(waiting):
    begin = [type(want) for want in waiting.all if isinstance(want, Say | actions.SetTimer)]
    assert begin == [Say, actions.SetTimer, actions.SetTimer]
    waiting.fires("sign_of_life")
    assert waiting.heard[-1] == "c"
    assert waiting.wants[-1] == actions.SetTimer(waiting.awaits["sign_of_life"], "sign_of_life", 30)


def test_the_position_is_told_when_it_has_changed(waiting):
    waiting.tell(Placed(waiting.awaits["JoinLine"], 2, 6)).fires("sign_of_life").said()
    waiting.fires("sign_of_life").said()
    waiting.tell(Placed(waiting.awaits["JoinLine"], 1, 3)).fires("sign_of_life").said()
    waiting.tell(Placed(waiting.awaits["JoinLine"], 0, 1)).fires("sign_of_life").said()
    assert waiting.heard == ["a", "d", "c", "d", "c"]


def test_what_is_said_of_the_next_agent_is_a_sign_of_life_too(waiting):
    before = waiting.awaits["sign_of_life"]
    waiting.claimed().failed("busy")
    assert CancelTimer(before) in waiting.wants
    assert waiting.awaits["sign_of_life"] != before


def test_a_sign_of_life_goes_on_while_the_phone_rings_and_while_the_agent_hears_the_note(waiting):
    waiting.claimed().fires("sign_of_life").said()
    waiting.answered().fires("sign_of_life").said()
    assert waiting.heard == ["a", "c", "c"]
    assert isinstance(waiting.wants[-1], Music)


def test_what_is_being_said_when_an_agent_fails_is_not_cut_off(waiting):
    waiting.claimed().fires("sign_of_life")
    waiting.failed("busy")
    assert waiting.heard[-1] == "c"
    assert waiting.wants == (Release("801", "busy"),)


def test_what_is_being_said_when_the_agent_accepts_is_said_to_its_end(waiting):
    waiting.claimed().answered().fires("sign_of_life")
    waiting.accepted()
    assert waiting.where == "waiting"
    waiting.said()
    assert waiting.where == "talking"
    assert not any(isinstance(want, Music) for want in waiting.wants)
    assert waiting.wants[-1] == actions.Bridge(waiting.foreground, waiting.ring)


def test_a_caller_who_speaks_over_a_prompt_is_heard_out(waiting):
    waiting.claimed().fires("sign_of_life").tell(Voice())
    waiting.said()
    assert isinstance(waiting.wants[-1], actions.HearOut)
    waiting.tell(HeardOut(waiting.foreground))
    assert isinstance(waiting.wants[-1], Music)


def test_an_agent_who_has_accepted_hears_the_rest_themselves(waiting):
    """An agent who waits in silence is hung up by the switch after a while."""
    waiting.claimed().fires("sign_of_life").tell(Voice())
    waiting.accepted()
    assert waiting.where == "waiting"
    waiting.said()
    assert waiting.wants[-1] == actions.Bridge(waiting.foreground, waiting.ring)


def test_and_so_does_one_who_accepts_while_the_caller_is_heard_out(waiting):
    waiting.claimed().fires("sign_of_life").tell(Voice())
    waiting.said()
    waiting.accepted()
    assert waiting.wants[-1] == actions.Bridge(waiting.foreground, waiting.ring)


def test_an_agent_who_accepts_waits_for_the_longest_of_our_prompts_at_most(lines):
    slots = {"ahead": "57", "minutes": "57"}
    for name, shipped in lines.lines.items():
        wait = shipped.flows["transfer"].states["waiting"].activity
        longest = max(lines.library.seconds(name, prompt, slots) for prompt in wait.prompts())
        assert longest + 2.0 < dialplan.BRIDGE


# ---------------------------------------------------------------- accepted


def test_an_agent_who_accepts_is_bridged_at_once_and_the_place_is_given_back(waiting):
    waiting.claimed().answered().accepted()
    assert waiting.given_back() == [LeaveLine(waiting.awaits["JoinLine"])]
    assert waiting.wants[-1] == actions.Bridge(waiting.foreground, waiting.ring)
    assert waiting.call.slot("agent") == "801"


def test_an_agent_who_accepts_and_is_gone_before_the_talk_counts_as_dropped(waiting):
    waiting.claimed().fires("sign_of_life")
    waiting.accepted().tell(AgentGone("801"))
    assert waiting.given_back() == [Release("801", "dropped")]
    waiting.said()
    assert waiting.where == "waiting"
    waiting.claimed("802").accepted()
    assert waiting.where == "talking"


def test_the_end_of_another_agents_leg_is_nothing_to_this_wait(waiting):
    waiting.claimed().fires("sign_of_life")
    waiting.accepted().tell(AgentGone("802"))
    assert waiting.given_back() == []
    assert waiting.said().where == "talking"


# ---------------------------------------------------------------- the caller goes


def test_who_leaves_contact_keeps_the_place_for_the_call_back(waiting):
    waiting.keys("9")
    assert waiting.where == "left"
    assert waiting.given_back() == [LeaveLine(waiting.awaits["JoinLine"], "n1")]


def test_other_keys_do_nothing(waiting):
    waiting.keys("0123456789*#".replace("9", ""))
    assert waiting.where == "waiting"


@pytest.mark.parametrize("phase", ["ringing", "briefing", "accepted"])
@pytest.mark.parametrize("way", ["hangs up", "leaves", "ops"])
def test_whoever_goes_lets_the_agent_go_and_gives_all_back(waiting, phase, way):
    waiting.claimed()
    if phase != "ringing":
        waiting.answered()
    if phase == "accepted":
        waiting.fires("sign_of_life")
        waiting.accepted()
    waiting.tell({"hangs up": HungUp(), "leaves": events.Key("9"), "ops": EndAsked()}[way])
    assert waiting.given_back() == [
        LeaveLine(waiting.awaits["JoinLine"], "n1" if way == "leaves" else ""),
        CancelRing(waiting.ring),
        Release("801", "free"),
    ]
    assert waiting.call.awaited == ()
    assert waiting.call.leg == 0


def test_who_hangs_up_while_nobody_is_claimed_leaves_the_line(waiting):
    waiting.tell(HungUp())
    assert waiting.given_back() == [LeaveLine(waiting.awaits["JoinLine"])]
    assert waiting.call.over


def test_an_agent_claimed_for_one_who_is_gone_is_given_back(waiting):
    waiting.keys("9").tell(Claimed(waiting.awaits["JoinLine"], "801"))
    assert waiting.wants == (Release("801", "free"),)


# ---------------------------------------------------------------- too long


def test_a_wait_has_its_limit_and_then_too_the_place_is_kept(waiting):
    waiting.fires("limit")
    assert waiting.where == "too_long"
    assert waiting.given_back() == [LeaveLine(waiting.awaits["JoinLine"], "n1")]


def test_an_agent_who_is_being_tried_at_the_limit_may_still_accept(waiting):
    waiting.claimed().fires("limit")
    assert waiting.where == "waiting"
    waiting.accepted()
    assert waiting.where == "talking"


def test_an_agent_who_fails_after_the_limit_is_the_last(waiting):
    waiting.claimed().fires("limit")
    waiting.failed("refused")
    assert waiting.where == "too_long"


def test_nobody_is_rung_any_more_when_the_wait_is_over(waiting):
    waiting.fires("sign_of_life").fires("limit").tell(Claimed(waiting.awaits["JoinLine"], "801"))
    assert waiting.wants == (Release("801", "free"),)
    assert waiting.said().where == "too_long"


# ---------------------------------------------------------------- the state of the call


def test_calls_that_differ_only_in_their_ids_are_the_same_canonically():
    early, late = Wait().waits(), Wait().waits()
    for _ in range(3):
        late.fires("sign_of_life").said()
    early.fires("sign_of_life").said()
    for one in (early, late):
        one.claimed().fires("sign_of_life")
        one.accepted()
    assert early.call != late.call
    assert canonical(early.call) == canonical(late.call)
    assert canonical(late.call).leg in canonical(late.call).awaited
    for one in (early, late):
        one.said()
    assert canonical(early.call) == canonical(late.call)
    assert canonical(late.call).foreground in canonical(late.call).awaited
