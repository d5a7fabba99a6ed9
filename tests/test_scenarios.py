"""Every scenario through the pure machine and over real sockets, and every clause accounted for."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path

import pytest
from journalled import entries

from ivr import (
    actions,
    etiquette,
    events,
    files,
    line_compiler,
    rehearsal,
    scenario_file,
    scripted_caller,
    wire_rehearsal,
)
from ivr.call import Call, canonical, step
from ivr.flow import Line
from ivr.replay import replay
from ivr.scenario import Scenario
from ivr.simulate import Outcome

HERE = Path(__file__).parent
SCENARIOS = {one.name: one for one in scenario_file.read_all(HERE / "scenarios")}
SCOPE = files.read(HERE / "scope.yaml")
LINES = ("xjca", "ems", "lakala", "infodesk")
RECOGNISABLE = 1.0
"""Seconds for which a prompt must be heard in a live call to be known by its sound."""

every_scenario = pytest.mark.parametrize("one", SCENARIOS.values(), ids=SCENARIOS)


def lines_of(one: Scenario, lines):
    return rehearsal.expecting(one.hotline, rehearsal.expected(one), lines)


@pytest.fixture(scope="session")
def played(lines):
    """How a scenario went at core level, played once."""
    return cache(lambda one: rehearsal.rehearse(one, lines))


# ---------------------------------------------------------------- each scenario


@every_scenario
def test_what_is_heard_and_recorded_is_what_the_file_says(one, played):
    assert list(rehearsal.differences(one, played(one))) == []


@every_scenario
def test_no_rule_is_broken_but_those_the_file_expects(one, lines, played):
    outcome = played(one)
    broken = rehearsal.broken(outcome, lines.lines[one.hotline])
    expected = set(one.breaks)
    assert [str(mark) for mark in broken if not expected & set(mark.clauses)] == []
    assert all(any(clause in mark.clauses for mark in broken) for clause in expected)


@every_scenario
def test_the_state_of_a_call_is_hashable_after_every_event(one, lines, played):
    line = lines_of(one, lines).lines[one.hotline]
    call = Call()
    for moment in played(one).moments:
        if isinstance(moment.what, events.Event):
            before, told = call, hash(call)
            call, _ = step(line, call, moment.what)
            assert hash(before) == told, "step mutates nothing"
            assert hash(call) == hash(canonical(call)) or canonical(call) != call
            assert canonical(canonical(call)) == canonical(call)
    assert call.over


@every_scenario
def test_a_replay_gives_the_same_actions_byte_for_byte(one, lines, played):
    line = lines_of(one, lines).lines[one.hotline]
    journal = entries(played(one))
    again = replay(journal, Call(), partial(step, line))
    assert again.difference is None
    assert not again.cut
    assert again.events + again.actions == len(journal)


@every_scenario
def test_the_stored_version_replays_the_call_too(one, lines, stored, played):
    journal = entries(played(one))
    line = stored(one)
    assert line.version == lines_of(one, lines).lines[one.hotline].version
    assert replay(journal, Call(), partial(step, line)).difference is None


@pytest.fixture(scope="session")
def stored(lines):
    """The line of a scenario as it is read back from its stored version, compiled once."""
    compiled: dict[str, Line] = {}

    def line(one: Scenario) -> Line:
        body = lines_of(one, lines).bodies[one.hotline]
        if body not in compiled:
            compiled[body] = line_compiler.from_body(body)
        return compiled[body]

    return line


@every_scenario
def test_the_caller_does_all_that_the_file_says(one, lines, played):
    """A step whose cue never comes is a mistake in the file."""
    assert one.unknown_prompts(lines.lines[one.hotline].prompts) == []
    caller = scripted_caller.ScriptedCaller(one.caller)
    said = ""
    for moment in played(one).moments:
        if said and isinstance(moment.what, actions.Foreground | events.HungUp):
            caller.ended(said, moment.at)
            said = ""
        if isinstance(moment.what, actions.Say):
            said = moment.what.prompt
            caller.began(said, moment.at)
    assert caller.next == len(one.caller)


@every_scenario
def test_every_prompt_is_heard_for_long_enough_to_be_known_by_its_sound(one, lines, played):
    moments = played(one).moments
    for at, moment in enumerate(moments):
        if not isinstance(moment.what, actions.Say):
            continue
        ends = actions.Foreground | events.HungUp
        heard = next(m.at for m in moments[at + 1 :] if isinstance(m.what, ends)) - moment.at
        whole = lines.library.seconds(one.hotline, moment.what.prompt, dict(moment.what.slots))
        assert heard >= min(RECOGNISABLE, whole - 0.001), moment.what.prompt


# ---------------------------------------------------------------- over real sockets


@pytest.fixture(scope="module")
def over_the_wire(lines):
    """How a scenario goes over the wire, in virtual time. Those without people share a world."""

    @cache
    def together() -> dict[str, Outcome]:
        some = [one for one in SCENARIOS.values() if "wire" in one.levels and not one.world.agents]
        outcomes = wire_rehearsal.rehearse_all(some, lines)
        return dict(zip((one.name for one in some), outcomes, strict=True))

    def play(one: Scenario) -> Outcome:
        if one.world.agents:
            return wire_rehearsal.rehearse_all([one], lines)[0]
        return together()[one.name]

    return play


@pytest.mark.parametrize(
    "one", [one for one in SCENARIOS.values() if "wire" in one.levels], ids=lambda one: one.name
)
def test_the_wire_tells_the_same_story(one, lines, over_the_wire):
    outcome = over_the_wire(one)
    assert list(rehearsal.differences(one, outcome)) == []
    broken = rehearsal.broken(outcome, lines.lines[one.hotline], slack=0.001)
    assert [str(mark) for mark in broken if not set(one.breaks) & set(mark.clauses)] == []


# ---------------------------------------------------------------- all scenarios together


def clauses(key: str) -> set[str]:
    given = SCOPE[key]
    names = [name for row in given for name in row] if isinstance(given, list) else list(given)
    assert len(names) == len(set(names))
    return set(map(str, names))


def test_every_clause_in_scope_is_shown_by_a_scenario():
    shown = {clause for one in SCENARIOS.values() for clause in one.shows}
    assert clauses("shown") == shown


def test_where_a_clause_prescribes_words_the_scenario_that_shows_it_hears_them(lines):
    prescribed = files.read(HERE.parent / "prompts/rules/prescribed.yaml")["prescribed"]
    heard: dict[str, set[str]] = {}
    for one in SCENARIOS.values():
        clauses = [set(lines.library.clauses(one.hotline, prompt)) for prompt in one.hears]
        for clause in one.shows:
            heard.setdefault(clause, set()).update(*clauses)
    never = {rule["clause"] for rule in prescribed if rule["clause"] not in heard[rule["clause"]]}
    assert never == set()


def test_every_clause_has_one_place():
    places = [clauses(key) for key in ("shown", "checked", "later")]
    assert sum(map(len, places)) == len(set.union(*places)) == 109


def test_every_reason_is_given():
    assert all(len(SCOPE[key][name]) > 5 for key in ("checked", "later") for name in SCOPE[key])


def test_every_test_that_is_named_as_a_reason_is_there():
    named = re.findall(r"tests/(\S+\.py)::(\w+)", " ".join(SCOPE["checked"].values()))
    assert named
    for path, name in named:
        source = (HERE / path).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {name}\(", source, re.M), f"{path}::{name}"


def test_a_scenario_is_named_after_its_line_and_titled_by_a_sentence():
    for one in SCENARIOS.values():
        assert one.name.startswith(f"{one.hotline}-")
        assert one.title[0].isupper()
        assert " " in one.title
    assert len({one.title for one in SCENARIOS.values()}) == len(SCENARIOS)


def test_there_are_scenarios_enough_for_every_line():
    assert len(SCENARIOS) >= 70
    for line in LINES:
        assert sum(one.hotline == line for one in SCENARIOS.values()) >= 10


def test_every_rule_that_is_watched_has_an_occasion_in_some_scenario(lines, played):
    """A monitor that never gives a mark watches nothing."""
    silent = {make.__name__ for make in etiquette.MONITORS}
    for one in SCENARIOS.values():
        line = lines.lines[one.hotline]
        for make in etiquette.MONITORS:
            monitor = make(line, 0.0)
            for moment in played(one).moments:
                monitor.see(moment.at, moment.what)
            if monitor.marks:
                silent.discard(make.__name__)
    # these only speak up when they are broken
    assert silent <= {"HeardOutFirst", "NothingToTheDead", "BriefingApart"}
