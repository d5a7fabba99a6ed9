"""What a state does: how callers who are silent, speak, mistype or go are each treated."""

from __future__ import annotations

import pytest
from talk import Talk, line, one

from ivr import actions, events
from ivr.actions import HearOut, Ignored, Listen, LookUp, Music, Record, Say
from ivr.events import Found, HungUp, Key, LookupFailed, NotFound, Recorded, Unplayable, Voice

ASK = (
    'ask: {prompt: a, hint: h, no_input: b, no_match: c, keys: {"1": yes_please}, '
    "silence_prompts: 2, pause: 5 s}"
)
ASKED = ("yes_please", "silence", "spoke", "no_match")
COLLECT = "collect: {prompt: a, into: number, digits: 3-5, hint: h, no_match: c, pause: 8 s}"
COLLECTED = ("collected", "silence", "spoke", "no_match")
RECORD = "record: {prompt: a, hint: h, what: message, into: kept, limit: 60 s, quiet: 4 s}"
RECORDED = ("recorded", "nothing", "unclear")
LADDER = "ladder: {steps: [{say: a, pause: 2 s}, {say: b, pause: 0.5 s}, {say: c}]}"
LADDERED = ("key", "voice", "voice_over", "silent")
WAIT = 'wait: {lookup: item, begin: a, sign_of_life: b, every: 30 s, leave_key: "9"}'
WAITED = ("found", "missing", "failed", "too_long", "leave")
LOOKUPS = "lookups: {item: {expected: 20 s, limit: 120 s}}\n"


# ---------------------------------------------------------------- a question


@pytest.fixture
def asked() -> Talk:
    return Talk(one(ASK, *ASKED))


def test_a_question_is_followed_by_its_hint_and_a_pause(asked):
    assert asked.heard == ["a"]
    asked.said()
    assert asked.heard == ["a", "h"]
    asked.said()
    assert asked.wants == (Listen(asked.foreground, 5.0),)


def test_silence_prompts_is_how_often_a_silent_caller_hears_the_question(asked):
    asked.said().said().silence()
    assert asked.heard == ["a", "h", "b"]
    asked.said().said().said()
    assert asked.heard == ["a", "h", "b", "a", "h"]
    assert asked.silence().where == "silence"
    assert asked.heard.count("a") == 2


@pytest.mark.parametrize("often", [1, 3])
def test_as_many_silence_prompts_as_the_file_says(often):
    talk = Talk(one(ASK.replace("silence_prompts: 2", f"silence_prompts: {often}"), *ASKED))
    while talk.where == "doing":
        talk.said() if not isinstance(talk.wants[-1], Listen) else talk.silence()
    assert talk.heard.count("a") == often


def test_a_wrong_key_is_told_and_the_question_asked_again(asked):
    asked.keys("7")
    assert asked.heard == ["a", "c"]
    assert asked.said().heard == ["a", "c", "a"]


def test_three_wrong_keys_are_no_match(asked):
    asked.keys("77")
    assert asked.where == "doing"
    assert asked.keys("7").where == "no_match"


def test_a_spoken_answer_is_heard_out_and_answered_with_the_key_hint(asked):
    asked.tell(Voice())
    assert asked.wants == (HearOut(asked.foreground),)
    asked.tell(events.HeardOut(asked.foreground))
    assert asked.heard == ["a", "h"]


def test_a_caller_who_speaks_twice_is_offered_something_else(asked):
    assert asked.speaks().speaks().where == "spoke"


def test_silence_wrong_keys_and_speech_are_counted_apart(asked):
    """One silence, two wrong keys and one spoken answer: none of them is too many."""
    asked.said().said().silence()  # the first silence
    asked.said().keys("7").said().keys("7").said()  # two wrong keys
    asked.speaks()  # one spoken answer
    assert asked.where == "doing"
    assert asked.said().silence().where == "silence"


def test_a_breath_while_speaking_is_one_spoken_answer(asked):
    asked.tell(Voice()).tell(Voice()).tell(events.HeardOut(asked.foreground))
    assert asked.where == "doing"


