"""What an agent hears before taking a call, and what the same note is elsewhere."""

from __future__ import annotations

import pytest
from talk import Talk, line

from ivr import actions, events, rehearsal, scenario_file
from ivr.actions import HandOver, HangUp, Keep, Listen, Note, PlayRecording, RingAgent, Say
from ivr.activity import Keep as Keeping
from ivr.call import Call, step
from ivr.events import HungUp, Key, Offered, Said, Silence, Summoned, Voice
from ivr.hotlines import Hotlines
from ivr.transferring import Transfer

NOTE = (
    ("kind", "complaint"),
    ("caller", "13800138000"),
    ("contact", "13800138000"),
    ("recording", "r1"),
)


class Leg:
    """The leg of an agent of a shipped line, who hears a note."""

    def __init__(self, lines: Hotlines, **note: str) -> None:
        self.line = lines.lines["lakala"]
        self.call = Call()
        self.heard: list[str] = []
        self.wants: tuple[actions.Action, ...] = ()
        self.tell(Summoned(tuple(note.items())))

    def tell(self, event: events.Event) -> Leg:
        self.call, self.wants = step(self.line, self.call, event)
        for want in self.wants:
            if isinstance(want, Say):
                self.heard.append(want.prompt)
            elif isinstance(want, PlayRecording):
                self.heard.append(f"<{want.recording}>")
        return self

    def listens(self) -> Leg:
        """The whole note, up to the pause for an answer."""
        while not isinstance(self.wants[-1], Listen):
            self.tell(Said(self.call.foreground))
        return self


def test_the_note_is_told_part_by_part_with_the_callers_own_words(lines):
    leg = Leg(lines, **dict(NOTE)).listens()
    assert leg.heard == [
        "briefing.kind.complaint",
        "briefing.caller",
        "briefing.words",
        "<r1>",
        "briefing.choose",
    ]


def test_what_is_not_known_is_left_out_and_a_number_is_not_told_twice(lines):
    leg = Leg(lines, kind="person").listens()
    assert leg.heard == ["briefing.kind.person", "briefing.choose"]


def test_everything_that_is_known_is_told(lines):
    note = {
        "kind": "query", "addressee": "李小姐", "caller": "02112345678", "contact": "13800138000",
        "surname": "s1", "item": "12345", "staff_number": "821", "recording": "r1",
    }  # fmt: skip
    assert Leg(lines, **note).listens().heard == [
        "briefing.kind.query", "briefing.addressee", "briefing.caller", "briefing.contact",
        "briefing.surname", "<s1>", "briefing.item", "briefing.staff_number", "briefing.words",
        "<r1>", "briefing.choose",
    ]  # fmt: skip


def test_no_more_of_a_recording_is_heard_than_there_is_time_for(lines):
    leg = Leg(lines, kind="person", recording="r1")
    while not isinstance(leg.wants[-1], PlayRecording):
        leg.tell(Said(leg.call.foreground))
    assert leg.wants[-1].seconds == 30.0


def test_one_takes_the_call_at_any_moment(lines):
    leg = Leg(lines, **dict(NOTE)).tell(Key("1"))
    assert leg.wants == (Note("verdict", "accepted"), HandOver(leg.call.last_id))
    assert leg.call.over


def test_two_refuses_it_with_a_word_of_thanks(lines):
    leg = Leg(lines, **dict(NOTE)).listens().tell(Key("2"))
    assert leg.wants[0] == Note("verdict", "refused")
    leg.tell(Said(leg.call.foreground))
    assert leg.heard[-1] == "briefing.refused"
    assert isinstance(leg.wants[-1], HangUp)


def test_who_presses_nothing_has_heard_the_note_three_times(lines):
    leg = Leg(lines, kind="person")
    for _ in range(3):
        assert leg.wants[0] != Note("verdict", "no_key")
        leg.listens().tell(Silence(leg.call.foreground))
    assert leg.heard.count("briefing.kind.person") == 3
    assert leg.wants[0] == Note("verdict", "no_key")


