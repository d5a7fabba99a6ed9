"""The people of a simulated call do what the scenario says, and no more than people can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ivr import rehearsal
from ivr.actions import Release, RingAgent, Say
from ivr.events import AgentFailed, AgentGone, BridgeOver, Claimed, FeatureAsked, Placed, Unstaffed
from ivr.scenario import HangUpAct, Press, Ring, Scenario, Step, World
from ivr.simulate import Outcome

ASKS = Step("opening", over=True, wait=1.2, act=Press("0"))
AGREES = Step("hint.agree", over=False, wait=0.3, act=Press("1"))
GOES = Step("closing.anything_else", over=True, wait=1.2, act=HangUpAct())


def scene(agents: dict[str, tuple[Ring, ...]], *steps: Step, ahead: int = 0) -> Scenario:
    return Scenario(
        "made-here",
        Path("made-here.yaml"),
        "A caller asks for a person",
        "lakala",
        world=World(caller="13800138000", agents=tuple(agents.items()), ahead=ahead),
        caller=(ASKS, *steps, GOES),
    )


@pytest.fixture
def play(lines):
    return lambda *given, **more: rehearsal.rehearse(scene(*given, **more), lines)


def happened(outcome: Outcome, kind: type) -> list:
    return [moment for moment in outcome.moments if isinstance(moment.what, kind)]


def rung(outcome: Outcome) -> list[str]:
    return [moment.what.agent for moment in happened(outcome, RingAgent)]


def failed(outcome: Outcome) -> list[tuple[float, str]]:
    begun = [moment.at for moment in happened(outcome, RingAgent)]
    return [
        (round(moment.at - at, 3), moment.what.reason)
        for at, moment in zip(begun, happened(outcome, AgentFailed), strict=False)
    ]


TAKES = Ring(talks=20.0)


def test_the_agent_who_has_been_idle_longest_is_claimed_first(play):
    outcome = play({"822": (Ring("busy"), TAKES), "821": (Ring("refuse"),)})
    assert rung(outcome)[:3] == ["821", "822", "821"]


@pytest.mark.parametrize(
    ("ring", "told"),
    [
        (Ring("busy", after=1.0), (1.0, "busy")),
        (Ring("decline", after=1.0), (1.0, "refused")),
        (Ring("drop", after=2.0), (2.0, "dropped")),
        (Ring("drop_in_note", after=2.0, hears=4.0), (6.0, "dropped")),
        (Ring("no_answer"), (20.0, "no_answer")),
        (Ring("accept", after=25.0), (20.0, "no_answer")),
        (Ring("unreachable"), (0.0, "unreachable")),
    ],
)
def test_each_way_not_to_take_a_call_has_its_reason_and_its_time(play, ring, told):
    assert failed(play({"821": (ring,), "822": (TAKES,)}))[0] == told


def test_who_is_rung_in_vain_is_rung_again_after_ten_seconds_if_nobody_else_is_there(play):
    outcome = play({"821": (Ring("busy", after=1.0), TAKES)})
    claimed = [moment.at for moment in happened(outcome, Claimed)]
    assert claimed[1] - claimed[0] == pytest.approx(11.0)


def test_who_misses_two_calls_in_a_row_is_rung_no_more(play):
    outcome = play({"821": (Ring("drop"),)})
    assert rung(outcome) == ["821", "821"]
    assert len(happened(outcome, Unstaffed)) == 1


def test_whoever_refuses_in_between_is_there_and_has_not_missed_two_in_a_row(play):
    rings = (Ring("drop"), Ring("refuse"), Ring("drop"), Ring("refuse"), TAKES)
    outcome = play({"821": rings})
    assert rung(outcome) == ["821"] * 5
    assert outcome.record["result"] == "transferred"


def test_who_cannot_be_reached_is_rung_no_more(play):
    outcome = play({"821": (Ring("unreachable"),), "822": (TAKES,)})
    assert rung(outcome) == ["821", "822"]


def test_those_ahead_are_served_one_after_another(play):
    outcome = play({"821": (TAKES,)}, AGREES, ahead=2)
    placed = [(moment.at, moment.what.ahead) for moment in happened(outcome, Placed)]
    assert [ahead for _, ahead in placed] == [2, 1, 0]
    assert [round(at - placed[0][0]) for at, _ in placed] == [0, 20, 40]
    assert happened(outcome, Claimed)[0].at == placed[-1][0]


def test_the_agent_hangs_up_in_the_conversation_when_the_file_says(play):
    outcome = play({"821": (TAKES,)})
    (gone,), (over,) = happened(outcome, AgentGone), happened(outcome, BridgeOver)
    assert gone.at == over.at
    assert over.what.talked == pytest.approx(20.0)


def test_an_agent_who_hangs_up_while_we_have_the_callers_ear_is_gone_first_and_over_later(play):
    outcome = play({"821": (Ring(talks=7.0, keys=((5.0, "*51"),)),)})
    (gone,), (over,) = happened(outcome, AgentGone), happened(outcome, BridgeOver)
    assert over.at - gone.at > 1.0


def test_a_code_pressed_while_the_caller_listens_to_us_gives_us_nothing_more(play):
    outcome = play({"821": (Ring(talks=40.0, keys=((5.0, "*51"), (6.0, "*31"))),)})
    assert [moment.what.feature for moment in happened(outcome, FeatureAsked)] == ["off_topic"]


def test_a_code_that_the_line_does_not_have_is_nothing(play):
    outcome = play({"821": (Ring(talks=40.0, keys=((5.0, "*99"),)),)})
    assert happened(outcome, FeatureAsked) == []


def test_what_the_agents_hear_is_told_leg_by_leg(play):
    outcome = play({"821": (Ring("refuse"),), "822": (TAKES,)})
    assert len(outcome.legs) == 2
    assert all(any(isinstance(m.what, Say) for m in leg) for leg in outcome.legs)
    assert not {"briefing.kind.person"} & set(outcome.hears)


def test_whoever_was_claimed_is_given_back_once(play):
    outcome = play({"821": (Ring("refuse"), TAKES), "822": (Ring("drop"), TAKES)})
    claims = [moment.what.agent for moment in happened(outcome, Claimed)]
    releases = [moment.what.agent for moment in happened(outcome, Release)]
    assert claims == releases


def test_people_of_other_phones_are_not_at_work(lines):
    one = scene({"899": (TAKES,)})
    outcome = rehearsal.rehearse(replace(one, caller=one.caller[:1]), lines)
    assert "person.none" in outcome.hears