def test_the_star_repeats_and_counts_for_nothing(asked):
    asked.keys("****")
    assert asked.where == "doing"
    assert asked.heard == ["a"] * 5


def test_zero_is_a_person_where_somebody_takes_it():
    with_person = Talk(one(ASK, *ASKED, "person"))
    assert with_person.keys("0").where == "person"


def test_zero_is_a_wrong_key_where_nobody_takes_it(asked):
    assert asked.keys("0").heard == ["a", "c"]


def test_a_key_over_the_prompt_is_the_answer(asked):
    assert asked.keys("1").where == "yes_please"


def test_a_prompt_that_cannot_be_played_does_not_stop_the_call(asked):
    asked.tell(Unplayable(asked.foreground))
    assert asked.heard == ["a", "h"]


def test_where_voice_is_off_a_voice_changes_nothing():
    talk = Talk(one(ASK.replace("pause: 5 s", "pause: 5 s, voice: no"), *ASKED))
    before = talk.call
    assert talk.tell(Voice()).call == before
    assert talk.wants == (Ignored("unhandled"),)


# ---------------------------------------------------------------- a number


@pytest.fixture
def collecting() -> Talk:
    return Talk(one(COLLECT, *COLLECTED))


def test_a_number_is_ended_by_the_hash_key(collecting):
    collecting.keys("123#")
    assert collecting.where == "collected"
    assert collecting.call.slot("number") == "123"


def test_a_number_as_long_as_it_can_be_needs_no_hash_key(collecting):
    assert collecting.keys("12345").call.slot("number") == "12345"


def test_a_pause_ends_a_number(collecting):
    collecting.keys("1234")
    assert isinstance(collecting.wants[-1], Listen)
    assert collecting.silence().call.slot("number") == "1234"


def test_a_number_that_is_too_short_is_told_and_asked_for_again(collecting):
    assert collecting.keys("12#").heard == ["a", "c"]
    assert collecting.said().keys("123#").call.slot("number") == "123"


def test_a_hash_key_alone_is_a_wrong_number_unless_the_file_says_otherwise(collecting):
    assert collecting.keys("#").where == "doing"
    empty = Talk(one(COLLECT.replace("pause: 8 s", "empty: unknown"), *COLLECTED, "unknown"))
    assert empty.keys("#").where == "unknown"


def test_the_star_starts_the_number_again(collecting):
    assert collecting.keys("99*123#").call.slot("number") == "123"


def test_the_first_digit_may_be_pressed_over_the_prompt(collecting):
    collecting.said().keys("1").keys("23#")
    assert collecting.call.slot("number") == "123"


def test_a_silent_caller_hears_the_question_for_a_number_twice(collecting):
    collecting.said().said().silence().said().said().silence()
    assert collecting.where == "silence"
    assert collecting.heard.count("a") == 2


# ---------------------------------------------------------------- a ladder


@pytest.fixture
def ladder() -> Talk:
    return Talk(one(LADDER, *LADDERED))


def test_a_ladder_says_and_pauses_and_falls_silent(ladder):
    assert ladder.said().wants == (Listen(ladder.foreground, 2.0),)
    ladder.silence()
    assert ladder.said().wants == (Listen(ladder.foreground, 0.5),)
    ladder.silence()
    assert ladder.said().where == "silent"
    assert ladder.heard[:3] == ["a", "b", "c"]


@pytest.mark.parametrize("climbed", range(5))
def test_a_key_ends_a_ladder_at_every_step(ladder, climbed):
    for _ in range(climbed):
        ladder.said() if isinstance(ladder.wants[-1], Say) else ladder.silence()
    assert ladder.tell(Key("4")).where == "key"


@pytest.mark.parametrize("climbed", range(1, 5))
def test_a_voice_ends_a_ladder_at_every_step_after_the_caller_was_heard_out(ladder, climbed):
    for _ in range(climbed):
        ladder.said() if isinstance(ladder.wants[-1], Say) else ladder.silence()
    assert ladder.tell(Voice()).wants == (HearOut(ladder.foreground),)
    assert ladder.tell(events.HeardOut(ladder.foreground)).where == "voice"


