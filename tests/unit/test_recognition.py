"""From recognised parts to prompts, and what a busy machine leaves in a recording."""

from __future__ import annotations

import numpy as np
import pytest

from ivr.ear import Heard
from ivr.hotlines import Hotlines
from ivr.live_caller import rows
from ivr.recognition import Names, Voices, aligned
from ivr.recording import Recording
from ivr.rtp import RATE, Packet
from ivr.stimuli import speech


def heard(*names: str) -> Heard:
    return Heard(names[0], 0.0, 1.0, 1.0, 0.0, 1.0, False, names)


@pytest.fixture
def xjca(lines: Hotlines) -> Names:
    return Names(lines, "xjca")


def test_the_digits_of_a_number_belong_to_the_prompt_that_reads_it_back(xjca: Names) -> None:
    parts = [heard("xjca.contact.own.1"), *(heard(f"common.digit.{n}") for n in (1, 3, 8))]
    assert xjca.prompts([heard("xjca.menu"), *parts]) == [{"menu"}, {"contact.own"}]


def test_a_prompt_that_begins_with_a_name_is_known_by_it(lines: Hotlines) -> None:
    infodesk = Names(lines, "infodesk")
    name = next(base for base in lines.library.all_parts() if base.startswith("infodesk.addressee"))
    parts = ["infodesk.contact.own.1", "common.digit.1", name]
    cut = infodesk.prompts([heard(one) for one in parts])
    assert cut[0] == {"contact.own"}
    assert "message.kept.complaint" in cut[1]
    whole = infodesk.prompts(
        [*(heard(one) for one in parts), heard("infodesk.message.kept.complaint.1")]
    )
    assert whole == [{"contact.own"}, {"message.kept.complaint"}]


def test_what_another_line_says_keeps_its_name(xjca: Names) -> None:
    assert xjca.prompts([heard("xjca.opening"), heard("lakala.menu")])[1] == {"lakala.menu"}


def test_a_prompt_that_sounds_like_another_lines_is_this_lines(xjca: Names) -> None:
    both = heard("infodesk.closing.goodbye", "xjca.closing.goodbye")
    assert xjca.prompts([both]) == [{"closing.goodbye"}]


def test_a_prompt_said_twice_is_heard_twice(xjca: Names) -> None:
    assert xjca.prompts([heard("xjca.menu"), heard("xjca.menu")]) == [{"menu"}, {"menu"}]


def test_only_between_equal_sounds_does_it_matter_what_was_said() -> None:
    told, brief = ["opening", "goodbye"], [False, False]
    assert aligned(told, brief, [frozenset({"opening"}), frozenset({"bye", "goodbye"})]) == (
        "opening",
        "goodbye",
    )
    assert aligned(told, brief, [frozenset({"opening"}), frozenset({"menu"})]) == (
        "opening",
        "menu",
    )
    assert aligned(told, brief, [frozenset({"opening"})]) == ("opening",)


def test_a_prompt_cut_too_soon_to_be_recognised_is_taken_as_said() -> None:
    told = ["opening", "menu", "goodbye"]
    wholes = [frozenset({"opening"}), frozenset({"goodbye"})]
    assert aligned(told, [False, True, False], wholes) == ("opening", "menu", "goodbye")
    assert aligned(told, [False, False, False], wholes) == ("opening", "goodbye")


def test_prompts_that_begin_alike_are_all_named_when_they_are_cut() -> None:
    begin, end = speech(2.0, voice=1), speech(2.0, voice=2)
    voices = Voices({"a": np.concatenate([begin, end]), "b": np.concatenate([begin, end[::-1]])})
    call = recording(np.concatenate([begin[: RATE * 3 // 2], np.zeros(RATE, dtype=np.int16)]))
    [one] = voices.recognise(call)
    assert set(one.names) == {"a", "b"}


def recording(sound: np.ndarray, *, stalls_at: int = 1 << 30, seconds: float = 0.0) -> Recording:
    """A sound as it arrives; from packet `stalls_at` on, so much too late."""
    call = Recording(10.0)
    for number in range(len(sound) // 160):
        late = seconds if number >= stalls_at else 0.0
        packet = Packet(8, number, number * 160, 1, b"", False)
        call.add(10.5 + number * 0.02 + late, packet, sound[number * 160 : (number + 1) * 160])
    return call


def test_a_sender_that_falls_behind_for_good_is_noticed_and_one_late_packet_is_not() -> None:
    assert recording(speech(3.0)).slips() == []
    [(moment, seconds)] = recording(speech(3.0), stalls_at=75, seconds=0.08).slips()
    assert seconds == pytest.approx(0.08)
    assert moment == pytest.approx(12.0, abs=0.1)


def test_numbered_values_are_rows_of_a_back_ends_list() -> None:
    assert rows((("status", "open"),)) == {"status": "open"}
    two = (("letters_1", "EA"), ("status_1", "held"), ("letters_2", "EB"), ("status_2", "held"))
    assert rows(two) == [
        {"letters": "EA", "status": "held"},
        {"letters": "EB", "status": "held"},
    ]
