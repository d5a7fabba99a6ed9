"""Scenario files: what they say, what is wrong with them, and how a scripted caller acts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from ivr.files import BadFile
from ivr.golden import update
from ivr.scenario import (
    HangUpAct,
    Hum,
    LookupWorld,
    OpsHangUp,
    Press,
    Ring,
    Speak,
    Step,
    World,
)
from ivr.scenario_file import read, read_all
from ivr.scripted_caller import ScriptedCaller

FULL = """\
# what the ladder is for
scenario: A caller agrees to wait and gets the answer
line: ems
number: "11185"
shows: [EMS-8, EMS-9]
levels: [wire, core]
world:
  time: "2026-11-23 10:00"
  rung: 15 s
  caller: "13800138000"
  lookup: {after: 75 s, answer: {status: in_transit}}
  store: {fails: yes}
caller:
  - {after: opening, wait: 1 s, speak: 2 s}   # speaks first
  - {over: menu, press: "2"}
  - {after: item.ask, press: "12#"}
  - {after: opening, hum: 3 s}
  - {ops: hang_up, after: menu}
  - {after: hold.agreed, wait: 31 s, hang_up: yes}
hears: [opening, menu]   # golden
record: {kind: query}
ends: caller
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "waits.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path: Path) -> list[str]:
    with pytest.raises(BadFile) as error:
        read(path, path.parent)
    return [str(problem) for problem in error.value.problems]


def test_a_full_scenario_is_read_as_written(write):
    scenario = read(write(FULL))
    assert scenario.name == "waits"
    assert scenario.hotline == "ems"
    assert scenario.number == "11185"
    assert scenario.shows == ("EMS-8", "EMS-9")
    assert scenario.levels == ("core", "wire")
    assert scenario.world == World(
        time=datetime(2026, 11, 23, 10, 0),  # noqa: DTZ001 the line's local time
        rung=15.0,
        caller="13800138000",
        lookup=LookupWorld(after=75.0, answer=(("status", "in_transit"),)),
        store_fails=True,
    )
    assert scenario.caller == (
        Step("opening", False, 1.0, Speak(2.0), 14),
        Step("menu", True, 0.5, Press("2"), 15),
        Step("item.ask", False, 0.3, Press("12#"), 16),
        Step("opening", False, 0.3, Hum(3.0), 17),
        Step("menu", False, 0.3, OpsHangUp(), 18),
        Step("hold.agreed", False, 31.0, HangUpAct(), 19),
    )
    assert scenario.hears == ("opening", "menu")
    assert scenario.record == (("kind", "query"),)
    assert scenario.ends == "caller"
    assert hash(scenario) == hash(read(scenario.path))


def test_a_scenario_needs_only_a_sentence_and_a_line(write):
    scenario = read(write("scenario: Nobody speaks\nline: xjca\n"))
    assert scenario.caller == ()
    assert scenario.levels == ("core", "wire", "live")
    assert scenario.hears is None
    assert scenario.record is None


@pytest.mark.parametrize(
    ("lookup", "world"),
    [
        ("{after: 3 s, missing: yes}", LookupWorld(after=3.0)),
        ("{after: 3 s, fails: yes}", LookupWorld(after=3.0, fails=True)),
    ],
)
def test_a_lookup_can_know_nothing_or_fail(write, lookup, world):
    text = f"scenario: s\nline: ems\nworld: {{lookup: {lookup}}}\n"
    assert read(write(text)).world.lookup == world


def test_people_do_at_successive_rings_what_the_file_says(write):
    text = """\
scenario: s
line: ems
world:
  ahead: 2
  agents:
    "811": [{does: refuse, after: 8 s}, {does: ignore, hears: 5 s}]
    desk-2: [{talks: 20 s, keys: [{at: 5 s, press: "*1"}, {at: 9 s, press: "*2"}]}]
"""
    world = read(write(text)).world
    assert world.ahead == 2
    assert world.agents == (
        ("811", (Ring("refuse", after=8.0), Ring("ignore", hears=5.0))),
        ("desk-2", (Ring(talks=20.0, keys=((5.0, "*1"), (9.0, "*2"))),)),
    )


def test_what_people_cannot_do_is_a_problem(write):
    text = """\
scenario: s
line: ems
world:
  ahead: many
  agents:
    "811": [{does: dance}]
    "812": {does: accept}
    "813": [{keys: "*1"}]
    "814": [{keys: [{at: 5 s, press: now}]}]
    "815": [{sings: 3 s}]
"""
    found = problems(write(text))
    assert [" ".join(line.split()[:2]) for line in found] == [
        "waits.yaml:4 F111",
        "waits.yaml:6 F902",
        "waits.yaml:7 F909",
        "waits.yaml:8 F909",
        "waits.yaml:9 F907",
        "waits.yaml:10 F102",
    ]


def test_all_problems_of_a_file_are_told_with_their_lines(write):
    text = """\
scenario: s
levels: [wires]
shows: EMS-1
world:
  time: tomorrow
  rung: long
  lookup: {answer: {a: b}, missing: yes}
  weather: fine
caller:
  - {after: opening, over: menu, press: "1"}
  - {after: opening}
  - {after: opening, press: "1x"}
  - {after: opening, hang_up: no}
  - {after: opening, wait: 1, speak: 2 s}
  - opening
ends: nobody
herd: [opening]
"""
    found = problems(write(text))
    assert [" ".join(line.split()[:2]) for line in found] == [
        "waits.yaml:1 F903",
        "waits.yaml:2 F902",
        "waits.yaml:3 F901",
        "waits.yaml:5 F904",
        "waits.yaml:6 F110",
        "waits.yaml:7 F905",
        "waits.yaml:8 F102",
        "waits.yaml:10 F906",
        "waits.yaml:11 F907",
        "waits.yaml:12 F907",
        "waits.yaml:13 F907",
        "waits.yaml:14 F110",
        "waits.yaml:15 F901",
        "waits.yaml:16 F902",
        "waits.yaml:17 F102",
    ]
    assert found[-1].endswith("the key 'herd' is unknown: did you mean 'hears'?")


