"""Each rule monitor breaks on a bad call and holds on a good one: what cannot fail is no rule."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest
from streams import say, stream

from ivr import etiquette
from ivr.actions import Bridge, HangUp, Keep, Listen, LookUp, Music, Note
from ivr.etiquette import marks
from ivr.events import (
    Answered,
    EndAsked,
    Found,
    HeardOut,
    HungUp,
    Key,
    Noise,
    Offered,
    Said,
    Stored,
    StoreFailed,
    Voice,
)


def verdicts(rule, line, *moments, slack: float = 0.0) -> list[bool]:
    """The verdicts of one rule."""
    found = [mark for mark in marks(line, stream(*moments), slack) if mark.clauses == rule.clauses]
    assert all(mark.evidence and str(mark.at) for mark in found)
    return [mark.kept for mark in found]


@pytest.fixture
def xjca(lines):
    return lines.lines["xjca"]


@pytest.fixture
def ems(lines):
    return lines.lines["ems"]


SILENT = (
    say("opening"), 3, Said(1), 5, say("silence.can_you_hear"), 8, Said(1),
    8.5, say("silence.no_sound"), 14, Said(1), HangUp(9),
)  # fmt: skip
INFODESK_NOISE = (
    say("opening"), 1, Noise(), 3, Said(1), 8, say("noise.can_you_hear"), 10, Said(1),
    15, say("noise.cannot_hear"), 19, Said(1), HangUp(9),
)  # fmt: skip
HELD = (say("hold.ask"), 1, Key("1"), say("hold.agreed"), 4, Said(1), Music(2))
PARTED = (say("closing.anything_else"), say("closing.goodbye"), 2, Said(1))


# ---------------------------------------------------------------- rings


def test_a_call_answered_in_the_second_ring_keeps_the_rule(xjca):
    assert verdicts(etiquette.Rings, xjca, Answered(1, rung=5.0)) == [True]


def test_a_call_answered_as_the_third_ring_begins_breaks_it(xjca):
    assert verdicts(etiquette.Rings, xjca, Answered(1, rung=9.9)) == [True]
    assert verdicts(etiquette.Rings, xjca, Answered(1, rung=10.0)) == [False]


def test_a_call_answered_in_the_third_ring_breaks_it(xjca):
    assert verdicts(etiquette.Rings, xjca, Answered(1, rung=10.2)) == [False]


def test_real_time_may_be_late_by_the_slack(xjca):
    assert verdicts(etiquette.Rings, xjca, Answered(1, rung=10.2), slack=0.5) == [True]


def test_the_apology_is_owed_from_the_third_ring_on(xjca):
    late = Answered(1, rung=15.0)
    assert verdicts(etiquette.Late, xjca, late, say("opening.late")) == [True]
    assert verdicts(etiquette.Late, xjca, late, say("opening")) == [False]
    assert verdicts(etiquette.Late, xjca, late, say("maintenance.line")) == [True]


def test_the_apology_is_not_for_those_who_did_not_wait(xjca):
    soon = Answered(1, rung=14.9)
    assert verdicts(etiquette.Late, xjca, soon, say("opening.late")) == [False]
    assert verdicts(etiquette.Late, xjca, soon, say("opening")) == []


# ---------------------------------------------------------------- silence


def test_a_silent_caller_who_hears_the_whole_ladder_is_treated_well(xjca):
    assert verdicts(etiquette.Silences, xjca, *SILENT) == [True]


def test_a_ladder_with_a_step_missing_is_broken(xjca):
    short = (say("opening"), 3, Said(1), 5, say("silence.no_sound"), 9, Said(1), HangUp(9))
    assert verdicts(etiquette.Silences, xjca, *short) == [False]


def test_a_ladder_with_a_step_too_many_is_broken(xjca):
    long = (*SILENT[:-1], say("silence.no_sound"), 20, Said(1), HangUp(9))
    assert verdicts(etiquette.Silences, xjca, *long) == [False]


def test_a_ladder_with_another_prompt_is_broken(xjca):
    other = [say("menu") if what == say("silence.can_you_hear") else what for what in SILENT]
    assert verdicts(etiquette.Silences, xjca, *other) == [False]


@pytest.mark.parametrize("early", [4.9, 5.1])
def test_a_pause_is_exact_to_the_millisecond_in_virtual_time(xjca, early):
    moved = [early if what == 5 else what for what in SILENT]
    assert verdicts(etiquette.Silences, xjca, *moved) == [False]


def test_a_pause_is_exact_to_a_tenth_of_a_second_in_real_time(xjca):
    near = [5.08 if what == 5 else what for what in SILENT]
    far = [5.2 if what == 5 else what for what in SILENT]
    assert verdicts(etiquette.Silences, xjca, *near, slack=0.5) == [True]
    assert verdicts(etiquette.Silences, xjca, *far, slack=0.5) == [False]


@pytest.mark.parametrize("heard", [Key("1"), Voice(), HungUp()])
def test_who_was_heard_has_no_ladder(xjca, heard):
    assert verdicts(etiquette.Silences, xjca, say("opening"), 1, heard, HangUp(9)) == []


def test_a_call_that_ops_ended_has_no_ladder(xjca):
    ended = (say("opening"), 1, EndAsked(), say("closing.goodbye"), 3, Said(1), 8, HangUp(9))
    assert verdicts(etiquette.Silences, xjca, *ended) == []


def test_noise_has_a_ladder_of_its_own(lines):
    infodesk = lines.lines["infodesk"]
    assert verdicts(etiquette.Silences, infodesk, *INFODESK_NOISE) == [True]
    assert verdicts(etiquette.Silences, infodesk, *INFODESK_NOISE[:8], HangUp(9)) == [False]


# ---------------------------------------------------------------- waiting


def test_music_after_consent_by_key_is_well(ems):
    assert verdicts(etiquette.Consent, ems, *HELD) == [True]


def test_music_without_a_question_is_not(ems):
    assert verdicts(etiquette.Consent, ems, Music(1)) == [False]


def test_music_after_the_key_for_no_is_not(ems):
    assert verdicts(etiquette.Consent, ems, say("hold.ask"), Key("2"), Music(1)) == [False]


def test_music_after_silence_is_not(ems):
    assert verdicts(etiquette.Consent, ems, say("hold.ask"), 3, Said(1), 8, Music(1)) == [False]


def test_consent_to_one_wait_is_no_consent_to_the_next(ems):
    again = (*HELD, 9, say("hold.thanks"), 10, say("query.not_found"), 12, Music(3))
    assert verdicts(etiquette.Consent, ems, *again) == [True, False]


def test_a_sign_of_life_every_thirty_seconds_keeps_the_rule(ems):
    held = (*HELD, 31, say("hold.still_here"), 32, Music(3), 61, say("hold.thanks"))
    assert verdicts(etiquette.SignsOfLife, ems, *held) == [True, True]


def test_thirty_and_a_half_seconds_without_one_break_it(ems):
    held = (*HELD, 31.5, say("hold.still_here"))
    assert verdicts(etiquette.SignsOfLife, ems, *held) == [False]
    assert verdicts(etiquette.SignsOfLife, ems, *held, slack=0.5) == [True]


def test_who_hangs_up_after_too_long_a_silence_was_wronged_too(ems):
    assert verdicts(etiquette.SignsOfLife, ems, *HELD, 40, HungUp()) == [False]


# ---------------------------------------------------------------- the end


def test_we_hang_up_after_a_goodbye(xjca):
    assert verdicts(etiquette.Goodbye, xjca, *PARTED, 7, HangUp(9)) == [True]


def test_we_never_hang_up_after_anything_else(xjca):
    assert verdicts(etiquette.Goodbye, xjca, say("menu"), 2, Said(1), HangUp(9)) == [False]


def test_after_a_goodbye_only_the_lingering_sequence_is_said(xjca):
    linger = (*PARTED, 7, say("closing.anything_else"), 14, say("closing.goodbye"), 16, HangUp(9))
    assert verdicts(etiquette.Goodbye, xjca, *linger) == [True, True, True]
    assert verdicts(etiquette.Goodbye, xjca, *PARTED, 7, say("menu")) == [False]


def test_a_caller_who_speaks_up_after_the_goodbye_is_answered(xjca):
    assert verdicts(etiquette.Goodbye, xjca, *PARTED, 4, Voice(), 6, say("menu")) == []


def test_where_the_document_hangs_up_so_do_we(xjca):
    assert verdicts(etiquette.Goodbye, xjca, say("unclear.again"), 4, HangUp(9)) == [True]
    assert verdicts(etiquette.Goodbye, xjca, *SILENT) == [True]


def test_anything_else_comes_before_the_goodbye(xjca):
    assert verdicts(etiquette.AskedBeforeGoodbye, xjca, *PARTED) == [True]
    assert verdicts(etiquette.AskedBeforeGoodbye, xjca, say("closing.goodbye")) == [False]


def test_a_wrong_number_and_a_call_that_ops_end_are_not_asked(xjca):
    for note in (Note("kind", "wrong_number"), Note("ended_by", "ops")):
        assert verdicts(etiquette.AskedBeforeGoodbye, xjca, note, say("closing.goodbye")) == []


def test_nothing_is_said_to_a_caller_who_is_gone(xjca):
    for what in (say("closing.goodbye"), Music(2), HangUp(3)):
        assert verdicts(etiquette.NothingToTheDead, xjca, HungUp(), what) == [False]
    assert verdicts(etiquette.NothingToTheDead, xjca, say("menu"), HungUp(), Note("a", "b")) == []


# ---------------------------------------------------------------- listening, keeping, confirming


def test_a_prompt_that_begins_while_the_caller_speaks_breaks_the_rule(xjca):
    assert verdicts(etiquette.HeardOutFirst, xjca, say("menu"), Voice(), say("menu")) == [False]


def test_a_prompt_that_ends_does_not_end_the_callers_voice(xjca):
    over = (say("message.intro"), 1, Voice(), 3, Said(1), say("hint.record"))
    assert verdicts(etiquette.HeardOutFirst, xjca, *over) == [False]


def test_a_prompt_after_the_caller_was_heard_out_keeps_it(xjca):
    heard = (say("menu"), Voice(), 3, HeardOut(1), say("menu.speech"))
    assert verdicts(etiquette.HeardOutFirst, xjca, *heard) == []


def test_a_caller_who_talks_on_to_an_agent_is_not_talked_over_by_us(xjca):
    joined = (say("transfer.begin"), Voice(), 3, Bridge(1, 2), 60, say("closing.anything_else"))
    assert verdicts(etiquette.HeardOutFirst, xjca, *joined) == []


@pytest.mark.parametrize(
    "promise",
    ["message.kept.complaint", "message.no_contact", "intake.thanks", "suggestion.thanks"],
)
def test_what_is_said_to_be_recorded_has_been_stored(ems, promise):
    assert verdicts(etiquette.KeptBeforePromised, ems, Stored(1), say(promise)) == [True]
    assert verdicts(etiquette.KeptBeforePromised, ems, say(promise)) == [False]


def test_what_was_stored_before_is_not_stored_now(ems):
    kept = say("message.kept.message")
    assert verdicts(etiquette.KeptBeforePromised, ems, Stored(1), kept, kept) == [True, False]


def test_a_number_is_looked_up_after_it_was_confirmed(ems):
    read, look = say("query.read_back"), LookUp(3, "item")
    assert verdicts(etiquette.ConfirmedFirst, ems, read, Key("1"), look) == [True]
    assert verdicts(etiquette.ConfirmedFirst, ems, read, Key("2"), look) == [False]
    assert verdicts(etiquette.ConfirmedFirst, ems, read, Listen(2, 5.0), look) == [False]


def test_a_second_number_is_confirmed_anew(ems):
    look = LookUp(3, "item")
    twice = (say("query.read_back"), Key("1"), look, 9, Found(3), look)
    assert verdicts(etiquette.ConfirmedFirst, ems, *twice) == [True, False]


def test_who_is_calling_is_asked_of_those_who_are_not_known(lines):
    asked = say("intake.consent")
    line = lines.lines["infodesk"]
    assert verdicts(etiquette.AskedOnce, line, Offered("1007"), asked) == [True]
    assert verdicts(etiquette.AskedOnce, line, Offered("1007", known=True), asked) == [False]
    by_name = Offered("1007", addressee="one")
    assert verdicts(etiquette.AskedOnce, line, by_name, asked) == [False]


@pytest.mark.parametrize("written", [Stored(7), StoreFailed(7)])
def test_who_is_calling_is_written_down_before_anything_is_answered(lines, written):
    line, answer = lines.lines["infodesk"], say("answer.printer")
    agreed = (Offered("1007"), say("intake.consent"), say("intake.name"), Keep(7, "caller"))
    assert verdicts(etiquette.AskedOnce, line, *agreed, written, answer) == [True]
    assert verdicts(etiquette.AskedOnce, line, *agreed, answer) == [True, False]
    assert verdicts(etiquette.AskedOnce, line, *agreed[:2], answer) == [True]


# ---------------------------------------------------------------- how long it will take


def test_the_wait_that_is_told_is_the_one_that_is_expected(lines):
    lakala = lines.lines["lakala"]
    expected = str(lakala.lookups["item"].minutes)
    for told, kept in ((expected, [True]), ("7", [False])):
        moments = (say("hold.ask", minutes=told), 3, LookUp(4, "item", ()))
        assert verdicts(etiquette.Likely, lakala, *moments) == kept
    assert verdicts(etiquette.Likely, lakala, say("hold.ask"), LookUp(4, "item", ())) == []


# ---------------------------------------------------------------- all of them


APART = ("ivr.manners_people", "ivr.manners_reports", "ivr.manners_talk")
"""What `test_manners_people` and `test_reports` try."""


def test_every_monitor_is_tried_here():
    tried = {
        etiquette.Rings, etiquette.Late, etiquette.Silences, etiquette.Consent,
        etiquette.SignsOfLife, etiquette.Goodbye, etiquette.HeardOutFirst,
        etiquette.KeptBeforePromised, etiquette.AskedBeforeGoodbye, etiquette.ConfirmedFirst,
        etiquette.NothingToTheDead, etiquette.AskedOnce, etiquette.Likely,
    }  # fmt: skip
    others = {make for make in etiquette.MONITORS if make.__module__ in APART}
    assert set(etiquette.MONITORS) - others == tried


def test_marks_come_in_the_order_of_time_and_say_why(xjca):
    found = list(marks(xjca, stream(*SILENT)))
    assert [mark.at for mark in found] == sorted(mark.at for mark in found)
    told = str(next(mark for mark in found if "XJCA-6.1c" in mark.clauses))
    assert "XJCA-6.1c" in told
    assert "kept at 14.00 s" in told
    assert "pauses 2.00, 0.50, 0.00 s" in told


@pytest.mark.parametrize("rule", [*etiquette.MONITORS, *etiquette.LEG_MONITORS])
def test_a_rule_is_told_of_every_kind_that_it_looks_for(rule):
    """What it `watches` stands apart from what it does with it; both are read here."""
    seeing = ast.parse(textwrap.dedent(inspect.getsource(rule.see)))
    looks_for = {node.cls.id for node in ast.walk(seeing) if isinstance(node, ast.MatchClass)}
    for node in ast.walk(seeing):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                looks_for |= {name.id for name in ast.walk(kinds) if isinstance(name, ast.Name)}
    assert {kind.__name__ for kind in rule.watches} == looks_for
