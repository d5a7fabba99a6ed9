"""Flows: from parsed documents to one shared state machine per flow and line.

Rules this module keeps:

- Pure: it is given documents (`ivr.document.Map`) and gives back tables. It reads no files.
- A flow is written in the vocabulary of `transitions`: `states`, `transitions` with `trigger`,
  `source`, `dest`, `conditions`, `unless`; a state carries one activity.
- A hotline's file may change the wording and timing of any state (`states:`), never the shape.
  Each merged result is compiled afresh, so that it is checked again.
- Names that mean code are looked up in closed registries (`ivr.activities`, `ivr.guards`).
- One machine per flow serves all calls: no model is ever registered with it, it is never queued,
  and callbacks only set slots and append notes. A trigger is fired by
  `machine.events[name].trigger(frame, turn)`, where the frame is any object with a `state`.
  This use of `transitions` is public but undocumented; a test holds it against registered models.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transitions import Machine

from ivr import activities, guards, staff, ticket_rules
from ivr.activity import Activity
from ivr.document import (
    BadFile,
    Map,
    Problem,
    Seq,
    Text,
    Value,
    bad,
    known_keys,
    problem,
    seconds,
    whole,
)
from ivr.events import Values
from ivr.staff import Staff

NAME = re.compile(r"[a-z][a-z0-9_]*")
START = "call"
"""The flow in which every call begins."""
LEG = "briefing"
"""The flow in which the leg of an agent begins, who has been rung for a caller."""
CALLBACK = "callback"
"""The flow in which a call begins that we make, once the person has picked up."""
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "keys_for_the_unheard": ("yes", "no"),
    "rating": ("yes", "no"),
    "intake": ("yes", "no"),
    "wrong_number": ("goodbye", "menu"),
    "bad_line": ("hang_up", "agree", "contact"),
    "item_number": ("s10", "digits"),
}
"""What a line may choose, and among what."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """A state that hands over to another flow until that flow reaches a final state, whose name
    is then fired as a trigger here."""

    flow: str
    values: Values = ()


@dataclass(frozen=True, slots=True)
class State:
    """A state: one of an activity, an invocation, or a final state. `line` is its place."""

    name: str
    at: Text
    activity: Activity | None = None
    invoke: Invoke | None = None

    @property
    def final(self) -> bool:
        return self.activity is None and self.invoke is None


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of a flow's table, as written; kept for checks and drawings."""

    trigger: str
    source: str
    dest: str
    conditions: tuple[str, ...]
    unless: tuple[str, ...]
    at: Map


