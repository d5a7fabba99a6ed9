"""What a caller has said and keyed is neither lost nor kept against their word (shipped flows)."""

from __future__ import annotations

import pytest
from talk import Talk

from ivr import actions, events
from ivr.actions import Keep, LookUp
from ivr.hotlines import Hotlines


class Caller(Talk):
    """A caller of a shipped line who has got through to it; remembers everything it wants."""

    def __init__(self, lines: Hotlines, line: str, caller: str = "13800138000") -> None:
        self.all: list[actions.Action] = []
        super().__init__(lines.lines[line], caller=caller)
        self.tell(events.Rung(self.foreground, 5.0))
        self.tell(events.Answered(self.foreground, 5.0))

    def tell(self, event: events.Event) -> Talk:
        super().tell(event)
        self.all += self.wants
        return self

    def until(self, state: str) -> Caller:
        while self.where != state:
            self.said()
        return self

    def recorded(self) -> Caller:
        """The caller has spoken, and nobody is there who could answer at once."""
        self.until("recording")
        while not isinstance(self.wants[-1], actions.Record):
            self.said()
        self.tell(events.Recorded(self.foreground, "rec.wav", 12.0))
        if self.where == "looking":
            self.tell(events.Surveyed(self.awaits["Survey"], staffed=False))
        return self

    @property
    def kept(self) -> list[dict[str, str]]:
        return [dict(want.values) for want in self.all if isinstance(want, Keep)]


def complains(lines: Hotlines, caller: str = "13800138000") -> Caller:
    one = Caller(lines, "ems", caller)
    one.keys("4").said()
    one.keys("1")
    return one.recorded()


def test_who_asks_for_a_person_after_speaking_need_not_say_it_again(lines: Hotlines) -> None:
    one = complains(lines)
    assert one.where == "own_number"
    one.keys("0")
    assert one.kept == [{"recording": "rec.wav", "quality": "fine"}]


def test_a_number_that_the_caller_has_rejected_is_kept_by_nobody(lines: Hotlines) -> None:
    one = complains(lines, caller="")
    one.keys("13900139000#")
    assert one.where == "read_back"
    one.keys("2")
    one.tell(events.HungUp())
    assert one.kept == [{"recording": "rec.wav", "quality": "fine"}]


def test_what_comes_of_a_message_is_noted_also_when_the_caller_leaves_meanwhile(
    lines: Hotlines,
) -> None:
    one = complains(lines)
    one.keys("1").until("surname")
    while not isinstance(one.wants[-1], actions.Record):
        one.said()
    one.tell(events.Recorded(one.foreground, "name.wav", 1.0))
    assert one.where == "keeping"
    one.tell(events.HungUp())
    assert not one.call.over
    one.tell(events.Stored(one.awaits["Keep"], "m1"))
    assert one.call.over
    assert actions.Note("result", "message") in one.all
    assert len(one.kept) == 1


def test_the_note_for_an_agent_is_not_mistaken_for_the_complaint_of_one_who_hangs_up(
    lines: Hotlines,
) -> None:
    one = Caller(lines, "ems")
    one.keys("4").said()
    one.keys("1").until("recording")
    while not isinstance(one.wants[-1], actions.Record):
        one.said()
    one.tell(events.Recorded(one.foreground, "rec.wav", 12.0))
    one.tell(events.Surveyed(one.awaits["Survey"], True))
    one.keys("1")
    note = one.awaits["Keep"]
    one.tell(events.HungUp())
    complaint = one.awaits["Keep"]
    assert [want.kind for want in one.all if isinstance(want, Keep)] == [
        "transfer_note",
        "complaint",
    ]
    one.tell(events.Stored(note, "n1"))
    assert not one.call.over
    one.tell(events.StoreFailed(complaint))
    assert one.call.over
    assert actions.Note("result", "lost") in one.all
    assert actions.Note("result", "message") not in one.all


def test_the_answer_of_one_lookup_is_not_mistaken_for_that_of_the_next(lines: Hotlines) -> None:
    one = Caller(lines, "ems")
    one.keys("2").said()

    def ask(*values: tuple[str, str]) -> None:
        one.keys("473124829")
        one.keys("1").until("asking")
        one.keys("1")
        lookup = next(want.id for want in reversed(one.all) if isinstance(want, LookUp))
        one.said().tell(events.Found(lookup, values))
        one.said()

    ask(("status_1", "delivered"), ("letters_1", "EA-CN"), ("status_2", "held"))
    assert one.where == "which"
    one.keys("9")
    assert one.where == "unknown"
    one.keys("1")
    ask(("status", "delivered"), ("letters", "EA-CN"))
    assert one.where == "answering"


@pytest.mark.parametrize("state", ["ringing", "picking_up"])
def test_ops_may_end_a_call_that_still_rings(lines: Hotlines, state: str) -> None:
    one = Talk(lines.lines["ems"])
    if state == "picking_up":
        one.tell(events.Rung(one.foreground, 5.0))
    one.tell(events.EndAsked())
    assert isinstance(one.wants[-1], actions.HangUp)
