"""How a line calls people back (回拨): when, how often, how long, and by which way out.

Rules this module keeps:

- No clock and no database. Every problem is told with file and line, all at once.
- Calls go out only in the hours given here, by the line's calendar; without hours of their own,
  in the line's working hours.
- The number shown is one of the line's own, and nothing else can be written here (LAW-1).
- `through` is the name of an endpoint of the switch: the only part of a dial string that is not
  a checked number. Without one the installation's own is used (`SANSHENG_CARRIER`); where there
  is neither, people make the calls that the line promises.

Written in a hotline's file as:

    callbacks:
      through: carrier                    # PJSIP/<number>@carrier
      shows: "1001"                       # default: the line's first number
      hours: {mon-sun: "09:00-21:00"}     # by the line's zone and calendar
      attempts: 3                         # calls at most to keep one promise
      spacing: 30 min                     # between two of them
      ring: 30 s
      due_soon: 2 h                       # so long before it is due, a promise is announced

Serves LAW-1, WRK-3.2, XJCA-6.3b.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from ivr import hours
from ivr.document import BadFile, Map, Problem, Text, Trying, Value, known_keys, problem, whole
from ivr.hours import Hours

_ENDPOINT = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Rules:
    """One line's rules. Lengths are in seconds; `shows` is the number that people see."""

    through: str = ""
    shows: str = ""
    hours: Hours = field(default_factory=lambda: Hours(ZoneInfo("Asia/Shanghai")))
    attempts: int = 3
    spacing: float = 1800.0
    ring: float = 30.0
    due_soon: float = 7200.0


KEYS = ("through", "shows", "hours", "attempts", "spacing", "ring", "due_soon")


def parse(hotline: Map) -> Rules:
    """The rules of a line, from its key `callbacks`. Raises BadFile with every problem found."""
    at = hotline.get("callbacks", Map())
    if not isinstance(at, Map):
        raise BadFile([problem(at, "F103", "callbacks take settings", "write {through: carrier}")])
    problems = known_keys(at, KEYS)
    numbers = hotline.get("numbers", Map())
    own = [str(number) for number in numbers] if isinstance(numbers, Map) else []
    through = at.get("through", "")
    if through and (not isinstance(through, Text) or not _ENDPOINT.fullmatch(through)):
        what = f"'{through}' is no endpoint of the switch"
        fix = "use letters, digits, - and _, 32 at most"
        problems.append(problem(through, "F661", what, fix))
    shows = at.get("shows", own[0] if own else "")
    if shows not in own:
        what = f"'{shows}' is no number of this line, and no other may be shown"
        problems.append(problem(shows, "F662", what, f"use one of {', '.join(own)}"))
    reader = Trying(problems)
    rules = Rules(
        through=str(through),
        shows=str(shows),
        hours=_hours(hotline, at, problems),
        attempts=reader.setting(whole, at, "attempts", 3, 1, 10),
        spacing=reader.length(at, "spacing", 1800.0, 60.0, 86400.0),
        ring=reader.length(at, "ring", 30.0, 10.0, 90.0),
        due_soon=reader.length(at, "due_soon", 7200.0, 0.0, 86400.0),
    )
    if problems:
        raise BadFile(problems)
    return rules


def _hours(hotline: Map, at: Map, problems: list[Problem]) -> Hours:
    """The hours of calls out: a week of their own, or the line's work, by the line's calendar."""
    try:
        line = hours.parse(hotline)
    except BadFile:
        return Rules().hours  # told by whoever reads the line's own hours
    week: Value | None = at.get("hours")
    if week is None:
        return Hours(
            line.zone, line.work, line.work, line.work_holidays, line.work_holidays, line.closed,
            line.working,
        )  # fmt: skip
    own = Map(hotline["hours"]) if isinstance(hotline.get("hours"), Map) else Map()
    own["open"] = week
    own.pop("work", None)
    whole_ = Map({"hours": own, **({"zone": hotline["zone"]} if "zone" in hotline else {})})
    for mapping in (own, whole_):
        mapping.path, mapping.line = at.path, at.line
    try:
        return hours.parse(whole_)
    except BadFile as error:
        problems += error.problems
        return line
