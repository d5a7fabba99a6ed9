"""Calls marked from their own journals, and what is reported of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from journalled import entries
from migrated import new
from typed import Sansheng, on

from ivr import quality, rehearsal, scenario_file, wording
from ivr.document import Map
from ivr.files import parse
from ivr.hotlines import Hotlines
from ivr.journal_writer import write
from ivr.store import Call, Store, Version, write_rows

SCENARIOS = Path(__file__).parents[1] / "scenarios"
NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = new(tmp_path / "x.db")
    yield opened
    opened.close()


@pytest.fixture
def happened(lines: Hotlines, store: Store):
    """A call that went as this scenario goes."""

    def happened(name: str, scenario: str, at: datetime = NOON, up: bool = False) -> Call:
        one = scenario_file.read(SCENARIOS / f"{scenario}.yaml")
        outcome, line = rehearsal.rehearse(one, lines), lines.lines[one.hotline]
        call = Call(name, "pbx", name, line.name, "1001", "13800138000", at, version=line.version)
        call = call if up else replace(call, ended_at=at + timedelta(minutes=3))
        version = Version(line.version, line.name, lines.bodies[line.name], at)
        with store.write() as connection:
            write(connection, [version, call, *entries(outcome, name)])
        return call

    return happened


def clauses(rows: list[quality.Row]) -> set[str]:
    return {clause for row in rows for clause in row["clauses"]}


def test_a_call_is_marked_by_the_rules_that_it_had_occasion_for(happened, store):
    happened("c1", "xjca-hold-in-a-conversation")
    rows = quality.rows(quality.of_call(store, "c1"))
    assert all(row["kept"] and row["evidence"] for row in rows)
    assert {"XJCA-6.3a", "EMS-9", "XJCA-5a", "XJCA-6.5a", "XJCA-5g"} <= clauses(rows)


def test_what_was_broken_comes_first_with_its_evidence(happened, store):
    happened("c1", "xjca-talks-for-too-long")
    first, *rest = quality.rows(quality.of_call(store, "c1"))
    assert (first["kept"], first["clauses"]) == (False, ["XJCA-5g"])
    assert first["evidence"] == "talked for 960 s, 900 are usual at most"
    assert all(row["kept"] for row in rest)


def test_the_courtesies_that_a_caller_heard_are_counted(happened, store, root):
    happened("c1", "xjca-hold-in-a-conversation")
    heard = quality.courtesies(quality.of_call(store, "c1"), root)
    assert heard["您好"] >= 2
    assert {"请", "谢谢", "再见"} <= heard.keys()
    assert "不客气" not in heard


def test_the_words_that_count_are_data():
    rules = wording.read(
        [parse("courtesies:\n  - {word: 谢谢, forms: [谢谢, 感谢]}\n  - {word: 请}\n", "x.yaml")]
    )
    assert wording.courtesies(["谢谢您。", "感谢来电。"], rules) == {"谢谢": 2}
    assert wording.courtesies([], rules) == {}
    assert isinstance(rules.courtesies[0], Map)


def test_a_report_has_a_row_for_each_day_line_and_rule(happened, store):
    happened("c1", "xjca-hold-in-a-conversation")
    happened("c2", "xjca-hold-in-a-conversation")
    happened("c3", "xjca-talks-for-too-long", NOON + DAY)
    happened("c4", "lakala-asks-a-superior")
    told = quality.report(store, None, NOON - DAY, NOON + 2 * DAY)
    assert (told.marked, told.unmarked) == (4, 0)
    talks = [row for row in told.rows if row["clauses"] == ["XJCA-5g"]]
    assert [(row["day"], row["line"], row["kept"], row["broken"]) for row in talks] == [
        ("2026-11-23", "lakala", 1, 0),
        ("2026-11-23", "xjca", 2, 0),
        ("2026-11-24", "xjca", 0, 1),
    ]
    assert [row["percent"] for row in talks] == [100.0, 100.0, 0.0]
    assert [(row["call"], row["clauses"]) for row in told.broken] == [("c3", ["XJCA-5g"])]


def test_a_report_may_be_of_one_line_and_of_some_days(happened, store, monkeypatch):
    monkeypatch.setattr(quality, "BATCH", 2)
    for number in range(5):
        happened(f"c{number}", "xjca-silent", NOON + number * timedelta(minutes=1))
    happened("c9", "xjca-silent", NOON + DAY)
    happened("c8", "lakala-silent")
    told = quality.report(store, "xjca", NOON, NOON + DAY)
    assert told.marked == 5
    assert {row["line"] for row in told.rows} == {"xjca"}


def test_a_call_that_is_up_or_erased_is_not_marked_and_that_is_told(happened, store):
    happened("c1", "xjca-silent", up=True)
    with store.write() as connection:
        gone = Call("c2", "pbx", "c2", "xjca", "1001", "", NOON, ended_at=NOON)
        write_rows(connection, Call, [gone])
    assert quality.report(store, None, NOON - DAY, NOON + DAY).unmarked == 2
    for call, why in (("c1", "is up"), ("c2", "cannot be read"), ("c3", "there is no call")):
        with pytest.raises(quality.NotMarked, match=why):
            quality.of_call(store, call)


@pytest.mark.parametrize(
    ("first", "last", "begin", "end"),
    [
        ("", "", "2026-11-16T16:00", "2026-11-23T16:00"),
        ("2026-11-20", "", "2026-11-19T16:00", "2026-11-20T16:00"),
        ("2026-11-20", "2026-11-21", "2026-11-19T16:00", "2026-11-21T16:00"),
        ("", "2026-11-21", "2026-11-14T16:00", "2026-11-21T16:00"),
    ],
)
def test_days_are_those_of_the_lines_calendar(first, last, begin, end):
    found = quality.days(first, last, ZoneInfo("Asia/Shanghai"), NOON)
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in found] == [begin, end]


def test_what_is_no_day_is_refused():
    beyond = (("", "0001-01-03"), ("9999-12-31", ""), ("0001-01-01", "0001-01-01"))
    for first, last in (("monday", ""), ("2026-11-24", "2026-11-23"), *beyond):
        with pytest.raises(ValueError, match=r"monday|after|no calendar"):
            quality.days(first, last, ZoneInfo("Asia/Shanghai"), NOON)


def test_ops_read_the_report_and_the_marks_of_one_call(happened, store, root, tmp_path, capsys):
    happened("c1", "xjca-talks-for-too-long")
    sansheng = Sansheng(capsys, "--root", root, *on(tmp_path / "x.db"))
    code, said, noted = sansheng("quality", "--since", "2026-11-23")
    assert (code, noted.strip()) == (0, "1 call marked")
    assert "XJCA-5g" in said
    (broken,) = sansheng.json("quality", "--since", "2026-11-23", "--broken")
    assert (broken["call"], broken["clauses"]) == ("c1", ["XJCA-5g"])
    code, said, _ = sansheng("quality", "c1")
    assert code == 0
    assert "BROKEN" in said
    assert "courtesies heard: 您好" in said
    assert sansheng.json("quality", "c1")["courtesies"]["您好"] >= 1
    assert sansheng("quality", "c2")[0] == 2
    assert sansheng("quality", "--since", "monday")[0] == 2
    assert sansheng("quality", "--line", "nowhere")[0] == 2
