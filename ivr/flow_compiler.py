"""Compiling one flow: from a parsed document to its table and its machine.

Rules this module keeps:

- Pure: it is given documents (`ivr.document.Map`) and gives back tables. It reads no files.
- A flow is written in the vocabulary of `transitions`: `states`, `transitions` with `trigger`,
  `source`, `dest`, `conditions`, `unless`; a state carries one activity.
- A hotline's file may change the wording and timing of any state (`states:`), never the shape.
  Each merged result is compiled afresh, so that it is checked again.
- Names that mean code are looked up in closed registries (`ivr.activities`, `ivr.guards`).
- All problems of a flow are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from transitions import Event, Machine

from ivr import activities, guards
from ivr.document import BadFile, Map, Problem, Seq, Text, Trying, Value, bad, known_keys, problem
from ivr.events import Values
from ivr.flow import Flow, Invoke, State, Transition

NAME = re.compile(r"[a-z][a-z0-9_]*")
_FLOW_KEYS = ("flow", "serves", "initial", "states", "transitions")
_TRANSITION_KEYS = ("trigger", "source", "dest", "conditions", "unless", "set", "note")
_NOT_ACTIVITIES = ("name", "final", "invoke")


class _Trigger(Event):
    """A trigger without the hooks and the log that the library calls at every step: of all its
    callbacks ours use `conditions`, `unless` and `before` alone."""

    def trigger(self, model: Any, turn: Any) -> bool:
        """Move `model` by the first row whose conditions hold; False if none does. Raises the
        library's MachineError where no row begins in the model's state."""
        if model.state not in self.transitions:
            return bool(super().trigger(model, turn))
        row: Any  # the library lets a callback be a name, too; ours are functions
        for row in self.transitions[model.state]:
            for asked in row.conditions:  # no generator: every trigger comes by here
                if asked.func(turn) != asked.target:
                    break
            else:
                for callback in row.before:
                    callback(turn)
                model.state = row.dest
                return True
        return False


class _Machine(Machine):
    event_cls = _Trigger


def compile_flow(document: Map, overrides: Map | None) -> Flow:
    """One flow, with a line's own wording and timing of its states laid over. Raises BadFile with
    every problem found."""
    return _Compiler(document, overrides).compile()


class _Compiler(Trying):
    def __init__(self, document: Map, overrides: Map | None) -> None:
        super().__init__()
        self.document = document
        self.overrides = overrides or Map()

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
        machine = _Machine(
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
        sources, dest = several(at["source"]), at["dest"]
        problems += [_no_state(name, states) for name in (*sources, dest) if name not in states]
        if problems:
            raise BadFile(problems)
        conditions, unless = several(at.get("conditions")), several(at.get("unless"))
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
            for trigger in several(at["trigger"])
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


def several(value: Value | None) -> list[Text]:
    """The names where one or a list of them may stand; none for None. Raises BadFile."""
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
