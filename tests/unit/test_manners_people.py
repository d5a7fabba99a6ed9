"""Each rule of what happens with people breaks on a bad call and holds on a good one."""

from __future__ import annotations

from pathlib import Path

import pytest
from streams import say, stream

from ivr import etiquette, manners_people, manners_talk
from ivr.actions import (
    Bridge,
    CancelRing,
    HandOver,
    HangUp,
    JoinLine,
    Keep,
    LeaveLine,
    Music,
    Note,
    Record,
    Release,
    Resume,
    RingAgent,
    Survey,
)
from ivr.etiquette import marks
from ivr.events import (
    AgentAccepted,
    AgentAnswered,
    AgentFailed,
    AgentGone,
    BridgeOver,
    Claimed,
    EndAsked,
    FeatureAsked,
    HungUp,
    Key,
    Reached,
    Said,
    Stored,
    StoreFailed,
    Summoned,
    Surveyed,
    TimerFired,
)

VALUES = (("kind", "complaint"), ("recording", "r1"))


def verdicts(rule, line, *moments) -> list[bool]:
    """The verdicts of one rule, each with its evidence."""
    monitor = rule(line)
    for at, what in stream(*moments):
        monitor.see(at, what)
    monitor.finish(0.0)
    assert all(mark.evidence and mark.clauses for mark in monitor.marks)
    return [mark.kept for mark in monitor.marks]


@pytest.fixture
def xjca(lines):
    return lines.lines["xjca"]


@pytest.fixture
def ems(lines):
    return lines.lines["ems"]


ASKED = (say("transfer.ask.question"), 1, say("hint.agree"), Key("1"))
JOIN = JoinLine(5, "service")
RING = RingAgent(6, "801", VALUES, "note-1", 20.0)
NOTED = (Keep(4, "transfer_note", VALUES), Stored(4, "note-1"))
TALKED = BridgeOver(7, "agent", 60.0)


# ---------------------------------------------------------------- before the transfer


def test_who_agreed_by_key_is_transferred(xjca):
    assert verdicts(manners_people.TransferConsent, xjca, *ASKED, JOIN) == [True]


@pytest.mark.parametrize("answer", [Key("2"), Said(1), TimerFired(2)])
def test_who_did_not_agree_is_not(xjca, answer):
    asked = say("transfer.ask.question")
    assert verdicts(manners_people.TransferConsent, xjca, asked, answer, JOIN) == [False]


def test_who_asked_for_a_person_needs_no_reason_but_is_told(xjca):
    assert verdicts(manners_people.TransferConsent, xjca, say("transfer.direct"), JOIN) == [True]
    assert verdicts(manners_people.TransferConsent, xjca, Key("0"), JOIN) == [False]


def test_who_agreed_goes_back_into_the_line_without_being_asked_again(xjca):
    again = (*ASKED, JOIN, LeaveLine(5), say("transfer.again"), JoinLine(9, "service"))
    assert verdicts(manners_people.TransferConsent, xjca, *again) == [True, True]


def test_consent_to_one_transfer_is_no_consent_to_the_next(xjca):
    again = (*ASKED, JOIN, say("closing.anything_else"), Key("1"), JoinLine(9, "service"))
    assert verdicts(manners_people.TransferConsent, xjca, *again) == [True, False]


def test_the_likely_wait_that_is_told_is_the_one_in_the_line(xjca):
    busy = Surveyed(3, staffed=True, ahead=2, minutes=6)
    for said, kept in ((say("transfer.busy", minutes="6"), True),
                       (say("transfer.busy", minutes="2"), False),
                       (say("transfer.direct"), False)):  # fmt: skip
        assert verdicts(manners_people.Told, xjca, busy, said, JOIN) == [kept]


def test_where_somebody_is_free_no_wait_is_told(xjca):
    free = Surveyed(3, staffed=True)
    assert verdicts(manners_people.Told, xjca, free, say("transfer.direct"), JOIN) == []


# ---------------------------------------------------------------- the agent


def test_the_note_is_stored_before_the_phone_rings(xjca):
    assert verdicts(manners_people.NoteFirst, xjca, *NOTED, RING) == [True]
    assert verdicts(manners_people.NoteFirst, xjca, RING, *NOTED) == [False]
    assert verdicts(manners_people.NoteFirst, xjca, NOTED[0], StoreFailed(4), RING) == [False]