def test_a_voice_over_the_first_prompt_is_a_greeting(ladder):
    assert ladder.speaks().where == "voice_over"


def test_a_breath_does_not_unmake_the_greeting(ladder):
    ladder.tell(Voice()).tell(Voice())
    assert ladder.tell(events.HeardOut(ladder.foreground)).where == "voice_over"


# ---------------------------------------------------------------- saying


def two(first: str = "say: {prompt: a}") -> Talk:
    """One thing, then another sentence, then a question."""
    return Talk(
        line(
            "flow: call\ninitial: first\nstates:\n"
            f"  - {{name: first, {first}}}\n"
            "  - {name: second, say: {prompt: b}}\n"
            '  - {name: asking, ask: {prompt: d, keys: {"1": yes_please}}}\n'
            "  - {name: bye, end: {}}\n"
            "transitions:\n"
            "  - {trigger: said, source: first, dest: second}\n"
            "  - {trigger: said, source: second, dest: asking}\n"
            "  - {trigger: [yes_please, silence, spoke, no_match], source: asking, dest: bye}\n"
        )
    )


def test_a_key_over_a_sentence_skips_it_and_answers_the_question_that_follows():
    talk = two().said()
    assert talk.where == "second"
    assert talk.keys("1").call.over


def test_a_key_never_answers_a_question_that_another_sentence_parts_it_from():
    talk = two().keys("1")
    assert talk.heard == ["a", "b"]
    assert talk.said().where == "asking"


def test_a_key_over_a_sentence_that_answers_nothing_skips_it_and_no_more():
    talk = two("say: {prompt: a, answers: no}").keys("1")
    assert talk.where == "second"
    assert talk.call.pending == ""


def test_a_second_try_at_a_recording_keeps_the_first_until_there_is_a_better_one():
    talk = Talk(
        line(
            "flow: call\ninitial: first\nstates:\n"
            f"  - {{name: first, {RECORD}}}\n"
            "  - {name: again, record: {what: message, into: kept}}\n"
            "  - {name: bye, end: {}}\n"
            "transitions:\n"
            "  - {trigger: unclear, source: first, dest: again}\n"
            "  - {trigger: [recorded, nothing], source: first, dest: bye}\n"
            "  - {trigger: [recorded, nothing, unclear], source: again, dest: bye}\n"
        )
    )
    talk.said().said().tell(Recorded(talk.foreground, "r1", 3.0, "noisy"))
    assert talk.where == "again"
    other = Talk(talk.line)
    other.call = talk.call
    assert talk.tell(Recorded(talk.foreground, "", 1.0, "silent")).call.slot("kept") == "r1"
    assert talk.call.slot("quality") == "noisy"
    assert other.tell(Recorded(other.call.foreground, "r2", 3.0)).call.slot("kept") == "r2"


def test_a_caller_who_speaks_during_a_sentence_is_heard_out_after_it():
    talk = two().tell(Voice())
    assert talk.said().wants == (HearOut(talk.foreground),)
    assert talk.tell(events.HeardOut(talk.foreground)).where == "second"


# ---------------------------------------------------------------- recording


@pytest.fixture
def recording() -> Talk:
    return Talk(one(RECORD, *RECORDED))


def test_a_recording_comes_after_its_prompt_and_hint(recording):
    recording.said().said()
    assert recording.heard == ["a", "h"]
    assert recording.wants == (Record(recording.foreground, "message", 60.0, 4.0),)


def test_a_key_goes_straight_to_the_recording(recording):
    assert isinstance(recording.keys("1").wants[-1], Record)


def test_a_caller_who_begins_over_the_prompt_is_heard_out_before_the_hint(recording):
    recording.tell(Voice()).said()
    assert recording.wants == (HearOut(recording.foreground),)
    recording.tell(events.HeardOut(recording.foreground))
    assert recording.heard == ["a", "h"]