@dataclass(frozen=True, slots=True)
class Flow:
    """A compiled flow."""

    name: str
    path: str
    serves: tuple[str, ...]
    initial: str
    states: Mapping[str, State]
    transitions: tuple[Transition, ...]
    machine: Machine = field(repr=False, compare=False)

    def handles(self, state: str, trigger: str) -> bool:
        """Whether this state has a transition for this trigger (its guards aside)."""
        event = self.machine.events.get(trigger)
        return event is not None and bool(event.transitions.get(state))


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the machine knows of a lookup: how long it takes, and when waiting ends, in seconds;
    which slots it is asked with (the lookup's own name for each), and the values it may bring."""

    expected: float
    limit: float
    arguments: Values
    results: Mapping[str, tuple[str, ...]]

    @property
    def minutes(self) -> int:
        """The likely wait in whole minutes, at least one."""
        return max(1, math.ceil(self.expected / 60))


@dataclass(frozen=True, slots=True)
class Line:
    """One hotline's compiled flows and settings: all that a call needs to know. Immutable, and
    shared by all calls that began with this version."""

    name: str
    title: str
    language: str
    zone: str
    version: str
    numbers: Mapping[str, str]
    ring_cycle: float
    answer_after: int
    late_after: int
    long_hold: float
    settings: Mapping[str, str]
    promises: Mapping[str, str]
    staff: Staff
    tickets: ticket_rules.Rules
    lookups: Mapping[str, Lookup]
    flows: Mapping[str, Flow]
    prompts: Mapping[str, tuple[str, ...]]
    document: Map = field(repr=False, compare=False)

    @property
    def answer_at(self) -> float:
        """Seconds of ringing before we pick up."""
        return self.ring_cycle * self.answer_after

    @property
    def late_at(self) -> float:
        """Seconds of ringing from which the caller is owed an apology."""
        return self.ring_cycle * self.late_after


# ---------------------------------------------------------------- one flow


_FLOW_KEYS = ("flow", "serves", "initial", "states", "transitions")
_TRANSITION_KEYS = ("trigger", "source", "dest", "conditions", "unless", "set", "note")
_NOT_ACTIVITIES = ("name", "final", "invoke")


class _Compiler:
    """Compiles one flow for one line; collects problems instead of stopping at the first."""

    def __init__(self, document: Map, overrides: Map | None) -> None:
        self.document = document
        self.overrides = overrides or Map()
        self.problems: list[Problem] = []

    def trying(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """The value, or None after the problem has been noted."""
        try:
            return read(*arguments)
        except BadFile as error:
            self.problems += error.problems
            return None

    def compile(self) -> Flow:
        document = self.document
        self.problems += known_keys(document, _FLOW_KEYS)
        for key in ("flow", "initial", "states", "transitions"):
            if key not in document:
                what = f"a flow needs '{key}'"
                self.problems.append(problem(document, "F107", what, f"add {key}: …"))
        if self.problems:
            raise BadFile(self.problems)
        states = self.states(document["states"])
        rows = self.rows(document["transitions"], states)
        initial = document["initial"]
        if initial not in states:
            self.problems.append(_no_state(initial, states))
        for name in self.overrides:
            if name not in states:
                self.problems.append(_no_state(name, states))
        if self.problems:
            raise BadFile(self.problems)
        machine = Machine(
            model=None,
            states=list(states),
            initial=str(initial),
            auto_transitions=False,
            queued=False,
            send_event=False,
        )
        for row, keywords in rows:
            machine.add_transition(row.trigger, row.source, row.dest, **keywords)
        serves = tuple(str(clause) for clause in document.get("serves", ()))
        table = tuple(row for row, _ in rows)
        return Flow(
            str(document["flow"]), document.path, serves, str(initial), states, table, machine
        )

    # -- states

    def states(self, listed: Value) -> dict[str, State]:
        states: dict[str, State] = {}
        if not isinstance(listed, Seq):
            raise bad(listed, "F103", "states are a list", "write - {name: …, say: {…}}")
        for at in listed:
            state = self.trying(self.state, at)
            if state is None:
                name = at.get("name") if isinstance(at, Map) else None
                if not isinstance(name, Text):
                    continue
                # its problem has been told; that it exists is known all the same
                state = State(str(name), name)
            if state.name in states:
                what = f"the state '{state.name}' stands here twice"
                self.problems.append(problem(state.at, "F106", what, "rename one of them"))
            states[state.name] = state
        return states

    def state(self, at: Value) -> State:
        if not isinstance(at, Map) or "name" not in at:
            raise bad(at, "F107", "a state needs a name", "write {name: waiting, …}")
        name = at["name"]
        if not isinstance(name, Text) or not NAME.fullmatch(name):
            raise bad(name, "F108", f"'{name}' is no name", "use small letters, digits and _")
        allowed = (*_NOT_ACTIVITIES, *activities.REGISTRY)
        problems = known_keys(at, allowed, "F122")
        if problems:
            raise BadFile(problems)
        doings = [key for key in at if key != "name"]
        if len(doings) != 1:
            what = f"the state '{name}' does {len(doings)} things"
            raise bad(at, "F123", what, "give it one activity, or invoke, or final: yes")
        doing = doings[0]
        if doing == "final":
            return State(str(name), name)
        if doing == "invoke":
            return State(str(name), name, invoke=_invoke(at["invoke"]))
        given = at[doing]
        if not isinstance(given, Map):
            raise bad(given, "F103", f"'{doing}' takes settings", f"write {doing}: {{…}}")
        override = self.overrides.get(name)
        if override is not None:
            given = _merge(given, doing, override)
        return State(str(name), name, activities.activity(activities.REGISTRY[doing], given))

    # -- transitions

    def rows(
        self, listed: Value, states: Mapping[str, State]
    ) -> list[tuple[Transition, dict[str, Any]]]:
        if not isinstance(listed, Seq):
            raise bad(listed, "F103", "transitions are a list", "write - {trigger: …, …}")
        rows: list[tuple[Transition, dict[str, Any]]] = []
        for at in listed:
            rows += self.trying(self.row, at, states) or []
        return rows

    def row(
        self, at: Value, states: Mapping[str, State]
    ) -> list[tuple[Transition, dict[str, Any]]]:
        if not isinstance(at, Map):
            raise bad(at, "F103", "a transition is a mapping", "write {trigger: …, source: …}")
        problems = known_keys(at, _TRANSITION_KEYS)
        problems += [
            problem(at, "F107", f"a transition needs '{key}'", f"add {key}: …")
            for key in ("trigger", "source", "dest")
            if key not in at
        ]
        if problems:
            raise BadFile(problems)
        sources, dest = _several(at["source"]), at["dest"]
        problems += [_no_state(name, states) for name in (*sources, dest) if name not in states]
        if problems:
            raise BadFile(problems)
        conditions, unless = _several(at.get("conditions")), _several(at.get("unless"))
        keywords: dict[str, Any] = {
            "conditions": [guards.guard(name) for name in conditions],
            "unless": [guards.guard(name) for name in unless],
            "before": _before(
                activities.slots(at["set"]) if "set" in at else (),
                activities.slots(at["note"]) if "note" in at else (),
            ),
        }
        return [
            (
                Transition(
                    str(trigger), str(source), str(dest), tuple(conditions), tuple(unless), at
                ),
                keywords,
            )
            for trigger in _several(at["trigger"])
            for source in sources
        ]


def _before(set_: Values, note: Values) -> list[Callable[[Any], None]]:
    """The callback of a transition: it sets slots and notes, and nothing else."""
    if not set_ and not note:
        return []

    def write(turn: Any) -> None:
        for name, value in set_:
            turn.set(name, turn.fill(value))
        for name, value in note:
            turn.note(name, turn.fill(value))

    return [write]


def _several(value: Value | None) -> list[Text]:
    if value is None:
        return []
    names = value if isinstance(value, Seq) else [value]
    for name in names:
        if not isinstance(name, Text):
            raise bad(name, "F103", "a name is expected here", "write a name, or [one, two]")
    return list(names)


def _no_state(name: Any, states: Mapping[str, State]) -> Problem:
    return problem(
        name, "F201", f"there is no state '{name}'", f"use one of {', '.join(states) or 'none'}"
    )


def _invoke(at: Value) -> Invoke:
    if not isinstance(at, Map) or "flow" not in at:
        raise bad(at, "F107", "invoke needs a flow", "write invoke: {flow: name}")
    problems = known_keys(at, ("flow", "with"))
    if problems:
        raise BadFile(problems)
    return Invoke(str(at["flow"]), activities.slots(at["with"]) if "with" in at else ())


def _merge(given: Map, doing: str, override: Value) -> Map:
    """A state's settings with a hotline's own laid over them; `keys` are laid over key by key."""
    if not isinstance(override, Map) or list(override) != [doing]:
        what = f"this state's activity is '{doing}', and no other can be set"
        raise bad(override, "F124", what, f"write {doing}: {{…}}")
    merged = Map(given)
    merged.path, merged.line = given.path, given.line
    for key, value in override[doing].items():
        if key == "keys" and isinstance(value, Map) and isinstance(given.get("keys"), Map):
            keys = Map({**given["keys"], **value})
            keys.path, keys.line = value.path, value.line
            merged[key] = keys
        else:
            merged[key] = value
    return merged


# ---------------------------------------------------------------- one line


_LINE_KEYS = (
    "hotline",
    "title",
    "language",
    "zone",
    "numbers",
    "ring",
    "hours",
    "promises",
    "tickets",
    "callbacks",
    "settings",
    "states",
    "lookups",
    "hold",
    "directory",
    *staff.KEYS,
)


def compile_line(
    hotline: Map, flows: Mapping[str, Map], prompts: Mapping[str, tuple[str, ...]]
) -> Line:
    """One line from its hotline file, the flows, and the names of its prompts with the slots that
    each uses. Raises BadFile with every problem found."""
    problems = known_keys(hotline, _LINE_KEYS)
    for key in ("hotline", "numbers"):
        if key not in hotline:
            problems.append(problem(hotline, "F107", f"a line needs '{key}'", f"add {key}: …"))
    if problems:
        raise BadFile(problems)
    compiler = _LineCompiler(hotline, flows, prompts)
    return compiler.compile()


class _LineCompiler:
    def __init__(
        self, hotline: Map, flows: Mapping[str, Map], prompts: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.hotline, self.documents, self.prompts = hotline, flows, prompts
        self.problems: list[Problem] = []

    def compile(self) -> Line:
        hotline = self.hotline
        flows = self.flows(hotline.get("states", Map()))
        settings = self.settings(hotline.get("settings", Map()))
        ring = hotline.get("ring", Map())
        self.problems += known_keys(ring, ("cycle", "answer_after", "late_after"))
        hold = hotline.get("hold", Map())
        self.problems += known_keys(hold, ("long",))
        lookups = {
            str(name): self.trying(_lookup, name, at)
            for name, at in hotline.get("lookups", Map()).items()
        }
        numbers = {
            str(number): self.trying(_entry, number, at) or ""
            for number, at in hotline["numbers"].items()
        }
        cycle = self.trying(seconds, ring["cycle"]) if "cycle" in ring else 5.0
        answer = self.trying(whole, ring["answer_after"], 0, 9) if "answer_after" in ring else 1
        late = self.trying(whole, ring["late_after"], 1, 9) if "late_after" in ring else 3
        long_hold = self.trying(seconds, hold["long"]) if "long" in hold else 180.0
        people = self.trying(staff.parse, hotline)
        tickets = self.trying(ticket_rules.parse, hotline)
        if self.problems:
            raise BadFile(self.problems)
        return Line(
            name=str(hotline["hotline"]),
            title=str(hotline.get("title", hotline["hotline"])),
            language=str(hotline.get("language", "zh")),
            zone=str(hotline.get("zone", "Asia/Shanghai")),
            version=version(hotline, self.documents, self.prompts),
            numbers=numbers,
            ring_cycle=cycle,
            answer_after=answer,
            late_after=late,
            long_hold=long_hold,
            settings=settings,
            promises={str(k): str(v) for k, v in hotline.get("promises", Map()).items()},
            staff=people,
            tickets=tickets,
            lookups=lookups,
            flows=flows,
            prompts=self.prompts,
            document=hotline,
        )

    def trying(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except BadFile as error:
            self.problems += error.problems
            return None

    def flows(self, overrides: Map) -> dict[str, Flow]:
        flows = {}
        for name in overrides:
            if name not in self.documents:
                known = ", ".join(sorted(self.documents))
                what = f"there is no flow '{name}'"
                self.problems.append(problem(name, "F202", what, f"use one of {known}"))
        for name, document in self.documents.items():
            flow = self.trying(_Compiler(document, overrides.get(name)).compile)
            if flow is not None:
                flows[name] = flow
        return flows

    def settings(self, given: Map) -> dict[str, str]:
        self.problems += known_keys(given, SETTINGS)
        chosen = {}
        for name, choices in SETTINGS.items():
            value = given.get(name, choices[-1])
            if value not in choices:
                what = f"'{value}' is no choice for '{name}'"
                fix = f"choose from {', '.join(choices)}"
                self.problems.append(problem(value, "F113", what, fix))
            chosen[name] = str(value)
        return chosen


def _entry(number: str, at: Value) -> str:
    if not re.fullmatch(r"[0-9*#]{1,20}", number):
        raise bad(number, "F114", f"'{number}' cannot be dialled", "use digits, * and #")
    if not isinstance(at, Map):
        raise bad(at, "F103", "a number takes settings", "write {} or {entry: prompt}")
    problems = known_keys(at, ("entry",))
    if problems:
        raise BadFile(problems)
    return str(at.get("entry", ""))


def _lookup(name: Text, at: Value) -> Lookup:
    if not isinstance(at, Map):
        raise bad(at, "F103", "a lookup takes settings", "write {kind: sql, …}")
    results = {
        str(slot): tuple(map(str, _several(values)))
        for slot, values in at.get("results", Map()).items()
    }
    return Lookup(
        expected=seconds(at["expected"]) if "expected" in at else 10.0,
        limit=seconds(at["limit"]) if "limit" in at else 120.0,
        arguments=activities.slots(at["arguments"])
        if "arguments" in at
        else ((str(name), str(name)),),
        results=results,
    )


def version(hotline: Map, flows: Mapping[str, Map], prompts: Mapping[str, tuple[str, ...]]) -> str:
    """The hash of everything a call of this line depends on."""
    return hashlib.sha256(body(hotline, flows, prompts).encode()).hexdigest()[:16]


def body(hotline: Map, flows: Mapping[str, Map], prompts: Mapping[str, tuple[str, ...]]) -> str:
    """Everything a call of this line depends on, as JSON; `from_body` reads it back.

    What was written keeps its order, which has a meaning (the order of notes, of transitions);
    flows and prompts, which come from folders and sets, are sorted.
    """
    return json.dumps(
        {
            "hotline": hotline,
            "flows": dict(sorted(flows.items())),
            "prompts": dict(sorted(prompts.items())),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def from_body(text: str) -> Line:
    """The line whose version was stored as this text, for replaying its calls."""
    stored = json.loads(text)
    return compile_line(
        _document(stored["hotline"]),
        {name: _document(flow) for name, flow in stored["flows"].items()},
        {name: tuple(slots) for name, slots in stored["prompts"].items()},
    )


def _document(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = Map({Text.at(key, "journal", 0): _document(v) for key, v in value.items()})
        mapping.path, mapping.line = "journal", 0
        return mapping
    if isinstance(value, list):
        seq = Seq(_document(item) for item in value)
        seq.path, seq.line = "journal", 0
        return seq
    return Text.at(value, "journal", 0)