def test_the_star_repeats_but_not_for_ever(lines):
    leg = Leg(lines, kind="person").tell(Key("*")).tell(Key("*"))
    assert leg.heard == ["briefing.kind.person"] * 3
    assert leg.tell(Key("*")).wants[0] == Note("verdict", "no_key")


def test_other_keys_and_a_voice_change_nothing(lines):
    leg = Leg(lines, kind="person").tell(Key("5")).tell(Voice())
    assert leg.wants == ()


def test_an_agent_who_hangs_up_has_given_no_verdict(lines):
    leg = Leg(lines, kind="person").tell(HungUp())
    assert leg.wants == (Note("ended_by", "agent"),)
    assert leg.call.over


def test_a_call_begins_once(lines):
    leg = Leg(lines, kind="person").tell(Summoned(()))
    assert leg.wants == (actions.Ignored("summoned twice"),)
    leg.tell(Offered("1"))
    assert leg.wants == (actions.Ignored("offered twice"),)


def test_a_recording_that_cannot_be_played_does_not_stop_the_note(lines):
    leg = Leg(lines, kind="person", recording="gone")
    while not isinstance(leg.wants[-1], PlayRecording):
        leg.tell(Said(leg.call.foreground))
    leg.tell(events.Unplayable(leg.call.foreground))
    assert leg.heard[-1] == "briefing.choose"


def test_parts_that_all_need_something_may_leave_nothing_to_say():
    flow = (
        "flow: briefing\ninitial: telling\nstates:\n"
        "  - {name: telling, brief: {parts: [{say: a, needs: caller}]}}\n"
        "  - {name: done, hand_over: {}}\n"
        "transitions:\n"
        "  - {trigger: [accept, refuse, no_key], source: telling, dest: done}\n"
        "---\nflow: call\ninitial: bye\nstates:\n  - {name: bye, end: {}}\ntransitions: []\n"
    )
    made = line(flow)
    _, wants = step(made, Call(), Summoned(()))
    assert wants == (Listen(1, 4.0),)
    assert Talk(made).call.over


# ---------------------------------------------------------------- one note everywhere


def test_what_is_stored_is_what_the_agent_is_told(lines):
    for one in lines.lines.values():
        states = one.flows["transfer"].states
        keeping, waiting = states["keeping"].activity, states["waiting"].activity
        assert isinstance(keeping, Keeping)
        assert isinstance(waiting, Transfer)
        assert keeping.values == waiting.note


@pytest.mark.parametrize(
    "name", ["xjca-question-goes-to-the-expert", "ems-asks-for-a-person-after-a-query"]
)
def test_the_note_heard_is_the_note_stored_and_was_stored_before_the_phone_rang(root, lines, name):
    outcome = rehearsal.rehearse(scenario_file.read(root / f"tests/scenarios/{name}.yaml"), lines)
    happened = [moment.what for moment in outcome.moments]
    kept = next(w for w in happened if isinstance(w, Keep) and w.kind == "transfer_note")
    stored = next(w for w in happened if isinstance(w, events.Stored) and w.id == kept.id)
    ring = next(w for w in happened if isinstance(w, RingAgent))
    assert happened.index(kept) < happened.index(stored) < happened.index(ring)
    assert (ring.note, ring.reference) == (kept.values, stored.reference)
    heard = outcome.legs[0][0].what
    assert heard == Summoned(kept.values)
    said = [m.what for m in outcome.legs[0] if isinstance(m.what, Say | PlayRecording)]
    assert len(said) >= 4


def test_a_note_names_nobody_who_works_here(lines):
    """Agents are known by staff number and title only (XJCA-6.1f)."""
    for one in lines.lines.values():
        waiting = one.flows["transfer"].states["waiting"].activity
        assert isinstance(waiting, Transfer)
        assert "agent" not in waiting.note
