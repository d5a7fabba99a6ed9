"""What ops see of agents and of those who wait, and how they set an agent's state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from migrated import new
from typed import Sansheng, on

from ivr import roster
from ivr.agents import Agents
from ivr.hotlines import Hotlines
from ivr.staff import Transfer


class Desk(Sansheng):
    """A database with the shipped lines' agents, and the command on it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], lines: Hotlines) -> None:
        super().__init__(capsys, *on(path / "test.db"))
        self.staff = {name: line.staff for name, line in lines.lines.items()}
        self.store = new(path / "test.db")
        self.agents = Agents(self.store, "one")
        self.now = datetime.now(UTC)
        self.agents.sync(self.staff, self.ago(600))

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def __call__(self, *words: object) -> tuple[int, str, str]:
        # the process that holds the places lives, however long the commands take
        self.agents.beat(datetime.now(UTC))
        return super().__call__(*words)

    def waiting(self, *calls: str) -> None:
        """801 is ready, and these callers of xjca wait since ten seconds or less."""
        self.agents.set_ready("801", "phone", self.ago(60))
        for number, call in enumerate(calls):
            self.agents.join(call, 1, "xjca", "service", "", self.ago(10 - number))
        self.agents.match(self.ago(1))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: Hotlines) -> Desk:
    return Desk(tmp_path, capsys, lines)


def one(rows: list[dict[str, Any]], line: str, number: str) -> dict[str, Any]:
    return next(row for row in rows if (row["line"], row["staff_number"]) == (line, number))


def test_agents_are_listed_by_line_with_state_and_call_and_never_a_name(desk: Desk) -> None:
    desk.waiting("c1")
    rows = desk.json("agents")
    assert {row["line"] for row in rows} == {"xjca", "ems", "lakala", "infodesk"}
    assert set(rows[0]) == {
        "line", "staff_number", "title", "phone", "departments", "state", "since", "seconds",
        "reason", "misses", "call", "call_line", "after",
    }  # fmt: skip
    rung = one(rows, "xjca", "801")
    assert (rung["state"], rung["call"], rung["call_line"]) == ("ringing", "c1", "xjca")
    # the same phone serves another line, and is taken there, too
    assert one(rows, "infodesk", "832")["state"] == "ringing"
    assert one(rows, "ems", "811")["reason"] == "has not signed in yet"
    code, told, _ = desk("agents", "--line", "xjca")
    assert code == 0
    assert "ringing" in told
    assert "811" not in told


def test_a_command_sets_an_agent_busy_and_ready(desk: Desk) -> None:
    assert desk("agents", "ready", "802")[:2] == (0, "802 (phone 802) is ready\n")
    assert one(desk.json("agents"), "xjca", "802")["reason"] == "by command"
    assert desk("agents", "busy", "802", "--reason", "lunch")[0] == 0
    assert one(desk.json("agents"), "xjca", "802")["reason"] == "by command: lunch"


def test_an_agent_in_a_call_is_busy_after_it(desk: Desk) -> None:
    desk.waiting("c1")
    told = desk("agents", "busy", "801")[1]
    assert told == "801 (phone 801) is ringing now, and busy after this call\n"
    assert one(desk.json("agents"), "xjca", "801")["after"] == "busy"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ready", "999"), "there is no agent 999: `sansheng agents` lists them"),
        (("busy", "811", "--line", "xjca"), "there is no agent 811 on the line xjca"),
        (("--line", "xjac"), "did you mean 'xjca'?"),
        (("history", "999"), "there is no agent 999"),
    ],
)
def test_who_is_not_there_is_told_in_a_sentence(
    desk: Desk, words: tuple[str, ...], told: str
) -> None:
    code, out, err = desk("agents", *words)
    assert (code, out) == (2, "")
    assert told in err


def test_the_same_staff_number_of_two_people_asks_for_the_line(desk: Desk) -> None:
    ours = desk.staff
    swapped = {"ems": ours["xjca"], "xjca": ours["ems"], "lakala": ours["infodesk"]}
    desk.agents.sync({**ours, **swapped}, desk.now)
    assert roster.phone(desk.store, "801") == "801"
    other = replace(ours["xjca"].agents["801"], phone="desk-9")
    moved = replace(ours["xjca"], agents={"801": other})
    desk.agents.sync({"xjca": ours["xjca"], "ems": moved}, desk.now)
    with pytest.raises(roster.NoAgent, match="801 is somebody else on each of ems, xjca"):
        roster.phone(desk.store, "801")
    assert roster.phone(desk.store, "801", "ems") == "desk-9"


def test_the_history_says_who_was_what_for_how_long_and_why(desk: Desk) -> None:
    desk.waiting("c1")
    desk.agents.release("c1", "801", "no_answer", Transfer(misses=1), desk.now)
    rows = desk.json("agents", "history", "801")
    assert [(row["before"], row["state"]) for row in rows] == [
        ("ringing", "busy"),
        ("ready", "ringing"),
        ("busy", "ready"),
    ]
    assert rows[0]["reason"] == "missed once in a row: no_answer"
    assert (rows[0]["call"], rows[0]["line"], rows[0]["seconds"]) == ("c1", "xjca", 1.0)
    assert rows[2]["seconds"] == 540.0
    assert rows[2]["staff_number"] == "801, 832"  # one phone, two staff numbers
    assert len(desk.json("agents", "history", "--line", "ems")) == 0
    assert len(desk.json("agents", "history", "--line", "xjca", "--limit", "2")) == 2
    code, told, _ = desk("agents", "history")
    assert code == 0
    assert "missed once" in told


def test_who_waits_is_listed_in_turn_with_what_the_caller_is_told(desk: Desk) -> None:
    assert desk("line")[1] == "no callers in any line\n"
    desk.waiting("c1", "c2", "c3")
    desk.agents.leave("c3#1", "t5")
    rows = desk.json("line")
    assert [(row["call"], row["kind"], row["ahead"], row["rings"]) for row in rows] == [
        ("c1", "caller", None, "801"),
        ("c2", "caller", 1, None),
        ("t5", "callback", 2, None),
    ]
    assert rows[1]["minutes"] == 6
    assert 9 <= rows[1]["seconds"] < 60
    code, told, _ = desk("line", "--line", "xjca")
    assert code == 0
    assert "801 is rung" in told
    assert "1 ahead, about 6 min" in told
    assert desk.json("line", "--line", "ems") == []


def test_a_wrap_up_that_is_over_is_shown_as_ready(desk: Desk) -> None:
    desk.waiting("c1")
    desk.agents.release("c1", "801", "talked", Transfer(wrap_up=30), desk.ago(60))
    row = one(roster.listed(desk.store, desk.now), "xjca", "801")
    assert (row["state"], row["reason"], row["seconds"]) == ("ready", "wrapped up", 30.0)
