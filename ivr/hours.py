"""When people of a line are at work, and when a promise falls due.

Rules this module keeps:

- Pure: the time comes in as an aware datetime. All reckoning is done in the line's own IANA
  zone; differences are real elapsed time, so that a day on which clocks change is right.
- A range belongs to the day on which it begins, also when it ends after midnight: whether that
  day is a holiday decides for all of it.
- Chinese public holidays are closed and working weekends open (with Monday's hours), by
  chinesecalendar. That package knows whole years only as far as the government has announced
  them. Beyond, days count as Monday to Friday at work and the days that the law itself
  fixes (1 January, 1-2 May, 1-3 October) as closed, and `warning` says so for `doctor`.
- A local time that does not exist (spring) is as much later as the clock jumps: 02:30 is 03:30.
  Of a time that exists twice (autumn) a range begins the first time and ends the second.

Written in a hotline's file as:

    hours:
      open: {mon-fri: "08:30-17:00", sat: ["09:00-12:00", "13:00-16:00"], sun: "22:00-06:00"}
      work: {mon-fri: "09:00-17:00"}      # the hours promises are counted in; default: `open`
      holidays: cn                        # or none
      closed: ["2026-12-24"]              # days of our own
      working: ["2026-12-26"]             # days on which we work all the same

`open: always` is a line without hours, and has no holidays unless they are asked for.

Serves CCB-1, EMS-10, LKL-5.4, LKL-5.9, XJCA-6.2e.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import chinese_calendar

from ivr.document import BadFile, Map, Problem, Seq, Text, Value, bad, known_keys

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FIXED_BY_LAW = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})
"""(month, day) of Chinese public holidays that need no yearly announcement."""

KNOWN = (min(chinese_calendar.holidays).year, max(chinese_calendar.holidays).year)
"""First and last year whose holidays chinesecalendar knows."""

FARTHEST = 400
"""Days to look ahead for working time; more would mean a line that never works."""

Ranges = tuple[tuple[time, time], ...]
"""Opening and closing times of one weekday; an end at or before the begin is the next day's."""

ALL_DAY: Ranges = ((time(0), time(0)),)
WEEK = Mapping[int, Ranges]
ALWAYS: WEEK = dict.fromkeys(range(7), ALL_DAY)
OFFICE: WEEK = {day: ((time(9), time(17)),) for day in range(5)}
"""The working hours of a line that is always open and says nothing else: promises in working
time mean people."""


@dataclass(frozen=True, slots=True)
class Within:
    """A promised time: `24 h`, `30 min`, `2 days`, `2 working hours`, `3 working days`."""

    amount: int
    unit: str
    working: bool

    @classmethod
    def read(cls, text: str) -> Within:
        """Raises BadFile, with the text's place if it has one."""
        match = _WITHIN.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None or not int(match[1]):
            raise bad(
                text,
                "F601",
                f"'{text}' is no promised time",
                "write e.g. 24 h, 30 min, 2 days, 2 working hours or 3 working days",
            )
        unit = match[3].rstrip("s")
        unit = {"h": "hour", "minute": "min"}.get(unit, unit)
        if match[2] and unit == "min":
            raise bad(text, "F601", f"'{text}' is no promised time", "use working hours")
        return cls(int(match[1]), unit, bool(match[2]))


_WITHIN = re.compile(r"(\d{1,3})\s*(working\s+)?(min|minutes?|h|hours?|days?)")
_NUMERALS = "零一两三四五六七八九十"


def spoken(within: str) -> str:
    """A promised time as it is said in Chinese: `24小时`, `两个工作小时`, `三个工作日`. Raises
    BadFile."""
    promise = Within.read(within)
    short = promise.amount < len(_NUMERALS)
    number = _NUMERALS[promise.amount] if short else str(promise.amount)
    names = {
        ("min", False): "分钟",
        ("hour", False): "小时",
        ("day", False): "天",
        ("hour", True): "个工作小时",
        ("day", True): "个工作日",
    }
    return number + names[promise.unit, promise.working]


