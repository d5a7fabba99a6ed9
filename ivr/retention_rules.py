"""How long a line keeps recordings and calls (留存期限): what its file says.

Rules this module keeps:

- Pure. Every problem is told with file and line, all at once.
- A line that says nothing keeps everything for ever: nothing is erased that nobody asked for.
- A call is erased together with its recordings, so they cannot be kept longer than it.

Written in a hotline's file as:

    retention: {recordings: 90 days, calls: 365 days}    # either may be left out: for ever

`recordings` are the files of what callers said, counted from their recording. `calls` are the
journal of a call and what else names its caller, counted from its end.

Serves TEL-2.5b.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ivr.document import BadFile, Map, Text, Value, bad, known_keys, problem

KEYS = ("recordings", "calls")
LONGEST = 36500
"""Days that can be written."""

_DAYS = re.compile(r"(\d{1,6})\s*days?")


@dataclass(frozen=True, slots=True)
class Rules:
    """One line's rules, in days; None is for ever."""

    recordings: int | None = None
    calls: int | None = None


def days(text: Value) -> int:
    """A time such as `90 days`, as a number of days. Raises BadFile."""
    match = _DAYS.fullmatch(text.strip()) if isinstance(text, Text) else None
    if match is None or not 1 <= int(match[1]) <= LONGEST:
        what = f"'{text}' is no time to keep something"
        raise bad(text, "F671", what, f"write e.g. 90 days, from 1 day to {LONGEST} days")
    return int(match[1])


def spoken(number: int | None) -> str:
    """A time as it is written: `90 days`, or `for ever`."""
    if number is None:
        return "for ever"
    return "1 day" if number == 1 else f"{number} days"


def parse(hotline: Map) -> Rules:
    """The rules of a line, from its key `retention`. Raises BadFile with every problem found."""
    at = hotline.get("retention", Map())
    if not isinstance(at, Map):
        fix = "write {recordings: 90 days, calls: 365 days}"
        raise BadFile([problem(at, "F103", "retention takes settings", fix)])
    problems = known_keys(at, KEYS)
    found: dict[str, int | None] = dict.fromkeys(KEYS)
    for key in KEYS:
        if key in at:
            try:
                found[key] = days(at[key])
            except BadFile as error:
                problems += error.problems
    recordings, calls = found["recordings"], found["calls"]
    if recordings is not None and calls is not None and recordings > calls:
        what = f"recordings are kept for {recordings} days, and their calls for {calls}"
        fix = f"a call is erased with its recordings: write {calls} days or less"
        problems.append(problem(at["recordings"], "F672", what, fix))
    if problems:
        raise BadFile(problems)
    return Rules(recordings, calls)
