"""An agent's note as text, for the phone's display and for other programs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from ivr.clock import VirtualClock
from ivr.hotlines import Hotlines
from ivr.notes import DISPLAY, Notes, shown
from ivr.server import Service

NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)


def notes(lines: Hotlines) -> Notes:
    return Notes(cast(Service, SimpleNamespace(hotlines=lines, clock=VirtualClock(NOON))))


def test_the_text_is_what_the_agent_hears_without_the_callers_voice(lines: Hotlines) -> None:
    note = (
        ("kind", "complaint"),
        ("caller", "13800138000"),
        ("contact", "13800138000"),
        ("item", "12"),
        ("recording", "0" * 32 + ".wav"),
    )
    text = notes(lines).text(lines.lines["ems"], note)
    assert text == "您好,有客户要投诉。来电号码是13800138000。客户输入的号码是12。"


def test_another_contact_than_the_caller_is_told(lines: Hotlines) -> None:
    note = (("kind", "person"), ("caller", "13800138000"), ("contact", "13900139000"))
    assert "联系电话是13900139000。" in notes(lines).text(lines.lines["ems"], note)


def test_a_part_that_cannot_be_said_is_left_out(lines: Hotlines) -> None:
    note = (("kind", "nothing we know"), ("item", "12"))
    assert notes(lines).text(lines.lines["ems"], note) == "客户输入的号码是12。"


def test_a_phone_shows_the_beginning(lines: Hotlines) -> None:
    note = (("kind", "complaint"), ("caller", "13800138000"), ("item", "473124829"))
    text = notes(lines).display(lines.lines["ems"], note)
    assert text.startswith("您好 有客户要投诉。来电号码是13800138000。")
    assert len(text) <= DISPLAY


@pytest.mark.parametrize(
    "text", ['a"b', "a\\b", "a<b>", "a\r\nAction: Originate", "a\x00b", "a(b)", "a,b;c"]
)
def test_nothing_in_a_header_means_something_there(text: str) -> None:
    assert not set(shown(text, 100)) & set('"\\<>();,\r\n\x00')
