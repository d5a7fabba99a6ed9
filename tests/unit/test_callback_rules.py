"""How a line's file says when and how people are called back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ivr import callback_rules
from ivr.callback_rules import Rules
from ivr.document import BadFile
from ivr.files import parse

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def rules(text: str) -> Rules:
    return callback_rules.parse(parse(f'numbers: {{"1001": {{}}}}\n{text}', "line.yaml"))


def test_a_line_calls_in_its_working_hours_unless_it_says_others() -> None:
    line = 'hours: {open: {mon-fri: "09:30-18:30"}, holidays: cn}\n'
    sunday = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
    assert not rules(line).hours.is_open(sunday)
    assert rules(line).hours.is_open(NOON)
    every = rules(line + 'callbacks: {hours: {mon-sun: "09:00-21:00"}}')
    assert every.hours.is_open(sunday)
    assert not every.hours.is_open(datetime(2026, 10, 1, 4, 0, tzinfo=UTC))  # a public holiday
    night = rules(line + 'callbacks: {hours: {mon-sun: "22:00-02:00"}}')
    assert night.hours.is_open(datetime(2026, 11, 23, 17, 59, tzinfo=UTC))  # 1:59 there
    assert not night.hours.is_open(datetime(2026, 11, 23, 18, 0, tzinfo=UTC))


def test_what_is_shown_is_a_number_of_the_line() -> None:
    assert rules("").shows == "1001"
    with pytest.raises(BadFile) as told:
        rules('callbacks: {shows: "13800138000"}')
    assert str(told.value.problems[0]).startswith("line.yaml:2 F662")  # a code of its own


@pytest.mark.parametrize(
    "text",
    [
        "callbacks: {through: 'a b'}",
        "callbacks: {attempts: 0}",
        "callbacks: {spacing: 1 s}",
        "callbacks: {ring: 5 min}",
        "callbacks: {hours: {foo: '09:00-10:00'}}",
        "callbacks: {tries: 3}",
        "callbacks: 3",
    ],
)
def test_a_mistake_is_told_with_file_and_line(text: str) -> None:
    with pytest.raises(BadFile) as told:
        rules(text)
    assert str(told.value.problems[0]).startswith("line.yaml:2")
