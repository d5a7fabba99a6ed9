"""Compiling one line: its hotline file, its flows and its prompts become one `ivr.flow.Line`.

Rules this module keeps:

- Pure: it is given documents (`ivr.document.Map`) and gives back a line. It reads no files.
- All problems of a line are told at once, those of its flows among them.
- A line's version is the hash of everything a call of it depends on; that body is stored, and the
  same line is compiled from it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ivr import activities, staff, ticket_rules
from ivr.document import (
    BadFile,
    Map,
    Seq,
    Text,
    Trying,
    Value,
    bad,
    known_keys,
    problem,
    seconds,
    whole,
)
from ivr.flow import Flow, Line, Lookup
from ivr.flow_compiler import compile_flow, several

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "keys_for_the_unheard": ("yes", "no"),
    "rating": ("yes", "no"),
    "intake": ("yes", "no"),
    "wrong_number": ("goodbye", "menu"),
    "bad_line": ("hang_up", "agree", "contact"),
    "item_number": ("s10", "digits"),
}
"""What a line may choose, and among what."""

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
    "retention",
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
    return _Compiler(hotline, flows, prompts).compile()


class _Compiler(Trying):
    def __init__(
        self, hotline: Map, flows: Mapping[str, Map], prompts: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__()
        self.hotline, self.documents, self.prompts = hotline, flows, prompts

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
        cycle = self.setting(seconds, ring, "cycle", 5.0)
        answer = self.setting(whole, ring, "answer_after", 1, 0, 9)
        late = self.setting(whole, ring, "late_after", 3, 1, 9)
        long_hold = self.setting(seconds, hold, "long", 180.0)
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
            staff=people,
            tickets=tickets,
            lookups=lookups,
            flows=flows,
            prompts=self.prompts,
            document=hotline,
        )

    def flows(self, overrides: Map) -> dict[str, Flow]:
        flows = {}
        for name in overrides:
            if name not in self.documents:
                known = ", ".join(sorted(self.documents))
                what = f"there is no flow '{name}'"
                self.problems.append(problem(name, "F202", what, f"use one of {known}"))
        for name, document in self.documents.items():
            flow = self.trying(compile_flow, document, overrides.get(name))
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
        str(slot): tuple(map(str, several(values)))
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
