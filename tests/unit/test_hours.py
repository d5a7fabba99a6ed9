"""Opening hours and promises, on the days on which they go wrong elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr import hours
from ivr.document import BadFile
from ivr.files import parse
from ivr.hours import Hours, spoken

BEIJING = ZoneInfo("Asia/Shanghai")
BANK = """
open: {mon-fri: "08:30-17:00"}
"""


def line(text: str, zone: str = "Asia/Shanghai") -> Hours:
    body = "".join(f"  {row}\n" for row in text.strip().splitlines())
    return hours.parse(parse(f"zone: {zone}\nhours:\n{body}", "line.yaml"))


def at(text: str, zone: ZoneInfo = BEIJING, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def due(of: Hours, moment: str, within: str, zone: ZoneInfo = BEIJING) -> str:
    return of.due(at(moment, zone), within).astimezone(zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-23 08:29:59", False),
        ("2026-11-23 08:30:00", True),
        ("2026-11-23 16:59:59", True),
        ("2026-11-23 17:00:00", False),
        ("2026-11-22 12:00", False),  # an ordinary Sunday
        ("2026-10-01 12:00", False),  # National Day, a Thursday
        ("2026-10-10 12:00", True),  # a Saturday on which everybody works
        ("2026-02-14 12:00", True),  # another one
        ("2026-02-16 12:00", False),  # Spring Festival, a Monday
    ],
)
def test_the_bank_is_open_as_its_rules_say(moment: str, is_open: bool) -> None:
    assert line(BANK).is_open(at(moment)) is is_open


def test_the_same_moment_in_another_zone_is_the_same_moment() -> None:
    assert line(BANK).is_open(datetime(2026, 11, 23, 0, 30, tzinfo=UTC))
    assert not line(BANK).is_open(datetime(2026, 11, 23, 9, 0, tzinfo=UTC))


def test_days_of_our_own_count_before_all_others() -> None:
    own = line(BANK + 'closed: ["2026-11-23"]\nworking: ["2026-11-22", "2026-10-02"]')
    assert not own.is_open(at("2026-11-23 12:00"))
    assert own.is_open(at("2026-11-22 12:00"))
    assert own.is_open(at("2026-10-02 12:00"))


def test_a_line_may_keep_no_holidays() -> None:
    assert line(BANK + "holidays: none").is_open(at("2026-10-01 12:00"))


def test_a_range_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    night = line('open: {mon-thu: "22:00-06:00"}')
    assert night.is_open(at("2026-11-24 05:59"))
    assert not night.is_open(at("2026-11-24 06:00"))
    assert not night.is_open(at("2026-11-23 05:00"))  # Sunday night is not ours
    assert night.is_open(at("2026-11-27 05:00"))  # Thursday's night, on Friday
    # 30 September's night runs into the holiday; 1 October has no night of its own
    assert night.is_open(at("2026-10-01 03:00"))
    assert not night.is_open(at("2026-10-01 23:00"))


def test_nobody_is_there_over_lunch_and_somebody_is_until_midnight() -> None:
    split = line('open: {mon-fri: ["09:00-12:00", "13:00-24:00"]}')
    assert not split.is_open(at("2026-11-23 12:30"))
    assert split.is_open(at("2026-11-23 23:59"))
    assert not split.is_open(at("2026-11-24 00:00"))


def test_a_line_without_hours_is_always_open_and_still_promises_working_time() -> None:
    always = hours.parse(parse("hotline: ems", "line.yaml"))
    assert always.is_open(at("2026-10-01 03:00"))
    assert due(always, "2026-11-20 16:30", "2 working hours") == "2026-11-23 10:30"
    assert due(always, "2026-09-30 12:00", "1 working day") == "2026-10-08 17:00"


@pytest.mark.parametrize(
    ("moment", "within", "expected"),
    [
        ("2026-11-20 16:30", "24 h", "2026-11-21 16:30"),
        ("2026-11-20 16:30", "30 min", "2026-11-20 17:00"),
        ("2026-11-20 16:30", "2 days", "2026-11-22 16:30"),
        ("2026-11-20 16:30", "2 working hours", "2026-11-23 10:00"),
        ("2026-11-20 15:00", "2 working hours", "2026-11-20 17:00"),
        ("2026-11-22 12:00", "1 working hour", "2026-11-23 09:30"),
        ("2026-11-23 03:00", "1 working hour", "2026-11-23 09:30"),
        ("2026-11-20 16:30", "20 working hours", "2026-11-25 11:00"),
        ("2026-11-20 16:30", "3 working days", "2026-11-25 17:00"),
        ("2026-11-21 16:30", "1 working day", "2026-11-23 17:00"),
        ("2026-09-30 16:30", "2 working hours", "2026-10-08 10:00"),
        ("2026-09-30 16:30", "3 working days", "2026-10-10 17:00"),  # a working Saturday counts
    ],
)
def test_a_promise_falls_due_when_it_says(moment: str, within: str, expected: str) -> None:
    assert due(line(BANK), moment, within) == expected


def test_ranges_that_overlap_count_no_minute_twice() -> None:
    double = line('open: {mon-fri: ["09:00-12:00", "10:00-13:00"]}')
    assert due(double, "2026-11-23 09:00", "4 working hours") == "2026-11-23 13:00"


NEW_YORK = ZoneInfo("America/New_York")


def test_when_clocks_go_forward_an_hour_of_the_night_is_missing() -> None:
    night = line('open: {sat: "22:00-06:00"}\nholidays: none', "America/New_York")
    # 2026-03-08 02:00 -> 03:00: the night has seven hours
    assert due(night, "2026-03-07 22:00", "7 working hours", NEW_YORK) == "2026-03-08 06:00"
    assert due(night, "2026-03-07 22:00", "24 h", NEW_YORK) == "2026-03-08 23:00"
    assert due(night, "2026-03-07 22:00", "1 day", NEW_YORK) == "2026-03-08 22:00"
    early = line('open: {sun: "02:30-05:00"}\nholidays: none', "America/New_York")
    assert not early.is_open(at("2026-03-08 03:29", NEW_YORK))
    assert early.is_open(at("2026-03-08 03:30", NEW_YORK))
    late = line('open: {sun: "01:00-02:30"}\nholidays: none', "America/New_York")
    assert late.is_open(at("2026-03-08 03:29", NEW_YORK))
    assert not late.is_open(at("2026-03-08 03:30", NEW_YORK))


def test_when_clocks_go_back_an_hour_of_the_night_comes_twice() -> None:
    night = line('open: {sat: "22:00-06:00"}\nholidays: none', "America/New_York")
    # 2026-11-01 02:00 -> 01:00: the night has nine hours
    assert due(night, "2026-10-31 22:00", "9 working hours", NEW_YORK) == "2026-11-01 06:00"
    assert due(night, "2026-10-31 22:00", "24 h", NEW_YORK) == "2026-11-01 21:00"
    twice = line('open: {sun: "00:00-01:30"}\nholidays: none', "America/New_York")
    assert twice.is_open(at("2026-11-01 01:29", NEW_YORK, fold=0))
    assert twice.is_open(at("2026-11-01 01:29", NEW_YORK, fold=1))
    assert not twice.is_open(at("2026-11-01 01:30", NEW_YORK, fold=1))


def test_beyond_the_years_that_are_known_weekdays_and_fixed_holidays_are_kept_and_it_is_told() -> (
    None
):
    bank, unknown = line(BANK), hours.KNOWN[1] + 1
    assert not bank.is_open(at(f"{unknown}-01-01 12:00"))
    monday = next(
        day
        for day in (at(f"{unknown}-06-01 12:00") + timedelta(days=n) for n in range(7))
        if day.weekday() == 0
    )
    assert bank.is_open(monday)
    assert not bank.is_open(monday - timedelta(days=1))
    assert bank.warning(at(f"{hours.KNOWN[1]}-11-20 12:00")) == ""
    assert "update the package chinesecalendar" in bank.warning(at(f"{hours.KNOWN[1]}-12-20 12:00"))
    assert line(BANK + "holidays: none").warning(at(f"{unknown}-06-01 12:00")) == ""


@pytest.mark.parametrize(
    ("within", "text"),
    [
        ("24 h", "24小时"),
        ("2 h", "两小时"),
        ("30 min", "30分钟"),
        ("1 day", "一天"),
        ("2 working hours", "两个工作小时"),
        ("3 working days", "三个工作日"),
        ("15 working days", "15个工作日"),
    ],
)
def test_a_promise_is_spoken_as_people_say_it(within: str, text: str) -> None:
    assert spoken(within) == text


@pytest.mark.parametrize("text", ["", "soon", "0 h", "2 working min", "24", "1000 days", "-1 h"])
def test_what_is_no_promise_is_told(text: str) -> None:
    with pytest.raises(BadFile, match="is no promised time"):
        spoken(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('opens: {mon: "08:00-09:00"}', "did you mean 'open'"),
        ('open: {monday: "08:00-09:00"}', "line.yaml:3 F602 'monday' are no weekdays"),
        ('open: {fri-mon: "08:00-09:00"}', "are no weekdays"),
        ('open: {mon: "8-9"}', "line.yaml:3 F602 '8-9' is no span of time"),
        ('open: {mon: "08:00-24:30"}', "is no span of time"),
        ('open: {mon-fri: "08:00-09:00", tue: "10:00-11:00"}', "tue has its hours twice"),
        ("open: {}", "can promise nothing"),
        ("open: nine", "opening hours take days"),
        ("holidays: de", "'de' is no calendar"),
        ('closed: ["24.12.2026"]', "line.yaml:3 F602 '24.12.2026' is no date"),
    ],
)
def test_a_mistake_in_the_hours_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(BadFile) as told:
        line(text)
    assert sentence in str(told.value)


def test_one_mistake_is_told_once() -> None:
    with pytest.raises(BadFile) as told:
        line('open: {mon: "25:00-09:00"}')
    assert len(told.value.problems) == 1


def test_an_unknown_zone_is_told() -> None:
    with pytest.raises(BadFile, match="there is no time zone 'Asia/Beijing'"):
        line(BANK, "Asia/Beijing")


MOMENTS = st.datetimes(
    at("2024-01-01").replace(tzinfo=None),
    at("2028-01-01").replace(tzinfo=None),
    timezones=st.just(BEIJING),
)


@given(MOMENTS, st.integers(1, 40))
def test_working_time_never_falls_due_outside_working_time(moment: datetime, amount: int) -> None:
    bank = line(BANK)
    end = bank.due(moment, f"{amount} working hours")
    assert end > moment
    assert bank.is_open(end - timedelta(seconds=1))
    assert bank.due(moment, f"{amount + 1} working hours") > end
    assert not bank.is_open(bank.due(moment, f"{amount} working days"))
