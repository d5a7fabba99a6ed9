"""Deadlines in working time, reckoned by hand; and what is said of them is what they are.

The days of 2026 that count here, from the State Council's notice of holidays: Spring Festival 15-23
February off, 14 and 28 February (Saturdays) at work; Qingming 4-6 April off; Labour Day 1-5 May
off, 9 May (Saturday) at work; Dragon Boat 19-21 June off; Mid-Autumn 25-27 September off, 20
September (Sunday) at work; National Day 1-7 October off, 10 October (Saturday) at work.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ivr import checking, deadlines, hours, ticket_rules
from ivr.document import Map
from ivr.files import parse
from ivr.hours import Hours

BEIJING = ZoneInfo("Asia/Shanghai")
URUMQI = ZoneInfo("Asia/Urumqi")

OFFICE = 'zone: Asia/Shanghai\nhours: {open: {mon-fri: "09:00-12:00", sat: "09:00-12:00"}}'
BANK = 'zone: Asia/Shanghai\nhours: {open: {mon-fri: "08:30-17:00"}}'
LUNCH = 'zone: Asia/Shanghai\nhours: {open: {mon-fri: ["09:00-12:00", "13:00-17:00"]}}'
NIGHT = 'zone: Asia/Shanghai\nhours: {open: {mon-fri: "22:00-06:00"}}'
EVERY = 'zone: Asia/Shanghai\nhours: {open: {mon-sun: "08:00-20:00"}, holidays: none}'
ALWAYS = "zone: Asia/Shanghai"
WEST = 'zone: Asia/Urumqi\nhours: {open: {mon-fri: "10:00-18:00"}}'

CASES = [
    # line, call, promise, due, why
    (BANK, "2026-11-20 16:30", "2 working hours", "2026-11-23 10:00",
     "Friday: half an hour until 17:00; the weekend does not count; Monday 08:30 and 1.5 h"),
    (BANK, "2026-11-20 16:30", "24 h", "2026-11-21 16:30",
     "24 h is elapsed time: Saturday counts like any day"),
    (BANK, "2026-11-20 17:00", "1 working hour", "2026-11-23 09:30",
     "at the close of work nothing of Friday is left"),
    (BANK, "2026-11-21 23:59", "1 working day", "2026-11-23 17:00",
     "a call on Saturday just before midnight: the first working day after it is Monday"),
    (BANK, "2026-11-23 00:00", "1 working day", "2026-11-24 17:00",
     "at midnight it is Monday, and the day after Monday is Tuesday"),
    (BANK, "2026-11-22 23:59", "1 working day", "2026-11-23 17:00",
     "a minute before midnight it is Sunday, and the day after is Monday"),
    (BANK, "2026-02-13 16:00", "3 working hours", "2026-02-14 10:30",
     "Friday: 1 h; Saturday 14 February is a working day before Spring Festival: 08:30 and 2 h"),
    (BANK, "2026-02-14 16:30", "1 working hour", "2026-02-24 09:00",
     "half an hour on the working Saturday; 15 to 23 February is Spring Festival; Tuesday 24"),
    (BANK, "2026-02-14 10:00", "3 working days", "2026-02-26 17:00",
     "after the working Saturday: Tuesday 24, Wednesday 25, Thursday 26 February"),
    (BANK, "2026-02-27 16:59", "1 working day", "2026-02-28 17:00",
     "Saturday 28 February is at work to make up for the Festival"),
    (BANK, "2026-04-03 12:00", "1 working day", "2026-04-07 17:00",
     "Qingming: Saturday 4 to Monday 6 April are off; Tuesday"),
    (BANK, "2026-04-30 15:00", "4 working hours", "2026-05-06 10:30",
     "2 h on Thursday; Labour Day 1 to 5 May; Wednesday 6 May 08:30 and 2 h"),
    (BANK, "2026-05-08 17:30", "2 working days", "2026-05-11 17:00",
     "after work on Friday: Saturday 9 May makes up for Labour Day, then Monday 11"),
    (BANK, "2026-06-18 16:00", "2 working hours", "2026-06-22 09:30",
     "Dragon Boat: Friday 19 to Sunday 21 June are off; 1 h on Thursday, 1 h on Monday"),
    (BANK, "2026-09-24 12:00", "5 working days", "2026-10-09 17:00",
     "Mid-Autumn 25 to 27 September; 28, 29, 30 are three; National Day 1 to 7; 8 and 9 October"),
    (BANK, "2026-10-09 09:00", "1 working day", "2026-10-10 17:00",
     "Saturday 10 October makes up for National Day"),
    (LUNCH, "2026-09-30 11:00", "6 working hours", "2026-10-08 10:00",
     "1 h before lunch, 4 h after it; National Day; 1 h on Thursday 8 October"),
    (OFFICE, "2026-10-03 10:00", "4 working hours", "2026-10-09 10:00",
     "this line works on ordinary Saturdays, but 3 October is a holiday: 3 h on 8, 1 h on 9"),
    (NIGHT, "2026-09-30 23:00", "8 working hours", "2026-10-08 23:00",
     "30 September's night runs into the holiday until 06:00: 7 h; the next one is on the 8th"),
    (NIGHT, "2026-11-28 00:30", "6 working hours", "2026-11-30 22:30",
     "Friday's night lasts until Saturday 06:00: 5.5 h; half an hour on Monday evening"),
    (EVERY, "2026-10-01 19:00", "2 working hours", "2026-10-02 09:00",
     "a line that keeps no holidays works on National Day: 1 h today, 1 h tomorrow from 08:00"),
    (ALWAYS, "2026-09-30 16:30", "1 working hour", "2026-10-08 09:30",
     "a line that is always open promises its people's time, 09:00 to 17:00 outside of holidays"),
    (WEST, "2026-11-23 17:30", "1 working hour", "2026-11-24 10:30",
     "in the line's own zone, two hours behind Beijing: half an hour today, half tomorrow"),
    (BANK, "2026-10-31 12:00", "2 days", "2026-11-02 12:00",
     "days that are not working days are days of the calendar, across the end of a month"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "call", "within", "due", "why"), CASES, ids=[f"{c[1]} {c[2]}" for c in CASES]
)
def test_a_deadline_is_what_it_is_by_hand(
    line: str, call: str, within: str, due: str, why: str
) -> None:
    of = hours.parse(parse(line, "line.yaml"))
    at = datetime.fromisoformat(call).replace(tzinfo=of.zone)
    assert of.due(at, within).astimezone(of.zone).strftime("%Y-%m-%d %H:%M") == due, why


def test_there_are_cases_across_everything_that_goes_wrong() -> None:
    assert len(CASES) >= 20
    assert all(why for *_, why in CASES)


def test_a_deadline_on_another_clock_is_the_same_moment() -> None:
    of: Hours = hours.parse(parse(BANK, "line.yaml"))
    there = datetime(2026, 11, 20, 14, 30, tzinfo=URUMQI)
    here = datetime(2026, 11, 20, 16, 30, tzinfo=BEIJING)
    assert there == here
    assert of.due(there, "2 working hours") == of.due(here, "2 working hours")


def test_a_promise_that_is_none_is_told_before_any_call() -> None:
    with pytest.raises(hours.BadFile, match=r"x\.yaml:1 F601 'soon' is no promised time"):
        hours.parse(parse("promises: {answer: soon}", "x.yaml"))


# ---------------------------------------------------------------- what is said


LINE = """
promises: {answer: 24 h, simple: 2 days, complex: 3 working days}
tickets: {kinds: {complaint: {promise: simple}, agent_complaint: {promise: complex}}}
"""
TEXTS = """
constants: {within: 24小时, within_simple: 两天, within_complex: 三个工作日}
texts:
  message.kept.message: {text: "我们会在{within}内给您答复。"}
  message.kept.contact: {text: "我们会在{within}内与您联系。"}
  message.kept.complaint: {text: "我们会在{within_simple}内给您明确的答复。"}
  message.kept.agent_complaint: {text: "我们会在{within_complex}内给您明确的答复。"}