def test_the_note_that_is_heard_is_the_note_that_was_stored(xjca):
    other = RingAgent(6, "801", (("kind", "query"),), "note-1", 20.0)
    assert verdicts(manners_people.NoteFirst, xjca, *NOTED, other) == [False]


def test_nobody_is_bridged_to_an_agent_who_has_not_accepted(xjca):
    rule = manners_people.AcceptedFirst
    assert verdicts(rule, xjca, RING, AgentAnswered(6), AgentAccepted(6), Bridge(7, 6)) == [True]
    assert verdicts(rule, xjca, RING, AgentAnswered(6), Bridge(7, 6)) == [False]


@pytest.mark.parametrize("gone", [AgentGone("801"), AgentFailed(6, "dropped"), CancelRing(6)])
def test_nobody_is_bridged_to_an_agent_who_is_gone_again(xjca, gone):
    moments = (RING, AgentAccepted(6), gone, Bridge(7, 6))
    assert verdicts(manners_people.AcceptedFirst, xjca, *moments) == [False]


def test_the_agent_of_a_call_back_has_accepted_before_it_begins(xjca):
    rule, waits = manners_people.AcceptedFirst, Reached(6, (("agent", "801"),))
    assert verdicts(rule, xjca, waits, Bridge(7, 6)) == [True]
    assert verdicts(rule, xjca, waits, AgentGone("801"), Bridge(7, 6)) == [False]


def test_a_sign_of_life_is_due_while_a_phone_rings_and_while_the_note_is_heard(xjca):
    begun = (say("transfer.begin"), JOIN, 3, Said(1), Music(2), 5, Claimed(5, "801"), RING)
    heard = (20, AgentAnswered(6), 30, say("transfer.still_here"), 32, Said(1), Music(2))
    late = (25, AgentAnswered(6), 36, AgentAccepted(6), LeaveLine(5), Bridge(7, 6))
    assert verdicts(etiquette.SignsOfLife, xjca, *begun, *heard, 40, Bridge(7, 6)) == [True, True]
    assert verdicts(etiquette.SignsOfLife, xjca, *begun, *late) == [False]


def test_a_sign_of_life_is_due_on_an_agents_hold(xjca):
    held = (FeatureAsked("hold"), say("bridged.agreed"), 2, Said(1), Music(2))
    assert verdicts(etiquette.SignsOfLife, xjca, *held, 29, Resume(3)) == [True]
    assert verdicts(etiquette.SignsOfLife, xjca, *held, 33, Resume(3)) == [False]


def test_a_conversation_is_no_wait(xjca):
    talk = (say("transfer.begin"), JOIN, 2, Music(1), 9, Bridge(7, 6), 300, TALKED)
    after = say("closing.anything_else")
    assert verdicts(etiquette.SignsOfLife, xjca, *talk, after) == [True]


# ---------------------------------------------------------------- the end


SERVED = {
    "talked": (TALKED,),
    "left contact": (Keep(8, "person"), Stored(8, "1")),
    "asked for a message": (Record(8, "message", 120.0),),
    "asked for a number": (say("contact.ask"),),
    "told that nothing can be kept": (StoreFailed(4),),
    "ended by ops": (EndAsked(),),
}


@pytest.mark.parametrize("served", SERVED)
def test_who_wanted_a_person_is_not_parted_with_before_something_came_of_it(xjca, served):
    done = (Survey(3, "service"), *SERVED[served], say("closing.goodbye"), HangUp(9))
    assert verdicts(manners_people.NobodyLost, xjca, *done) == [True]


def test_who_wanted_a_person_and_is_sent_away_is_lost(xjca):
    lost = (Survey(3, "service"), JOIN, say("transfer.nobody"), say("closing.goodbye"), HangUp(9))
    assert verdicts(manners_people.NobodyLost, xjca, *lost) == [False]
    noted = (Survey(3, "service"), *NOTED, JOIN, say("closing.goodbye"), HangUp(9))
    assert verdicts(manners_people.NobodyLost, xjca, *noted) == [False]


