"""Lists that ops read: times by the clock of the line, ids that can be typed, what was erased."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from house import CONTACT, NOON, Ops

from ivr.agents import Agents
from ivr.moments import YEAR, Moments
from ivr.promises import listed

AT = "2026-11-23T04:00:00+00:00"


@pytest.fixture
def ops(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> Ops:
    """On a screen that has room for every column."""
    monkeypatch.setenv("COLUMNS", "160")
    return ops


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that stands in another zone than the lines."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def left(ops: Ops) -> str:
    """A call that leaves a number and is promised a call; returns the promise's id."""
    call = ops.house.call("c1", 1)
    ops.house.message(call)
    (one,) = listed(ops.house.store)
    return one.id


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("calls",), "11-22 12:00:00"),
        (("messages",), "11-22 12:00:00"),
        (("tickets",), "11-23 12:00"),
        (("promises",), "11-23 12:00"),
    ],
)
def test_times_are_those_of_the_line_and_it_is_said_so(
    ops: Ops, words: tuple[str, ...], shown: str
) -> None:
    left(ops)
    code, out, err = ops(*words)
    assert code == 0
    assert shown in out
    assert err == "times are those of Asia/Shanghai\n"
    assert "+00:00" in ops(*words, "--json")[1]


def test_each_line_has_its_own_clock(tmp_path: Path) -> None:
    lines = tmp_path / "flows/hotlines"
    lines.mkdir(parents=True)
    (lines / "west.yaml").write_text("hotline: west\nzone: Asia/Urumqi\n")
    (lines / "east.yaml").write_text("hotline: east\n")
    (lines / "torn.yaml").write_text("zone: [")
    times = Moments(tmp_path)
    assert times(AT, "west", YEAR) == "2026-11-23 10:00"
    assert times(AT, "east") == "11-23 12:00"
    assert times.note() == "times are those of Asia/Shanghai for east; Asia/Urumqi for west"
    here = f"{datetime.fromisoformat(AT).astimezone():%m-%d %H:%M}"
    assert times(AT, "torn") == times(AT, "gone") == times(AT) == here
    assert "this machine's zone" in times.note()
    assert times("") == times(None) == ""


def test_an_erased_call_is_marked(ops: Ops) -> None:
    age = (NOON - datetime.now(UTC)) / timedelta(days=1)
    ops.house.call("c1", age + 2)
    ops.house.call("c2", age + 3)
    ops("erase", "c1", "--by", "812", "--reason", "asked in writing")
    assert {row["call"]: row["erased"] for row in ops.json("calls")} == {"c1": True, "c2": False}
    rows = {row.split()[0]: row for row in ops("calls")[1].splitlines() if row.strip()}
    assert ["(erased)" in rows[call] for call in ("c1", "c2")] == [True, False]


def test_a_call_back_that_waits_is_shown_by_its_promise(ops: Ops) -> None:
    promise = left(ops)
    (one,) = listed(ops.house.store)
    people = Agents(ops.house.store, "one")
    people.keep_place(one.place, one.hotline, "service", "", datetime.now(UTC))
    (row,) = ops.json("line")
    assert (row["call"], row["promise"]) == (None, promise)
    out = ops("line")[1]
    assert promise in out
    assert one.place not in out


def test_a_report_of_promises_may_be_of_one_line(ops: Ops) -> None:
    left(ops)
    assert [row["hotline"] for row in ops.json("promises", "report", "--line", "ems")] == ["ems"]
    assert ops.json("promises", "report", "--line", "xjca") == []
    assert ops("promises", "report", "--line", "emms")[0] == 2
    assert CONTACT not in ops("promises")[1]