"""


def told(texts: str, line: str = LINE) -> list[str]:
    read: Map = parse(line, "line.yaml")
    return [
        str(one) for one in deadlines.check(parse(texts, "texts.yaml"), ticket_rules.parse(read))
    ]


def test_what_is_said_is_what_is_kept() -> None:
    assert told(TEXTS) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("within: 24小时", "within: 48小时",
         "texts.yaml:2 F651 'within' says 48小时, and the promise is 24 h: write 24小时"),
        ("within_complex: 三个工作日", "within_complex: 三天", "write 三个工作日"),
        ("within_simple:", "within_easy:", "speaks the promise 'easy', which the line does not"),
        ("{within_simple}", "{within}",
         "texts.yaml:6 F652 'message.kept.complaint' speaks {within}, and a complaint falls due by "
         "the promise 'simple': write {within_simple}"),
        ("{within_complex}", "{within_simple}", "write {within_complex}"),
        ("在{within}内与", "在{within_simple}内与", "message.kept.contact' speaks {within_simple}"),
    ],
)  # fmt: skip
def test_a_text_that_promises_something_else_is_told(
    before: str, after: str, sentence: str
) -> None:
    assert before in TEXTS
    assert sentence in "\n".join(told(TEXTS.replace(before, after)))


def test_a_promise_that_is_changed_in_the_data_alone_is_told(root: Path) -> None:
    changed = LINE.replace("answer: 24 h", "answer: 48 h")
    assert len(told(TEXTS, changed)) == 1
    assert [one for one in checking.everything(root) if one.code in ("F651", "F652")] == []
