"""Flows: documents become shared machines; nothing in a file is ever code; a version is exact."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transitions import Machine, MachineError

from ivr import files, guards, hotlines
from ivr.files import BadFile, Map
from ivr.flow import Flow, Line, Lookup
from ivr.line_compiler import body, compile_line, from_body
from ivr.slots import spell

FLOW = """\
flow: call
initial: asking
states:
  - {name: asking, ask: {prompt: menu, keys: {"1": yes_please, "2": no_thanks}, pause: 5 s}}
  - {name: telling, say: {prompt: answer}}
  - {name: hanging_up, end: {}}
transitions:
  - {trigger: yes_please, source: asking, dest: telling, note: {result: answered}}
  - {trigger: [no_thanks, silence, spoke, no_match], source: asking, dest: hanging_up}
  - {trigger: said, source: telling, dest: asking, conditions: is again yes}
  - {trigger: said, source: telling, dest: hanging_up}
"""
LINE = """\
hotline: shop
numbers: {"1": {}}
"""


def made(source: str = FLOW, line: str = LINE, prompts: dict[str, tuple[str, ...]] | None = None):
    known = {"menu": (), "answer": ()} if prompts is None else prompts
    hotline = files.parse(line, "flows/hotlines/shop.yaml")
    return compile_line(hotline, {"call": files.parse(source, "flows/call.yaml")}, known)


def problems(source: str = FLOW, line: str = LINE) -> list[str]:
    with pytest.raises(BadFile) as error:
        made(source, line)
    return [str(problem) for problem in error.value.problems]


# ---------------------------------------------------------------- one machine for all calls


class Model:
    """A call as `transitions` usually sees one: registered with its machine."""

    state: str

    def __init__(self, open_: set[str]) -> None:
        self.open = open_
        self.written: list[str] = []


class Bare:
    """A call as we fire it: any object with a state."""

    def __init__(self, state: str) -> None:
        self.state = state


class Turn:
    """What guards and callbacks may ask for; `open_` are the slots that say yes."""

    def __init__(self, line, open_: set[str]) -> None:
        self.line, self.open = line, open_
        self.written: list[tuple[str, str]] = []

    def slot(self, name: str) -> str:
        if name == "lookup":
            return "item"
        return "yes" if name in self.open else ""

    def fill(self, template: str) -> str:
        return template

    def set(self, name: str, value: str) -> None:
        self.written.append((name, value))

    def note(self, name: str, value: str) -> None:
        self.written.append((name, value))


def registered(compiled: Flow, model: Model, turn: Turn) -> Machine:
    """The same table, run the way the library's documentation runs it."""
    machine = Machine(
        model=model,
        states=list(compiled.states),
        initial=compiled.initial,
        auto_transitions=False,
        ignore_invalid_triggers=True,
    )
    for row in compiled.transitions:
        machine.add_transition(
            row.trigger,
            row.source,
            row.dest,
            conditions=[asked(text, turn) for text in row.conditions],
            unless=[asked(text, turn) for text in row.unless],
        )
    return machine


def asked(sentence: str, turn: Turn):
    question = guards.guard(files.Text.at(sentence, "here", 1))
    return lambda: question(turn)


LINES = hotlines.load(Path(__file__).parents[2])
SLOTS = ("late", "open", "maintenance", "recording", "addressee", "contact", "surname", "entry")


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(LINES.lines["xjca"].flows)),
    open_=st.sets(st.sampled_from(SLOTS)),
    seed=st.integers(0, 10_000),
)
def test_a_shared_machine_does_what_a_registered_model_does(name, open_, seed):
    line = LINES.lines["xjca"]
    compiled = line.flows[name]
    dice = random.Random(seed)
    turn = Turn(line, open_)
    usual, ours = Model(open_), Bare(compiled.initial)
    registered(compiled, usual, turn)
    triggers = sorted({row.trigger for row in compiled.transitions})
    for _ in range(25):
        trigger = dice.choice(triggers)
        moved = usual.trigger(trigger) if compiled.handles(usual.state, trigger) else False
        fired = (
            compiled.machine.events[trigger].trigger(ours, turn)
            if compiled.handles(ours.state, trigger)
            else False
        )
        assert fired == moved
        assert ours.state == usual.state


def test_many_calls_share_a_machine_without_knowing_of_each_other():
    line = made()
    machine = line.flows["call"].machine
    one, two = Bare("asking"), Bare("asking")
    machine.events["yes_please"].trigger(one, Turn(line, set()))
    assert (one.state, two.state) == ("telling", "asking")
    assert machine.models == []


def test_a_trigger_in_a_state_that_has_none_is_refused_as_the_library_refuses_it():
    machine, frame = made().flows["call"].machine, Bare("hanging_up")
    with pytest.raises(MachineError, match="yes_please from state hanging_up"):
        machine.events["yes_please"].trigger(frame, Turn(made(), set()))
    assert frame.state == "hanging_up"


def test_nothing_can_jump_to_a_state():
    for compiled in LINES.lines["ems"].flows.values():
        assert not [name for name in compiled.machine.events if name.startswith("to_")]


def test_a_callback_only_writes(lines):
    """It sets slots and notes; it fires nothing and asks for nothing."""
    line = made()
    turn = Turn(line, set())
    frame = Bare("asking")
    line.flows["call"].machine.events["yes_please"].trigger(frame, turn)
    assert turn.written == [("result", "answered")]


# ---------------------------------------------------------------- nothing in a file is code