def test_who_hangs_up_was_not_lost_by_us(xjca):
    assert verdicts(manners_people.NobodyLost, xjca, Survey(3, "service"), JOIN, HungUp()) == []


def test_anything_else_is_asked_after_a_conversation_too(xjca):
    rule = manners_people.AfterTheTalk
    asked, bye = say("closing.anything_else"), say("closing.goodbye")
    assert verdicts(rule, xjca, asked, TALKED, asked, bye) == [True]
    assert verdicts(rule, xjca, asked, TALKED, bye) == [False]
    assert verdicts(rule, xjca, TALKED, HangUp(9)) == [False]
    assert verdicts(rule, xjca, TALKED, HungUp()) == []
    assert verdicts(rule, xjca, Reached(6), TALKED, say("callback.goodbye"), HangUp(9)) == [False]
    more = say("closing.anything_else")
    assert verdicts(rule, xjca, Reached(6), TALKED, more, say("callback.goodbye")) == [True]
    assert verdicts(rule, xjca, Reached(6), TALKED, say("callback.sorry"), HangUp(9)) == []
    assert verdicts(rule, xjca, EndAsked(), bye, TALKED, HangUp(9)) == []  # ops ended it


def test_a_rating_is_asked_for_after_a_conversation_where_the_line_wants_one(ems):
    rule = manners_people.AfterTheTalk
    asked, rate, bye = (say(f"closing.{name}") for name in ("anything_else", "rate", "goodbye"))
    assert verdicts(rule, ems, TALKED, asked, Key("2"), rate, Key("5"), bye) == [True]
    assert verdicts(rule, ems, TALKED, asked, Key("2"), bye) == [False]
    assert verdicts(rule, ems, TALKED, asked, bye) == [True]


# ---------------------------------------------------------------- on hold, and warned


HELD = (Bridge(7, 6), FeatureAsked("hold"), say("bridged.ask"), 3, Key("1"), Music(8))


def test_an_agents_hold_needs_consent_and_ends_with_an_apology(xjca):
    rule = manners_talk.HoldInTheTalk
    back = (20, FeatureAsked("back"), say("hold.thanks"), 22, Resume(9))
    assert verdicts(rule, xjca, *HELD, *back) == [True, True]
    assert verdicts(rule, xjca, *HELD, 20, FeatureAsked("back"), Resume(9)) == [True, False]
    unasked = (Bridge(7, 6), FeatureAsked("hold"), say("bridged.ask"), 9, Music(8))
    assert verdicts(rule, xjca, *unasked) == [False]


def test_a_hold_for_a_superior_is_asked_for_in_its_own_words(lines):
    rule, lakala = manners_talk.HoldInTheTalk, lines.lines["lakala"]
    name, own = next((n, one.asks) for n, one in lakala.staff.features.items() if one.asks)
    for said, code, kept in (
        (own, name, True),
        ("bridged.ask", name, False),
        (own, "hold", False),
    ):
        held = (Bridge(7, 6), FeatureAsked(code), say(said), 3, Key("1"), Music(8))
        assert verdicts(rule, lakala, *held) == [kept]
        late = lakala.staff.transfer.hold_limit + 40
        assert verdicts(manners_talk.HoldLimit, lakala, *held, late, Resume(9)) == [False]
    assert verdicts(etiquette.Consent, lakala, say(own), Key("1"), Music(8)) == [True]
    assert verdicts(etiquette.Consent, lakala, say(own), Key("2"), Music(8)) == [False]


def test_who_does_not_want_to_wait_hears_no_apology(xjca):
    refused = (Bridge(7, 6), FeatureAsked("hold"), say("bridged.ask"), Key("2"), Resume(9))
    assert verdicts(manners_talk.HoldInTheTalk, xjca, *refused) == []


@pytest.mark.parametrize("gone", [AgentGone("801"), CancelRing(6)])
def test_there_is_no_apology_when_there_is_no_agent_to_come_back(xjca, gone):
    assert verdicts(manners_talk.HoldInTheTalk, xjca, *HELD, 9, gone, Resume(9)) == [True]


