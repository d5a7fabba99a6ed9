"""The rules of good manners as monitors: what a call did, marked clause by clause with evidence.

Rules this module keeps:

- Pure: the same monitors watch simulated calls, explored calls and the journal of real ones.
- Every rule that is watched stands here: those of every call (`ivr.manners`), of a wait
  (`ivr.manners_waiting`), of what happens with people (`ivr.manners_people`), of conversations
  (`ivr.manners_talk`), and of what is reported in them (`ivr.manners_reports`).
- The leg of an agent who is rung is a call too, with a rule of its own; none of a caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from ivr.actions import Action
from ivr.events import Event, Summoned
from ivr.flow import Line
from ivr.manners import (
    AskedBeforeGoodbye,
    AskedOnce,
    ConfirmedFirst,
    Goodbye,
    HeardOutFirst,
    KeptBeforePromised,
    Late,
    NothingToTheDead,
    Rings,
    Silences,
)
from ivr.manners_people import (
    AcceptedFirst,
    AfterTheTalk,
    Briefed,
    BriefingApart,
    NobodyLost,
    NoteFirst,
    Told,
    TransferConsent,
)
from ivr.manners_reports import Assured, Reported
from ivr.manners_talk import Brief, HoldInTheTalk, HoldLimit, Warned
from ivr.manners_waiting import Consent, Likely, SignsOfLife
from ivr.monitor import Mark, Monitor

MONITORS: tuple[type[Monitor], ...] = (
    Rings,
    Late,
    Silences,
    Consent,
    Likely,
    SignsOfLife,
    Goodbye,
    HeardOutFirst,
    KeptBeforePromised,
    AskedBeforeGoodbye,
    ConfirmedFirst,
    AskedOnce,
    NothingToTheDead,
    TransferConsent,
    Told,
    NoteFirst,
    AcceptedFirst,
    NobodyLost,
    AfterTheTalk,
    HoldInTheTalk,
    HoldLimit,
    Warned,
    Brief,
    BriefingApart,
    Reported,
    Assured,
)
"""Every rule that is watched over a caller's call."""

LEG_MONITORS: tuple[type[Monitor], ...] = (Briefed,)
"""Those that are watched over an agent's leg."""


def marks(
    line: Line, moments: Iterable[tuple[float, Event | Action]], slack: float = 0.0
) -> Iterator[Mark]:
    """The marks of one call, in order of time."""
    seen = list(moments)
    leg = bool(seen) and isinstance(seen[0][1], Summoned)
    monitors = [rule(line, slack) for rule in (LEG_MONITORS if leg else MONITORS)]
    for at, what in seen:
        kind: type = type(what)
        for place in _watching(kind, leg):
            monitors[place].see(at, what)
    last = seen[-1][0] if seen else 0.0
    for monitor in monitors:
        monitor.finish(last)
    yield from sorted((m for monitor in monitors for m in monitor.marks), key=lambda m: m.at)


@cache
def _watching(kind: type, leg: bool) -> tuple[int, ...]:
    """The places of the rules that watch this kind of event or action."""
    rules = LEG_MONITORS if leg else MONITORS
    return tuple(place for place, rule in enumerate(rules) if issubclass(kind, rule.watches))
