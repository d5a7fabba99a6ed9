"""What can be dialled on a stage: every number of every line, and what only tests dial.

Rules this module keeps:

- The lines are those that ship, made as `sansheng dialplan` makes them.
- What tests dial besides begins with a character that no number has (`*XXX*`, `#`), but for
  `people_first`, which is a number of the line's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ivr import dialplan, plan
from ivr.hotlines import Hotlines

PEOPLE_FIRST = "8"
"""Dialled before a number, it has people rung first."""


def people_first(number: str) -> str:
    """What to dial so that people are rung before the service."""
    return PEOPLE_FIRST + number


def late(number: str, rung: float) -> str:
    """What to dial so that a line has rung for so long (to a tenth of a second) when the
    service hears of the call."""
    return f"*{round(rung * 10):03d}*{number}" if rung else number


def lines(hotlines: Hotlines, people: Mapping[str, tuple[str, ...]]) -> Iterator[dialplan.Line]:
    """The dialplan's lines; `people` are rung first, by hotline, at their numbers for that."""
    for name, line in hotlines.lines.items():
        first = [number for number in line.numbers if number[0] == PEOPLE_FIRST]
        others = [number for number in line.numbers if number not in first]
        yield _line(hotlines, name, name, others)
        if first:
            yield _line(hotlines, f"{name}_people", name, first, people[name])


def _line(
    hotlines: Hotlines, name: str, hotline: str, numbers: Sequence[str], people: Sequence[str] = ()
) -> dialplan.Line:
    def path(prompt: str) -> str:
        first = hotlines.library.recorded(hotline, prompt)[0]
        assert first is not None
        return first

    return dialplan.Line(
        name,
        tuple(numbers),
        path("maintenance.line"),
        path("maintenance.leave_message"),
        path("maintenance.kept"),
        path("closing.goodbye"),
        people=tuple(people),
        features=() if people else plan.codes(hotlines.lines[hotline]),
        through=hotlines.callbacks[hotline].through,
        shows=hotlines.callbacks[hotline].shows,
    )


def extensions(hotlines: Hotlines) -> str:
    """What only tests dial: a line that has rung for a while before the service hears of it
    (`late`), and any FastAGI service on this machine by its port."""
    rows = ["", "[sansheng-lines]"]
    for name, line in hotlines.lines.items():
        for number in line.numbers:
            rows += [  # tenths of a second, then the number
                f"exten => _*XXX*{number},1,Set(SANSHENG_START=${{CDR(start,u)}})",
                " same => n,Ringing()",
                " same => n,Wait($[${EXTEN:1:3}/10])",
                f" same => n,Set(SANSHENG_NUMBER={number})",
                f" same => n,Goto(sansheng-line-{name},s,1)",
            ]
    rows += [
        "exten => _#X.,1,Set(TIMEOUT(absolute)=60)",
        " same => n,AGI(agi://127.0.0.1:${EXTEN:1}/call)",
        " same => n,Hangup()",
    ]
    return "\n".join(rows) + "\n"