def test_nobody_is_left_on_hold(xjca):
    limit = xjca.staff.transfer.hold_limit
    soon = (*HELD, limit, CancelRing(6), Release("801", "dropped"), Resume(9))
    late = (*HELD, limit + 40, say("hold.thanks"), Resume(9))
    assert verdicts(manners_talk.HoldLimit, xjca, *soon) == [True]
    assert verdicts(manners_talk.HoldLimit, xjca, *late) == [False]


def test_a_harassing_call_ends_after_every_warning_and_not_before(xjca):
    feature = next(one for one in xjca.staff.features.values() if one.ends and len(one.says) == 2)
    asked, (first, last) = FeatureAsked(feature.name), feature.says
    warned = (asked, Note(feature.name, "warned"), say(first), 3, Resume(8))
    ended = (asked, Note(feature.name, "ended"), say(last), 9, HangUp(9))
    rule = manners_talk.Warned
    assert verdicts(rule, xjca, *warned, *ended) == [True, True]
    assert verdicts(rule, xjca, *ended) == [False]
    assert verdicts(rule, xjca, asked, Note(feature.name, "warned"), say(first), HangUp(9)) == [
        False
    ]
    assert verdicts(rule, xjca, *warned, *(asked, say(last), 9, HangUp(9))) == [True, False]


def test_another_sentence_of_the_agents_ends_nothing_and_is_no_warning(xjca):
    hold = (FeatureAsked("hold"), say("bridged.ask"), Resume(8))
    assert verdicts(manners_talk.Warned, xjca, *hold) == []


def test_we_hang_up_after_the_last_word_to_who_was_warned(xjca):
    feature = next(one for one in xjca.staff.features.values() if one.ends)
    assert verdicts(etiquette.Goodbye, xjca, say(feature.says[-1]), HangUp(9)) == [True]


def test_a_conversation_that_is_too_long_is_told(xjca):
    most = xjca.staff.transfer.long_talk
    for talked, kept in ((most, [True]), (most + 1, [False]), (0.0, [])):
        assert verdicts(manners_talk.Brief, xjca, BridgeOver(7, "agent", talked)) == kept


# ---------------------------------------------------------------- the agent's leg


def test_nothing_of_the_briefing_reaches_the_caller(xjca):
    assert verdicts(manners_people.BriefingApart, xjca, say("briefing.caller")) == [False]
    assert verdicts(manners_people.BriefingApart, xjca, say("transfer.begin")) == []


def test_an_agent_takes_a_call_with_1_after_hearing_what_it_is_about(xjca):
    rule, told = manners_people.Briefed, say("briefing.kind.query")
    assert verdicts(rule, xjca, Summoned(), told, 2, Key("1"), HandOver(2)) == [True]
    assert verdicts(rule, xjca, Summoned(), told, 2, HandOver(2)) == [False]
    assert verdicts(rule, xjca, Summoned(), told, Key("2"), HandOver(2)) == [False]
    assert verdicts(rule, xjca, Summoned(), Key("1"), HandOver(2)) == [False]


def test_an_agents_leg_is_held_against_its_own_rules_alone(xjca):
    leg = (Summoned(), say("briefing.kind.query"), 2, Key("1"), HandOver(2))
    assert [mark.clauses for mark in marks(xjca, stream(*leg))] == [("XJCA-5d2", "LKL-2.2")]
    refused = (Summoned(), say("briefing.kind.query"), say("briefing.refused"), HangUp(3))
    assert list(marks(xjca, stream(*refused))) == []


def test_nothing_is_done_for_a_caller_who_is_gone(xjca):
    for what in (Bridge(7, 6), JOIN, RING, Resume(8)):
        assert verdicts(etiquette.NothingToTheDead, xjca, HungUp(), what) == [False]
    for what in (CancelRing(6), Release("801", "free"), LeaveLine(5)):
        assert verdicts(etiquette.NothingToTheDead, xjca, HungUp(), what) == []


def test_every_monitor_is_tried_here():
    mine = [make for make in (*etiquette.MONITORS, *etiquette.LEG_MONITORS)
            if make.__module__ in ("ivr.manners_people", "ivr.manners_talk")]  # fmt: skip
    source = Path(__file__).read_text(encoding="utf-8")
    names = [f"{make.__module__.removeprefix('ivr.')}.{make.__name__}" for make in mine]
    assert names
    assert [name for name in names if name not in source] == []
