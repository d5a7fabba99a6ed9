"""Who works for a line, as its file says; and what is told about mistakes in it."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr import staff
from ivr.check import check
from ivr.document import BadFile
from ivr.files import parse
from ivr.line_compiler import body, compile_line, from_body
from ivr.staff import Agent, Department, Feature, Staff, Transfer
from ivr.ticket_rules import Webhook

FILE = """\
departments:
  service: {title: 客服部, minutes: 4}
  expert: {title: 专家座席}
agents:
  - {staff_number: "801", phone: "801", departments: [service, expert], title: 专家}
  - {staff_number: "802", phone: desk-2, departments: [service]}
transfer: {ring: 15 s, limit: 5 min, wrap_up: 0 s, misses: 3, webhook: {url: "https://d", token: D}}
features:
  hold: {code: "*1"}
  back: {code: "*2"}
  slow: {code: "*31", say: sentence.slow}
  harassment: {code: "*39", steps: [sentence.warning, sentence.end]}
  superior: {code: "*59", asks: bridged.ask_superior}
"""

FLOW = """\
flow: call
initial: saying
states:
  - {name: saying, say: {prompt: menu}}
  - {name: ending, end: {}}
transitions:
  - {trigger: said, source: saying, dest: ending}
"""


def read(text: str) -> Staff:
    return staff.parse(parse(text, "flows/hotlines/x.yaml"))


def told(text: str) -> list[str]:
    """What is told about a file, each as `line code`."""
    with pytest.raises(BadFile) as caught:
        read(text)
    return [f"{one.line} {one.code}" for one in caught.value.problems]


def test_a_file_becomes_departments_agents_settings_and_features() -> None:
    people = read(FILE)
    assert people.departments["service"] == Department("service", "客服部", 4)
    assert people.departments["expert"].minutes == staff.MINUTES
    assert people.agents["801"] == Agent("801", "801", ("service", "expert"), "专家")
    assert people.transfer == Transfer(
        "service", 15.0, 300.0, 0.0, 3, 5, 300.0, Webhook("https://d", "D")
    )
    assert people.features["slow"] == Feature("slow", "*31", ("sentence.slow",))
    assert people.features["hold"] == Feature("hold", "*1")
    assert people.features["superior"] == Feature("superior", "*59", asks="bridged.ask_superior")
    assert [one.name for one in people.features.values() if one.holds] == ["hold", "superior"]


def test_agents_are_asked_for_by_department_and_by_staff_number() -> None:
    people = read(FILE)
    assert [one.staff_number for one in people.of("service")] == ["801", "802"]
    assert [one.staff_number for one in people.of("expert")] == ["801"]
    assert people.of("nobody") == ()
    assert people.agents.get("999") is None
    assert (people.minutes("service"), people.minutes("nobody")) == (4, staff.MINUTES)


def test_the_prompts_of_features_are_told_each_once_in_the_order_written() -> None:
    people = read(FILE)
    said = ("sentence.slow", "sentence.warning", "sentence.end", "bridged.ask_superior")
    assert people.prompts == said


def test_steps_are_said_one_after_the_other_and_the_last_ends_the_call() -> None:
    people = read(FILE)
    harassment, slow = people.features["harassment"], people.features["slow"]
    assert [harassment.saying(times) for times in range(4)] == [
        "sentence.warning",
        "sentence.end",
        "sentence.end",
        "sentence.end",
    ]
    assert [harassment.is_last(times) for times in range(3)] == [False, True, True]
    assert [slow.is_last(times) for times in range(3)] == [False, False, False]
    assert people.features["hold"].saying(0) == ""


def test_a_line_without_people_has_a_staff_of_nobody() -> None:
    assert read("hotline: x\n") == staff.NOBODY == Staff()
    assert staff.NOBODY.of("service") == ()


def test_a_phone_and_a_staff_number_stand_in_a_line_only_once() -> None:
    assert told(FILE.replace("phone: desk-2", 'phone: "801"')) == ["6 F106"]
    assert told(FILE.replace('staff_number: "802"', 'staff_number: "801"')) == ["6 F106"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("minutes: 4", "minutes: many", "2 F111"),
        ("minutes: 4", "minutes: 0", "2 F111"),
        ("minutes: 4", "minuets: 4", "2 F102"),
        ("title: 客服部, ", "", "2 F107"),
        ("service: {", "Service: {", "2 F108"),
        ("phone: desk-2", 'phone: "desk 2"', "6 F702"),
        ("phone: desk-2", 'phone: "801&PJSIP/0900"', "6 F702"),
        ("phone: desk-2", f"phone: {'9' * 33}", "6 F702"),
        ("phone: desk-2, ", "", "6 F107"),
        ('staff_number: "802"', "staff_number: 王小姐", "6 F701"),
        ("departments: [service]", "departments: [sales]", "6 F703"),
        ("departments: [service]", "departments: []", "6 F107"),
        ("departments: [service]", "departments: [[service]]", "6 F103"),
        ("[service]}", "[service], name: 王小姐}", "6 F102"),
        ("transfer: {", "transfer: {department: sales, ", "7 F703"),
        ("ring: 15 s", "ring: 15", "7 F110"),
        ("ring: 15 s", "ring: 1 s", "7 F111"),
        ("misses: 3", "misses: 0", "7 F111"),
        ("https://d", "file:///etc/passwd", "7 F642"),
        ('back: {code: "*2"}', "x: {code: 2, say: a}", "9 F708"),
        ('"*31"', '"31"', "11 F705"),
        ('"*31"', '"*"', "11 F705"),
        ('"*31"', '"*31;System(x)"', "11 F705"),
        ('"*31"', '"*2"', "11 F707"),
        ('"*31"', '"*21"', "11 F707"),
        ('"*31"', '"*81"', "11 F707"),
        ('"*31"', '"*8"', "11 F707"),
        ('"*31"', '"*821"', "11 F707"),
        ('code: "*31", ', "", "11 F107"),
        (", say: sentence.slow", "", "11 F706"),
        ("say: sentence.slow", "say: a, steps: [b, c]", "11 F706"),
        ('hold: {code: "*1"}', 'hold: {code: "*1", say: a}', "9 F706"),
        ("steps: [sentence.warning, sentence.end]", "steps: []", "12 F103"),
        ("asks: bridged.ask_superior", "asks: [bridged.ask_a, bridged.ask_b]", "13 F706"),
        ("asks: bridged.ask_superior", "asks: sentence.sorry", "13 F706"),
        ('hold: {code: "*1"}\n  back: {code: "*2"}', 'x: {code: "*1", say: a}', "12 F708"),
        ("slow: {", "Slow!: {", "11 F108"),
    ],
)
def test_a_mistake_is_told_by_file_and_line(old: str, new: str, expected: str) -> None:
    assert old in FILE
    assert expected in told(FILE.replace(old, new))


@pytest.mark.parametrize("key", ["departments", "agents", "transfer", "features"])
def test_what_has_the_wrong_shape_is_told_and_does_not_break_the_reading(key: str) -> None:
    assert "1 F103" in told(f"{key}: nonsense\n")
    assert any("F10" in one for one in told(f"{key}:\n  - 1\n"))


def test_all_mistakes_are_told_at_once() -> None:
    broken = FILE.replace("minutes: 4", "minutes: x").replace("desk-2", '"2 3"')
    assert told(broken) == ["2 F111", "6 F702"]


@given(st.text(max_size=40) | st.text("aZ09_-. \n\u0663", max_size=34))
def test_whatever_is_written_as_a_phone_only_a_plain_name_is_taken(phone: str) -> None:
    at = parse(FILE, "x.yaml")
    at["agents"][1]["phone"] = type(at["agents"][1]["phone"]).at(phone, "x.yaml", 6)
    if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", phone):
        assert staff.parse(at).agents["802"].phone == phone
    else:
        with pytest.raises(BadFile):
            staff.parse(at)


@given(st.lists(st.from_regex(r"\*[0-9*]{1,3}", fullmatch=True), min_size=1, max_size=6))
def test_of_the_codes_that_are_taken_none_begins_another(codes: list[str]) -> None:
    features = "".join(f'  f{n}: {{code: "{code}", say: a}}\n' for n, code in enumerate(codes))
    every = [*codes, staff.READY, staff.BUSY]
    if any(one.startswith(other) for one, other in permutations(every, 2)):
        with pytest.raises(BadFile):
            read(f"features:\n{features}")
    else:
        found = read(f"features:\n{features}").features.values()
        assert [one.code for one in found] == codes


def test_a_feature_that_says_what_the_line_cannot_say_is_told_by_the_check() -> None:
    flows = {"call": parse(FLOW, "flows/call.yaml")}
    hotline = parse(f'hotline: x\nnumbers: {{"1": {{}}}}\n{FILE}', "flows/hotlines/x.yaml")
    prompts = dict.fromkeys(("menu", "sentence.slow", "sentence.end", "bridged.ask_superior"), ())
    told = check(compile_line(hotline, flows, prompts))
    assert len(told) == 1, told
    problem = told[0]
    assert str(problem).startswith("flows/hotlines/x.yaml:14 F502 ")
    assert "'sentence.warning'" in problem.sentence
    prompts["sentence.warning"] = ()
    assert check(compile_line(hotline, flows, prompts)) == []
    del prompts["bridged.ask_superior"]
    assert "'bridged.ask_superior'" in check(compile_line(hotline, flows, prompts))[0].sentence


def test_a_line_that_is_replayed_has_the_staff_of_its_day() -> None:
    flows = {"call": parse(FLOW, "flows/call.yaml")}
    hotline = parse(f'hotline: x\nnumbers: {{"1": {{}}}}\n{FILE}', "flows/hotlines/x.yaml")
    assert from_body(body(hotline, flows, {"menu": ()})).staff == read(FILE)
