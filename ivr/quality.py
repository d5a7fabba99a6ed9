"""How well calls kept the rules (服务质量): each call marked from its own journal, and reports.

Rules this module keeps:

- A mark is given by the same monitors that watch simulated calls (`ivr.etiquette`), against the
  version of the line that the call began with, and always says why.
- It only reads. A call that is erased, or still up, is not marked; how many were not is told.
- What was said is counted in the words that the line has today.
- Everything here blocks.

Serves XJCA-QA, XJCA-4, XJCA-5g, EMS-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ivr import etiquette, files, line_compiler, replay, wording
from ivr.actions import Say
from ivr.codec import CodecError
from ivr.document import BadFile
from ivr.flow import Line
from ivr.journal import Entry
from ivr.monitor import Mark
from ivr.prompts import Library, SlotError
from ivr.redact import masked
from ivr.store import Call, Store

LATE = 0.5
"""Seconds that a real call may be late by before a rule about time is broken."""
BATCH = 500
"""Calls that are read at once."""
WEEK = timedelta(days=7)

Row = dict[str, Any]


class NotMarked(Exception):
    """A call cannot be marked; the message says why."""


@dataclass(frozen=True, slots=True)
class Marked:
    """One call with its marks, in order of time."""

    call: Call
    line: Line
    entries: Sequence[Entry]
    marks: tuple[Mark, ...]


@dataclass(slots=True)
class Report:
    """What many calls came to: a row for each day, line and rule; each broken mark with its
    evidence; and how many calls were marked, and were not."""

    rows: list[Row] = field(default_factory=list)
    broken: list[Row] = field(default_factory=list)
    marked: int = 0
    unmarked: int = 0


class Marker:
    """Marks the calls of one database; lines are compiled once a version."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, Line] = {}

    def mark(self, call: Call) -> Marked:
        """One call that is over. Raises NotMarked, StorageFailed."""
        if call.ended_at is None:
            raise NotMarked(f"the call {call.id} is up: it is marked when it is over")
        try:
            entries = replay.entries(self._store, call.id)
            line = self._line(call.version or "")
        except (CodecError, KeyError, BadFile) as error:
            why = f"the call {call.id} cannot be read by this version of the program"
            raise NotMarked(f"{why} ({error})") from error
        if not entries:
            raise NotMarked(f"there is no journal of the call {call.id}: was it erased?")
        moments = ((entry.at_ms / 1000, entry.what) for entry in entries)
        return Marked(call, line, entries, tuple(etiquette.marks(line, moments, LATE)))

    def _line(self, version: str) -> Line:
        if version not in self._lines:
            self._lines[version] = line_compiler.from_body(self._store.version(version))
        return self._lines[version]


def of_call(store: Store, call: str) -> Marked:
    """The marks of one call. Raises NotMarked, StorageFailed."""
    try:
        row = replay.call(store, call)
    except KeyError:
        raise NotMarked(f"there is no call {call}: `sansheng calls` lists them") from None
    return Marker(store).mark(row)


def rows(marked: Marked) -> list[Row]:
    """Each mark of a call, those that were broken first."""
    return [
        {
            "kept": mark.kept,
            "clauses": list(mark.clauses),
            "at": round(mark.at, 3),
            "evidence": masked(mark.evidence),
        }
        for mark in sorted(marked.marks, key=lambda mark: (mark.kept, mark.at))
    ]


def courtesies(marked: Marked, root: Path) -> dict[str, int]:
    """The courtesies that the caller has heard, and how often (XJCA-4, EMS-1). Raises BadFile."""
    library = Library.load(root)
    paths = sorted(root.glob("prompts/rules/*.yaml"))
    rules = wording.read(files.read(path, root) for path in paths)
    return wording.courtesies(_said(library, marked), rules)


def _said(library: Library, marked: Marked) -> Iterator[str]:
    for entry in marked.entries:
        if isinstance(entry.what, Say):
            try:
                yield library.text(marked.call.hotline, entry.what.prompt, dict(entry.what.slots))
            except (KeyError, SlotError):
                continue  # a text of an earlier version


# ---------------------------------------------------------------- many calls


def report(
    store: Store,
    hotline: str | None,
    since: datetime,
    until: datetime,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Report:
    """The calls offered in this time (`until` is left out), by day of the line's calendar, line
    and rule; a call takes some 3 ms, and how far it is it tells. Raises StorageFailed."""
    told, marker = Report(), Marker(store)
    sums: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for number, call in enumerate(_calls(store, hotline, since, until)):
        if number % BATCH == 0:
            tell(f"{number} calls marked, back to {call.offered_at:%Y-%m-%d %H:%M} UTC")
        try:
            marked = marker.mark(call)
        except NotMarked:
            told.unmarked += 1
            continue
        told.marked += 1
        day = call.offered_at.astimezone(ZoneInfo(marked.line.zone)).date().isoformat()
        for mark in marked.marks:
            rule = tuple(sorted(mark.clauses))  # two monitors may keep the same clauses
            kept = sums.setdefault((day, call.hotline, rule), [0, 0])
            kept[0 if mark.kept else 1] += 1
        told.broken += [
            {"call": call.id, "line": call.hotline, "day": day, **row}
            for row in rows(marked)
            if not row["kept"]
        ]
    told.rows = [
        {
            "day": day,
            "line": line,
            "clauses": list(clauses),
            "occasions": kept + broken,
            "kept": kept,
            "broken": broken,
            "percent": round(100 * kept / (kept + broken), 1),
        }
        for (day, line, clauses), (kept, broken) in sorted(sums.items())
    ]
    return told


def _calls(store: Store, hotline: str | None, since: datetime, until: datetime) -> Iterable[Call]:
    """Callers' calls of this time, the latest first, a batch at a time."""
    seen: set[str] = set()
    while True:
        found = replay.calls(store, hotline=hotline, since=since, until=until, limit=BATCH)
        new = [call for call in found if call.id not in seen]
        yield from new
        if len(found) < BATCH or not new:
            return
        seen = {call.id for call in found}
        # those of the same moment come again, and are known
        until = found[-1].offered_at + timedelta(microseconds=1)


def days(first: str, last: str, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """From the beginning of a day to the end of another, both `2026-11-23`, in UTC; without any,
    the last seven days. Raises ValueError for what is no day."""
    today = now.astimezone(zone).date()
    end = date.fromisoformat(last) if last else date.fromisoformat(first) if first else today
    try:
        begin = date.fromisoformat(first) if first else end - WEEK + timedelta(days=1)
        at = [datetime.combine(one, time(0), zone) for one in (begin, end + timedelta(days=1))]
        times = at[0].astimezone(UTC), at[1].astimezone(UTC)
    except OverflowError:
        raise ValueError(f"there is no calendar around {end}") from None
    if begin > end:
        raise ValueError(f"{begin} is after {end}")
    return times
