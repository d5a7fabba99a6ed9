"""Whether what a line says of its opening hours (工作时间) is when its people are at work.

Rules this module keeps:

- Pure: it is given the texts as written and the hours as read, and gives problems with their
  places.
- The constant `hours` of the texts is compared with the hours that `hours: {open: …}` of the
  hotline's file gives, in words of ours; signs that are not heard do not count.
- Days of one's own (`closed`, `working`) are exceptions, and are not said.
- Only Chinese is compared: texts in another language are nobody's here.

Serves CCB-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time

from ivr.document import Map, Problem, problem
from ivr.hours import ALL_DAY, Hours, Ranges

CONSTANT = "hours"
DAYS = "一二三四五六日"
HOLIDAYS = "法定节假日除外"

_UNHEARD = re.compile(r"[\s,，、;；。.]")


def spoken(hours: Hours) -> str:
    """Opening hours as they are said in Chinese: `周一至周五9点半到18点半,法定节假日除外`; empty
    for a line that is never open."""
    parts = [
        _days(first, last) + "、".join(map(_range, ranges))
        for first, last, ranges in _spans(hours)
        if ranges
    ]
    if parts and hours.holidays:
        parts.append(HOLIDAYS)
    return ",".join(parts)


def check(texts: Map, hours: Hours) -> list[Problem]:
    """What the texts of one line (its prompts file) say of its hours, and should not."""
    constants = texts.get("constants", Map())
    said = constants.get(CONSTANT) if isinstance(constants, Map) else None
    if said is None or not str(texts.get("language", "zh")).startswith("zh"):
        return []
    true = spoken(hours)
    if _heard(str(said)) == _heard(true):
        return []
    what = f"'{CONSTANT}' says {said}, and the line's file has other hours"
    return [problem(said, "F653", what, f"write {true}, or mend `hours:` there")]


def _heard(text: str) -> str:
    return _UNHEARD.sub("", text)


def _spans(hours: Hours) -> Iterator[tuple[int, int, Ranges]]:
    """Days that follow one another with the same hours: first, last, ranges."""
    first = 0
    for day in range(7):
        if day == 6 or hours.open.get(day + 1, ()) != hours.open.get(first, ()):
            yield first, day, hours.open.get(first, ())
            first = day + 1


def _days(first: int, last: int) -> str:
    if (first, last) == (0, 6):
        return "每天"
    if first == last:
        return f"周{DAYS[first]}"
    return f"周{DAYS[first]}至周{DAYS[last]}"


def _range(one: tuple[time, time]) -> str:
    begin, end = one
    if one in ALL_DAY:
        return "全天"
    if end == time(0):
        return f"{_clock(begin)}到24点"
    return f"{_clock(begin)}到{'次日' * (end <= begin)}{_clock(end)}"


def _clock(at: time) -> str:
    """`9点`, `9点半`, `9点05分`."""
    minutes = {0: "", 30: "半"}.get(at.minute, f"{at.minute:02}分")
    return f"{at.hour}点{minutes}"