@pytest.mark.parametrize(
    "name", ["os.system", "ivr.call.step", "print", "__import__ os", "lambda", "is"]
)
def test_a_guard_that_is_not_in_the_registry_is_refused(name):
    bad = FLOW.replace("is again yes", name)
    (told,) = problems(bad)
    assert told.startswith(("flows/call.yaml:10 F120", "flows/call.yaml:10 F121"))


@pytest.mark.parametrize("key", ["before", "after", "prepare", "callback", "on_enter"])
def test_a_callback_in_a_file_is_refused(key):
    bad = FLOW.replace("conditions: is again yes", f"{key}: os.system")
    (told,) = problems(bad)
    assert told.startswith(f"flows/call.yaml:10 F102 the key '{key}' is unknown")


def test_a_callback_on_a_state_is_refused():
    bad = FLOW.replace("say: {prompt: answer}}", "say: {prompt: answer}, on_enter: os.abort}")
    assert problems(bad)[0].startswith("flows/call.yaml:5 F122 the key 'on_enter' is unknown")


# ---------------------------------------------------------------- what a line may change


def states(text: str) -> str:
    return LINE + "states:\n  call:\n" + "".join(f"    {row}\n" for row in text.splitlines())


def test_a_line_changes_wording_and_timing_of_a_state():
    line = made(line=states("asking: {ask: {prompt: other, pause: 2 s}}"))
    asking = line.flows["call"].states["asking"].activity
    assert (asking.prompt, asking.pause) == ("other", 2.0)
    assert [key for key, _ in asking.keys] == ["1", "2"], "what is not named stays"


def test_keys_are_laid_over_one_by_one():
    line = made(line=states('asking: {ask: {keys: {"2": yes_please, "3": no_thanks}}}'))
    keys = dict(line.flows["call"].states["asking"].activity.keys)
    assert {key: choice.trigger for key, choice in keys.items()} == {
        "1": "yes_please",
        "2": "yes_please",
        "3": "no_thanks",
    }


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("listening: {ask: {pause: 2 s}}", "F201 there is no state 'listening'"),
        ("asking: {say: {prompt: other}}", "F124 this state's activity is 'ask'"),
        ("asking: {ask: {pause: soon}}", "F110 'soon' is not a length of time"),
        ("asking: {ask: {paus: 2 s}}", "F102 the key 'paus' is unknown: did you mean 'pause'?"),
        ("asking: {ask: {keys: {x: yes_please}}}", "F130 'x' is no key of a telephone"),
    ],
)
def test_a_line_never_changes_the_shape(override, told):
    (problem,) = problems(line=states(override))
    assert problem.startswith("flows/hotlines/shop.yaml:5 ")
    assert told in problem


def test_a_line_names_only_flows_that_exist():
    (problem,) = problems(line=LINE + "states: {cal: {}}\n")
    assert problem.startswith("flows/hotlines/shop.yaml:3 F202 there is no flow 'cal'")


def test_all_problems_are_told_at_once():
    bad = FLOW.replace("dest: telling, note", "dest: tellin, note").replace("5 s", "5")
    assert [told.split()[:2] for told in problems(bad)] == [
        ["flows/call.yaml:4", "F110"],
        ["flows/call.yaml:8", "F201"],
    ]


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    "changed",
    [
        lambda: made(FLOW.replace("pause: 5 s", "pause: 6 s")),
        lambda: made(FLOW.replace("answered", "told")),
        lambda: made(line=LINE + "promises: {answer: 2 h}\n"),
        lambda: made(line=states("asking: {ask: {pause: 2 s}}")),
        lambda: made(prompts={"menu": ("item",), "answer": ()}),
        lambda: made(prompts={"menu": (), "answer": (), "more": ()}),
    ],
)
def test_the_version_changes_when_anything_changes(changed):
    assert changed().version != made().version


def test_the_version_does_not_depend_on_comments_or_the_order_of_prompts():
    same = made("# a remark\n" + FLOW, prompts={"answer": (), "menu": ()})
    assert same.version == made().version


def table(line: Line) -> object:
    """All that the machine reads of a line, without the places in files."""
    return (
        line.name, line.numbers, line.settings, line.tickets, line.lookups, line.prompts,
        (line.answer_at, line.late_at, line.long_hold),
        {
            name: (
                compiled.initial,
                [(s.name, s.activity, s.invoke) for s in compiled.states.values()],
                [replace(row, at=Map()) for row in compiled.transitions],
            )
            for name, compiled in line.flows.items()
        },
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(LINES.lines))
def test_a_stored_version_is_read_back_as_the_same_line(name):
    line, body = LINES.lines[name], LINES.bodies[name]
    again = from_body(body)
    assert again.version == line.version
    assert table(again) == table(line)
    assert from_body(json.dumps(json.loads(body), ensure_ascii=False)).version == line.version


def test_a_stored_version_keeps_the_order_in_which_notes_are_written():
    both = FLOW.replace("note: {result: answered}", "note: {z: 1, a: 2}")
    hotline = files.parse(LINE, "l")
    prompts = {"menu": (), "answer": ()}
    again = from_body(body(hotline, {"call": files.parse(both, "f")}, prompts))
    turn = Turn(again, set())
    again.flows["call"].machine.events["yes_please"].trigger(Bare("asking"), turn)
    assert turn.written == [("z", "1"), ("a", "2")]


@pytest.mark.parametrize(("expected", "minutes"), [(0.0, 1), (61.0, 2), (7200.0, 60)])
def test_a_likely_wait_can_be_said_however_long_it_is(expected: float, minutes: int):
    found = Lookup(expected, 3 * expected, (), {})
    assert found.minutes == minutes
    assert spell("count", str(found.minutes)) == [f"count.{minutes}"]
