"""Static checks: what is wrong with a line before anybody calls it.

Rules this module keeps:

- Pure: it reads compiled lines and parsed documents, and gives problems with file and line.
- A state must have an exit for everything its activity can fire, so that no caller is ever
  stuck: silence, a wrong key, a spoken answer, a lookup that fails.
- Every outcome of an invoked flow is taken by somebody; every state can be reached, and can
  reach an end; a choice has a way that is always open.
- Every prompt that can be said, by a flow or by a feature code, exists in every line that can
  say it. What the texts themselves say is judged by `ivr.wording`.
- Problems are ordered by file and line, each told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import product

from ivr.activity import Choose, End
from ivr.asking import Ask
from ivr.briefing import HandOver
from ivr.document import Map, Problem, Seq, Text, Value, problem
from ivr.flow import CALLBACK, LEG, START, Flow, Invoke, Line, State

OPTIONAL = frozenset({"hung_up", "end_asked", "person", "noise"})
"""Triggers that a state may leave to others, or to nobody."""
GIVEN = {"quality": ("quiet", "noisy", "clipped")}
"""Slots whose values come from outside the flows."""
NEAR = 0.75
"""How alike two names must be for one to be a misspelling of the other."""
_SLOT = re.compile(r"\{([a-z0-9_]+)\}")


def check(line: Line) -> list[Problem]:
    """Everything wrong with one line, in the order of files and lines."""
    problems: list[Problem] = []
    for flow in line.flows.values():
        problems += _exits(line, flow)
        problems += _graph(flow)
    problems += _invocations(line)
    problems += _prompts(line)
    return sorted(set(problems))


def _states(flow: Flow) -> Iterator[State]:
    return iter(flow.states.values())


# ---------------------------------------------------------------- exits


def _exits(line: Line, flow: Flow) -> Iterator[Problem]:
    for state in _states(flow):
        for trigger in sorted(_fires(line, state) - OPTIONAL):
            if flow.handles(state.name, trigger) or _start_handles(line, trigger):
                continue
            what = f"state '{state.name}' has no exit for '{trigger}'"
            yield problem(state.at, "F204", what, f"add {{trigger: {trigger}, …}}")
        if isinstance(state.activity, Choose) and not _always_open(flow, state.name):
            what = f"state '{state.name}' has no exit that is always open"
            yield problem(state.at, "F209", what, "end its transitions with one without guards")


def _fires(line: Line, state: State) -> frozenset[str]:
    if state.activity is not None:
        return state.activity.triggers()
    if state.invoke is not None and state.invoke.flow in line.flows:
        return frozenset(s.name for s in _states(line.flows[state.invoke.flow]) if s.final)
    return frozenset()


def _start_handles(line: Line, trigger: str) -> bool:
    start = line.flows.get(START)
    return trigger in OPTIONAL and start is not None and trigger in start.machine.events


def _always_open(flow: Flow, state: str) -> bool:
    return any(
        row.source == state and row.trigger == "next" and not row.conditions and not row.unless
        for row in flow.transitions
    )


# ---------------------------------------------------------------- the graph of one flow


def _graph(flow: Flow) -> Iterator[Problem]:
    ahead: dict[str, set[str]] = {state.name: set() for state in _states(flow)}
    back: dict[str, set[str]] = {state.name: set() for state in _states(flow)}
    for row in flow.transitions:
        ahead[row.source].add(row.dest)
        back[row.dest].add(row.source)
        yield from _row(flow, row.source, row.trigger, row.at)
    reached = _closure({flow.initial}, ahead)
    ends = {s.name for s in _states(flow) if s.final or isinstance(s.activity, End | HandOver)}
    saved = _closure(ends, back)
    for state in _states(flow):
        if state.name not in reached:
            what = f"state '{state.name}' can never be reached"
            yield problem(state.at, "F203", what, "add a transition to it, or remove it")
        elif state.name not in saved:
            what = f"from state '{state.name}' no end can be reached"
            yield problem(state.at, "F205", what, "add a way to a final state")


def _row(flow: Flow, source: str, trigger: str, at: Map) -> Iterator[Problem]:
    """A transition that its source can never take."""
    state = flow.states[source]
    if state.final:
        what = f"state '{source}' is final and has a transition"
        yield problem(at, "F206", what, "remove the transition")
    elif (
        state.activity is not None
        and trigger not in state.activity.triggers()
        and trigger not in OPTIONAL
    ):
        what = f"nothing in state '{source}' fires '{trigger}'"
        fires = ", ".join(sorted(state.activity.triggers())) or "nothing"
        yield problem(at, "F207", what, f"it fires {fires}")


def _closure(start: Iterable[str], ways: Mapping[str, set[str]]) -> set[str]:
    found, left = set(start), list(start)
    while left:
        for name in ways[left.pop()] - found:
            found.add(name)
            left.append(name)
    return found


# ---------------------------------------------------------------- flows that invoke flows


def _invocations(line: Line) -> Iterator[Problem]:
    invokes: dict[str, set[str]] = {name: set() for name in line.flows}
    for flow in line.flows.values():
        for state in _states(flow):
            if state.invoke is None:
                continue
            if state.invoke.flow not in line.flows:
                what = f"there is no flow '{state.invoke.flow}'"
                known = ", ".join(sorted(line.flows))
                yield problem(state.at, "F202", what, f"use one of {known}")
            else:
                invokes[flow.name].add(state.invoke.flow)
    for flow in line.flows.values():
        if flow.name in _closure(invokes[flow.name], invokes):
            state = next(s for s in _states(flow) if s.invoke is not None)
            what = f"the flow '{flow.name}' invokes itself"
            yield problem(state.at, "F208", what, "let it end first, and be invoked again")


# ---------------------------------------------------------------- prompts


def _prompts(line: Line) -> Iterator[Problem]:
    values = _slot_values(line)
    for flow, state in _reachable(line, set(values) | _facts(line)):
        if state.activity is not None:
            for template in state.activity.prompts():
                for name in sorted(_expand(template, values)):
                    if name not in line.prompts:
                        yield _missing(line, flow, state, template, name)
    for feature in line.staff.features.values():
        for name in feature.prompts:
            if name not in line.prompts:
                what = f"line '{line.name}' has no prompt '{name}' for the code {feature.code}"
                fix = f"add {name}: to prompts/{line.name}.yaml"
                yield problem(line.document["features"][feature.name], "F502", what, fix)
    known = set(values) | _facts(line)
    for name, slots in line.prompts.items():
        for slot in slots:
            if slot not in known:
                what = f"the text '{name}' of line '{line.name}' has a slot '{slot}'"
                fix = "no flow fills it; use one that a flow sets"
                yield problem(line.document, "F505", what, fix)


def _missing(line: Line, flow: Flow, state: State, template: str, name: str) -> Problem:
    near = get_close_matches(name, line.prompts, 2, NEAR)
    guess = f"did you mean {' or '.join(map(repr, near))}? else " if near else ""
    what = f"line '{line.name}' has no prompt '{name}' for '{state.name}'"
    fix = f"{guess}add {name}: to prompts/{line.name}.yaml"
    return problem(_written(line, flow, state, template, name), "F501", what, fix)


def _written(line: Line, flow: Flow, state: State, template: str, name: str) -> Text:
    """Where a prompt's name was written: in the line's own file if it stands there, else where
    the state does."""
    own = line.document.get("states", {}).get(flow.name, {}).get(state.name)
    for text in _texts(line.document):
        if text == name:
            return text
    return next((text for text in _texts(own) if text == template), state.at)


def _texts(value: Value | None) -> Iterator[Text]:
    """Every scalar in a document, keys aside."""
    if isinstance(value, Text):
        yield value
    elif isinstance(value, Map):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Seq):
        for one in value:
            yield from _texts(one)


def _reachable(line: Line, known: set[str]) -> Iterator[tuple[Flow, State]]:
    """The states that calls of this line can come to, its settings being what they are."""
    flows = {START, LEG, CALLBACK} & line.flows.keys()
    left = sorted(flows)
    while left:
        flow = line.flows[left.pop()]
        ahead: dict[str, set[str]] = {state.name: set() for state in _states(flow)}
        for row in flow.transitions:
            if all(_possible(line, known, condition) for condition in row.conditions):
                ahead[row.source].add(row.dest)
        for name in sorted(_closure({flow.initial}, ahead)):
            state = flow.states[name]
            yield flow, state
            if state.invoke is not None and state.invoke.flow in line.flows.keys() - flows:
                flows.add(state.invoke.flow)
                left.append(state.invoke.flow)


def _possible(line: Line, known: set[str], condition: str) -> bool:
    """Whether a guard can ever hold on this line."""
    match condition.split():
        case ["setting", name, value]:
            return line.settings.get(name) == value
        case ["has", slot]:
            return slot in known or slot == "entry"
        case _:
            return True


def _facts(line: Line) -> set[str]:
    facts = {"caller", "number", "addressee", "reference", "agent", "ahead", "minutes", "talked"}
    for flow in line.flows.values():
        for state in _states(flow):
            into = getattr(state.activity, "into", "")
            if into:
                facts.add(into)
    for at in line.document.get("lookups", {}).values():
        for name in at.get("fields", ()):
            facts.add(str(name))
            if "several" in at:
                facts |= {f"{name}_1", f"{name}_2"}
    return facts


def _slot_values(line: Line) -> dict[str, set[str]]:
    """Every value that flows, keys, numbers and lookups can give a slot."""
    values: dict[str, set[str]] = {name: set(given) for name, given in GIVEN.items()}
    values["entry"] = {entry for entry in line.numbers.values() if entry}
    values["goodbye"] = {"closing.goodbye"}
    kept = {feature.keeps for feature in line.staff.features.values() if feature.keeps}
    values |= {"owed": kept} if kept else {}

    def add(pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            if value:  # an empty one only says that the slot is forgotten
                values.setdefault(name, set()).add(value)

    for flow in line.flows.values():
        for row in flow.transitions:
            add(row.at.get("set", {}).items())
        for state in _states(flow):
            if isinstance(state.invoke, Invoke):
                add(state.invoke.values)
            if isinstance(state.activity, Ask):
                for _, choice in state.activity.keys:
                    add(choice.set)
    for lookup in line.lookups.values():
        for name, results in lookup.results.items():
            add((name, result) for result in results)
    return values


def _expand(template: str, values: Mapping[str, set[str]]) -> set[str]:
    """Every prompt that a template can name."""
    found, left = set(), {template}
    for _ in range(4):
        nexts: set[str] = set()
        for text in left:
            slots = _SLOT.findall(text)
            if not slots:
                found.add(text)
                continue
            for chosen in product(*(sorted(values.get(slot, ())) for slot in slots)):
                filled = iter(chosen)
                nexts.add(_SLOT.sub(lambda _, filled=filled: next(filled), text))  # type: ignore[misc]
        left = nexts
    return {name for name in found if name}
