"""Rehearses scenarios at core level: which line, which caller, which world, and what came of it.

Rules this module keeps:

- The world of a scenario that gives none is an ordinary working day: everybody is at work, and
  the caller's number is withheld.
- Where a world expects its lookups to take otherwise than the line's settings say, the line is
  compiled anew with that; nothing else of it changes.
- What a scenario file holds is compared with what happened, and every difference is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from ivr import line_compiler, simulate
from ivr.etiquette import marks
from ivr.events import Offered
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.monitor import Mark
from ivr.scenario import Scenario
from ivr.simulate import Outcome

WORKDAY = datetime(2026, 11, 23, 10, 0)  # noqa: DTZ001 - local time of whichever line
"""An ordinary Monday morning."""


def line_of(scenario: Scenario, hotlines: Hotlines) -> tuple[Line, str]:
    """The line a scenario calls, and the number dialled. Raises KeyError."""
    line = hotlines.lines[scenario.hotline]
    return line, scenario.number or next(iter(line.numbers))


def expecting(hotline: str, expected: float | None, hotlines: Hotlines) -> Hotlines:
    """The lines, but one that expects all its lookups to take so many seconds (None: no change).
    Raises KeyError."""
    if expected is None:
        return hotlines
    text, line = _expecting(hotlines.bodies[hotline], expected)
    return replace(
        hotlines,
        lines={**hotlines.lines, hotline: line},
        numbers={**hotlines.numbers, **dict.fromkeys(line.numbers, line)},
        bodies={**hotlines.bodies, hotline: text},
    )


@lru_cache(maxsize=32)
def _expecting(stored: str, expected: float) -> tuple[str, Line]:
    """The stored version of a line and the line itself, changed in that alone."""
    body = json.loads(stored)
    for lookup in body["hotline"]["lookups"].values():
        lookup["expected"] = f"{expected:g} s"
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text, line_compiler.from_body(text)


def expected(scenario: Scenario) -> float | None:
    """How long the lookups of a scenario's world are expected to take, if it says so."""
    return scenario.world.lookup.expected if scenario.world.lookup else None


def begins_at(scenario: Scenario, line: Line) -> datetime:
    """When the call of a scenario begins, in UTC."""
    local = scenario.world.time or WORKDAY
    return local.replace(tzinfo=ZoneInfo(line.zone)).astimezone(UTC)


def offered(scenario: Scenario, hotlines: Hotlines) -> Offered:
    """The first event of a scenario's call."""
    line, number = line_of(scenario, hotlines)
    world = scenario.world
    at = begins_at(scenario, line)
    return hotlines.offered(
        line, number, world.caller, world.rung, at, world.maintenance, world.known
    )


def rehearse(scenario: Scenario, hotlines: Hotlines) -> Outcome:
    """Run one scenario at core level."""
    hotlines = expecting(scenario.hotline, expected(scenario), hotlines)
    line, _ = line_of(scenario, hotlines)

    def seconds(prompt: str, slots: object) -> float:
        return hotlines.library.seconds(line.name, prompt, slots)  # type: ignore[arg-type]

    return simulate.run(scenario, line, seconds, offered(scenario, hotlines))


def broken(outcome: Outcome, line: Line, slack: float = 0.0) -> list[Mark]:
    """The rules that a call broke."""
    moments = ((moment.at, moment.what) for moment in outcome.moments)
    return [mark for mark in marks(line, moments, slack) if not mark.kept]


def differences(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    """What a scenario's file says otherwise than what happened, in words."""
    if scenario.hears is not None and scenario.hears != outcome.hears:
        yield f"hears {', '.join(outcome.hears)} instead of {', '.join(scenario.hears)}"
    for key, value in scenario.record or ():
        got = outcome.record.get(key, "")
        if got != value:
            yield f"the record says {key}: {got or 'nothing'} instead of {value}"
    if scenario.ends is not None and scenario.ends != outcome.ends:
        yield f"the call was ended by {outcome.ends} instead of {scenario.ends}"
    if scenario.hears is None or scenario.ends is None:
        yield "the file has no golden values yet; run with --update"