def test_a_day_that_does_not_exist_is_a_problem(write):
    text = 'scenario: s\nline: x\nworld: {time: "2026-02-30 10:00"}\n'
    assert problems(write(text))[0].startswith("waits.yaml:3 F904 there is no such time")


def test_the_problems_of_all_files_are_told_together(write, tmp_path):
    write("line: x\n", "a.yaml")
    write("scenario: s\n", "b.yaml")
    with pytest.raises(BadFile) as error:
        read_all(tmp_path, tmp_path)
    assert [problem.path for problem in error.value.problems] == ["a.yaml", "b.yaml"]
    write("scenario: s\nline: x\n", "a.yaml")
    write("scenario: s\nline: x\n", "b.yaml")
    assert [scenario.name for scenario in read_all(tmp_path)] == ["a", "b"]


def test_a_cue_for_a_prompt_the_line_does_not_have_is_a_problem(write):
    scenario = read(write(FULL))
    found = scenario.unknown_prompts({"opening", "menu", "item.ask"})
    assert [(problem.line, problem.code) for problem in found] == [(19, "F908")]


# ---------------------------------------------------------------- the scripted caller


def test_a_caller_without_steps_does_nothing():
    caller = ScriptedCaller(())
    assert caller.began("opening", 0.0) == []
    assert caller.ended("opening", 1.0) == []


def test_keys_are_pressed_one_by_one():
    caller = ScriptedCaller([Step("ask", False, 0.3, Press("12#"))])
    assert caller.began("ask", 0.0) == []
    assert caller.ended("ask", 2.0) == [(0.3, Press("1")), (0.55, Press("2")), (0.8, Press("#"))]


def test_over_means_while_it_is_being_said_and_after_means_when_it_is_over():
    steps = [Step("menu", True, 0.5, Press("9")), Step("bye", False, 0.3, HangUpAct())]
    caller = ScriptedCaller(steps)
    assert caller.began("menu", 0.0) == [(0.5, Press("9"))]
    assert caller.ended("menu", 0.5) == []
    assert caller.began("bye", 0.6) == []
    assert caller.ended("bye", 2.0) == [(0.3, HangUpAct())]


def test_the_same_occurrence_never_cues_two_steps():
    steps = [Step("menu", True, 0.5, Press("x")), Step("menu", False, 0.3, Press("2"))]
    caller = ScriptedCaller(steps)
    caller.began("menu", 0.0)
    assert caller.ended("menu", 3.0) == []
    assert caller.began("menu", 4.0) == []
    assert caller.ended("menu", 6.0) == [(0.3, Press("2"))]


def test_a_prompt_that_comes_before_the_step_before_is_done_is_no_cue():
    steps = [Step("a", False, 10.0, Press("1")), Step("b", True, 0.5, Press("2"))]
    caller = ScriptedCaller(steps)
    assert caller.ended("a", 1.0) == [(10.0, Press("1"))]
    assert caller.began("b", 5.0) == []
    assert caller.began("b", 11.0) == [(0.5, Press("2"))]


# ---------------------------------------------------------------- golden values


def test_update_rewrites_only_the_golden_values(write):
    path = write(FULL)
    assert update(path, hears=["opening", "item.ask"], record={"kind": "advice", "rating": "5"})
    expected = FULL.replace("[opening, menu]", "[opening, item.ask]")
    expected = expected.replace("{kind: query}", "{kind: advice, rating: 5}")
    assert path.read_text(encoding="utf-8") == expected


def test_update_changes_nothing_when_nothing_changed(write):
    path = write(FULL)
    assert not update(path, hears=["opening", "menu"], record={"kind": "query"}, ends="caller")
    assert path.read_text(encoding="utf-8") == FULL


def test_update_adds_what_is_missing_at_the_end(write):
    path = write("scenario: s\nline: x")
    update(path, hears=[], record={"caller": "", "note": "是", "yes": "no"}, ends="us")
    assert path.read_text(encoding="utf-8") == (
        'scenario: s\nline: x\nhears: []\nrecord: {caller: "", note: 是, "yes": "no"}\nends: us\n'
    )
    assert read(path).record == (("caller", ""), ("note", "是"), ("yes", "no"))


def test_update_replaces_a_list_in_block_style_and_keeps_the_comment_after_it(write):
    path = write("scenario: s\nhears:\n  - a\n  - b   # second\n\n# the end\nends: us\nline: x\n")
    update(path, hears=["c"])
    assert path.read_text(encoding="utf-8") == (
        "scenario: s\nhears: [c]   # second\n\n# the end\nends: us\nline: x\n"
    )


def test_a_long_list_is_broken_into_lines_that_fit(write):
    path = write("scenario: s\nline: x\n")
    names = [f"prompt.number_{n}" for n in range(20)]
    update(path, hears=names)
    text = path.read_text(encoding="utf-8")
    assert all(len(line) <= 100 for line in text.splitlines())
    assert read(path).hears == tuple(names)