@dataclass(frozen=True, slots=True)
class Hours:
    """One line's hours. Made by `parse`; the default is a line that is always open."""

    zone: ZoneInfo
    open: WEEK = field(default_factory=lambda: ALWAYS)
    work: WEEK = field(default_factory=lambda: OFFICE)
    holidays: bool = False
    work_holidays: bool = True
    closed: frozenset[date] = frozenset()
    working: frozenset[date] = frozenset()

    def is_open(self, at: datetime) -> bool:
        """Whether people of the line are at work at this moment."""
        return self._within(self.open, self.holidays, at)

    def due(self, at: datetime, within: str) -> datetime:
        """When a promise made at this moment falls due, in UTC.

        `24 h` and `30 min` are elapsed time; `2 days` is the same local time two days on;
        `2 working hours` counts only working time; `3 working days` is the close of work on the
        third working day after the day of the call. Raises BadFile for a text that is no promise.
        """
        promise = Within.read(within)
        if not promise.working:
            if promise.unit == "day":
                local = at.astimezone(self.zone) + timedelta(days=promise.amount)
                return local.astimezone(UTC)
            unit = {"min": timedelta(minutes=1), "hour": timedelta(hours=1)}[promise.unit]
            return at.astimezone(UTC) + promise.amount * unit
        if promise.unit == "hour":
            return self._after_work(at, timedelta(hours=promise.amount))
        return self._after_days(at, promise.amount)

    def known_until(self) -> date | None:
        """The last day whose holidays are known; None where none are kept."""
        return date(KNOWN[1], 12, 31) if self.holidays or self.work_holidays else None

    def warning(self, at: datetime) -> str:
        """What `doctor` says when promises may soon reach days whose holidays are not known; empty
        if all is well. It looks 31 days ahead."""
        last = self.known_until()
        if last is None or at.astimezone(self.zone).date() + timedelta(days=31) <= last:
            return ""
        return (
            f"public holidays are known until {last}; after that only Monday to Friday and the "
            "fixed holidays are kept: update the package chinesecalendar, or list the days under "
            "hours: closed and working"
        )

    # ---- reckoning

    def _within(self, week: WEEK, holidays: bool, at: datetime) -> bool:
        today = at.astimezone(self.zone).date()
        return any(
            begin <= at < end
            for day in (today, today - timedelta(days=1))  # nights begin on the day before
            for begin, end in self._ranges(week, holidays, day)
        )

    def _ranges(self, week: WEEK, holidays: bool, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The ranges that begin on this day, as moments in UTC."""
        for begin, end in week.get(self._weekday(holidays, day), ()):
            last = day if end > begin else day + timedelta(days=1)
            ends = (datetime.combine(last, end.replace(fold=n), self.zone) for n in (0, 1))
            yield (
                datetime.combine(day, begin, self.zone).astimezone(UTC),
                max(one.astimezone(UTC) for one in ends),
            )

    def _weekday(self, holidays: bool, day: date) -> int:
        """The weekday whose hours count on this day; -1 for none."""
        if day in self.closed:
            return -1
        weekday = day.weekday()
        if day in self.working:
            return weekday if weekday < 5 else 0
        if not holidays:
            return weekday
        if not KNOWN[0] <= day.year <= KNOWN[1]:
            return -1 if (day.month, day.day) in FIXED_BY_LAW else weekday
        if chinese_calendar.is_workday(day):
            return weekday if weekday < 5 else 0
        # an ordinary weekend keeps its own hours; a public holiday has none
        return -1 if chinese_calendar.get_holiday_detail(day)[1] else weekday

    def _days(self, at: datetime) -> Iterator[date]:
        first = at.astimezone(self.zone).date() - timedelta(days=1)
        for ahead in range(FARTHEST):
            yield first + timedelta(days=ahead)

    def _after_work(self, at: datetime, left: timedelta) -> datetime:
        at = at.astimezone(UTC)
        for day in self._days(at):
            for begin, end in self._ranges(self.work, self.work_holidays, day):
                begin = max(begin, at)
                if end - begin >= left:
                    return begin + left
                if end > begin:
                    left -= end - begin
                    at = end  # ranges of one line may overlap; no minute counts twice
        raise ValueError(f"there is not enough working time in {FARTHEST} days")

    def _after_days(self, at: datetime, count: int) -> datetime:
        today = at.astimezone(self.zone).date()
        for day in self._days(at):
            ranges = list(self._ranges(self.work, self.work_holidays, day))
            if day <= today or not ranges:
                continue
            count -= 1
            if not count:
                return max(end for _, end in ranges)
        raise ValueError(f"there are not enough working days in {FARTHEST} days")


# ---------------------------------------------------------------- reading a hotline's file


def parse(hotline: Map) -> Hours:
    """The hours of a line, from its keys `zone` and `hours`; its `promises` are read as well, so
    that no call is the first to find a mistake in them. Raises BadFile."""
    problems: list[Problem] = []
    try:
        local = zone(hotline)
    except BadFile as error:
        problems += error.problems
        local = ZoneInfo("UTC")
    promises = hotline.get("promises", Map())
    for within in promises.values() if isinstance(promises, Map) else ():
        try:
            Within.read(within)
        except BadFile as error:
            problems += error.problems
    at = hotline.get("hours", Map())
    if not isinstance(at, Map):
        raise bad(at, "F103", "hours take settings", 'write {open: {mon-fri: "08:30-17:00"}}')
    problems += known_keys(at, ("open", "work", "holidays", "closed", "working"))
    always, told = at.get("open", "always") == "always", len(problems)
    open_ = ALWAYS if always else _week(at["open"], problems)
    work = _week(at["work"], problems) if "work" in at else OFFICE if always else open_
    if not any(work.values()) and len(problems) == told:  # else it is their mistake, and told
        what = "a line without working hours can promise nothing"
        problems += bad(at.get("work", at), "F602", what, "add hours").problems
    kept = at.get("holidays", "none" if always else "cn")
    if kept not in ("cn", "none"):
        problems += bad(kept, "F602", f"'{kept}' is no calendar", "write cn or none").problems
    closed, working = _dates(at, "closed", problems), _dates(at, "working", problems)
    if problems:
        raise BadFile(problems)
    return Hours(
        local,
        open_,
        work,
        holidays=kept == "cn",
        work_holidays=kept == "cn" or (always and "holidays" not in at),
        closed=closed,
        working=working,
    )


def zone(hotline: Map) -> ZoneInfo:
    """The time zone of a line. Raises BadFile."""
    name = hotline.get("zone", "Asia/Shanghai")
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fix = "write a name such as Asia/Shanghai"
        raise bad(name, "F603", f"there is no time zone '{name}'", fix) from None


def _week(at: Value, problems: list[Problem]) -> WEEK:
    if not isinstance(at, Map):
        fix = 'write {mon-fri: "08:30-17:00"} or always'
        problems += bad(at, "F103", "opening hours take days", fix).problems
        return {}
    week: dict[int, Ranges] = {}
    for days, ranges in at.items():
        several = ranges if isinstance(ranges, Seq) else [ranges]
        read = tuple(one for text in several if (one := _range(text, problems)) is not None)
        for day in _weekdays(days, problems):
            if day in week:
                what = f"{DAYS[day]} has its hours twice"
                problems += bad(days, "F602", what, "write a list of ranges").problems
            week[day] = tuple(sorted(read))
    return week


def _weekdays(text: str, problems: list[Problem]) -> range | tuple[()]:
    first, _, last = text.partition("-")
    last = last or first
    if first in DAYS and last in DAYS and DAYS.index(first) <= DAYS.index(last):
        return range(DAYS.index(first), DAYS.index(last) + 1)
    fix = f"use {', '.join(DAYS)} or a span such as mon-fri"
    problems += bad(text, "F602", f"'{text}' are no weekdays", fix).problems
    return ()


_RANGE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")


def _range(text: Value, problems: list[Problem]) -> tuple[time, time] | None:
    match = _RANGE.fullmatch(text) if isinstance(text, Text) else None
    if match is None or (match[3] == "24" and match[4] != "00"):
        what = f"'{text}' is no span of time"
        problems += bad(text, "F602", what, 'write e.g. "08:30-17:00"').problems
        return None
    return time(int(match[1]), int(match[2])), time(int(match[3]) % 24, int(match[4]))


def _dates(at: Map, key: str, problems: list[Problem]) -> frozenset[date]:
    days = set()
    for text in at.get(key, ()):
        try:
            days.add(date.fromisoformat(str(text)))
        except ValueError:
            fix = 'write e.g. "2026-12-24"'
            problems += bad(text, "F602", f"'{text}' is no date", fix).problems
    return frozenset(days)