@pytest.mark.parametrize(
    ("quality", "trigger"),
    [
        ("fine", "recorded"),
        ("quiet", "unclear"),
        ("noisy", "unclear"),
        ("clipped", "unclear"),
        ("silent", "nothing"),
    ],
)
def test_what_a_recording_is_worth_decides(recording, quality, trigger):
    recording.said().said()
    recording.tell(Recorded(recording.foreground, "r1", 3.0, quality))
    assert recording.where == trigger
    assert recording.call.slot("kept") == ("" if quality == "silent" else "r1")


def test_a_recording_that_was_not_kept_is_nothing(recording):
    recording.said().said()
    assert recording.tell(Recorded(recording.foreground, "", 0.2)).where == "nothing"


def test_a_caller_who_hangs_up_has_left_what_was_said(recording):
    recording.said().said()
    recording.tell(Recorded(recording.foreground, "r1", 3.0, ended_by="hangup"))
    assert recording.call.slot("kept") == "r1"
    assert recording.where == "doing"
    assert recording.tell(HungUp()).call.over


# ---------------------------------------------------------------- waiting


@pytest.fixture
def waiting() -> Talk:
    return Talk(one(WAIT, *WAITED, hotline=LOOKUPS))


def test_a_wait_looks_up_says_so_and_plays_music(waiting):
    assert waiting.heard == ["a"]
    assert any(isinstance(want, LookUp) for want in waiting.wants)
    assert waiting.said().wants == (Music(waiting.foreground, "default"),)


def test_the_caller_hears_from_us_and_the_music_goes_on(waiting):
    waiting.said().fires("sign_of_life")
    assert waiting.heard == ["a", "b"]
    assert isinstance(waiting.said().wants[-1], Music)
    assert waiting.fires("sign_of_life").heard == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("answer", "trigger"),
    [
        (lambda number: Found(number, (("status", "sent"),)), "found"),
        (NotFound, "missing"),
        (LookupFailed, "failed"),
    ],
)
def test_the_end_of_a_lookup_ends_the_music_at_once(waiting, answer, trigger):
    waiting.said().tell(answer(waiting.awaits["LookUp"]))
    assert waiting.where == trigger
    assert waiting.call.awaited == ()
    cancelled = [want for want in waiting.wants if isinstance(want, actions.CancelTimer)]
    assert len(cancelled) == 2


def test_what_was_found_is_known_afterwards(waiting):
    waiting.said().tell(Found(waiting.awaits["LookUp"], (("status", "sent"),)))
    assert waiting.call.slot("status") == "sent"


def test_a_lookup_that_ends_while_we_speak_waits_until_we_have_finished(waiting):
    waiting.tell(NotFound(waiting.awaits["LookUp"]))
    assert waiting.where == "doing"
    assert waiting.said().where == "missing"


def test_waiting_has_a_limit(waiting):
    assert waiting.said().fires("limit").where == "too_long"
    assert any(isinstance(want, actions.CancelLookUp) for want in waiting.wants)


def test_the_caller_may_leave_at_any_moment_and_no_other_key_matters(waiting):
    assert waiting.said().keys("123").where == "doing"
    assert waiting.keys("9").where == "leave"


def test_a_voice_changes_nothing_while_waiting(waiting):
    waiting.said()
    before = waiting.call
    assert waiting.tell(Voice()).call == before


def test_a_caller_who_speaks_as_the_wait_begins_is_heard_out_before_the_answer(waiting):
    waiting.tell(Voice()).tell(NotFound(waiting.awaits["LookUp"]))
    assert waiting.said().wants == (HearOut(waiting.foreground),)
    assert waiting.tell(events.HeardOut(waiting.foreground)).where == "missing"


def test_the_music_begins_once_the_caller_was_heard_out(waiting):
    waiting.tell(Voice()).said()
    waiting.tell(events.HeardOut(waiting.foreground))
    assert isinstance(waiting.wants[-1], Music)
