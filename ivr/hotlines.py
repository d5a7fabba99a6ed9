"""All lines of this service: read from the data root, compiled, checked and held together.

Rules this module keeps:

- A number belongs to one line; a number that belongs to none is nobody's, never a default's.
- Everything is read at once, and all problems are told at once. What cannot be read whole is
  not used at all, so that a reload with a mistake changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ivr import callback_rules, directory, files, hours, line_compiler, retention_rules
from ivr.directory import Directory
from ivr.document import BadFile, Map, Problem, problem
from ivr.events import Offered
from ivr.flow import Line
from ivr.hours import Hours
from ivr.prompts import Library


@dataclass(frozen=True, slots=True)
class Hotlines:
    """The lines by name and by dialled number, what they say, when people are at work there,
    whom they know, how they call people back, and how long they keep what. `bodies` are the
    versions as they are stored for replaying."""

    lines: Mapping[str, Line]
    numbers: Mapping[str, Line]
    library: Library
    bodies: Mapping[str, str]
    hours: Mapping[str, Hours]
    directories: Mapping[str, Directory]
    callbacks: Mapping[str, callback_rules.Rules]
    retention: Mapping[str, retention_rules.Rules]

    def offered(
        self,
        line: Line,
        number: str,
        caller: str,
        rung: float,
        at: datetime,
        maintenance: bool,
        known: bool = False,
    ) -> Offered:
        """The first event of a call: what is known of the caller and of the hour."""
        dialled = directory.normal(caller)
        person = self.directories[line.name].of(dialled)
        return Offered(
            number=number,
            caller=dialled,
            rung=rung,
            addressee=person.addressee,
            role=person.role,
            open=self.hours[line.name].is_open(at),
            maintenance=maintenance,
            known=known,
        )


def documents(root: Path) -> tuple[dict[str, Map], dict[str, Map]]:
    """The flows and the hotlines as written. Raises BadFile with every problem."""
    problems: list[Problem] = []
    flows: dict[str, Map] = {}
    hotlines: dict[str, Map] = {}
    places = ((root / "flows", "flow", flows), (root / "flows/hotlines", "hotline", hotlines))
    for folder, key, into in places:
        for path in sorted(folder.glob("*.yaml")):
            try:
                document = files.read(path, root)
            except BadFile as error:
                problems += error.problems
                continue
            if document.get(key) != path.stem:
                what = f"the {key} in {path.name} is called '{document.get(key)}'"
                problems.append(problem(document, "F109", what, f"write {key}: {path.stem}"))
            into[path.stem] = document
    if problems:
        raise BadFile(problems)
    return flows, hotlines


def load(root: Path) -> Hotlines:
    """Every line under the data root. Raises BadFile with every problem."""
    flows, documents_ = documents(root)
    library = Library.load(root)
    problems: list[Problem] = []
    lines: dict[str, Line] = {}
    bodies: dict[str, str] = {}
    numbers: dict[str, Line] = {}
    times: dict[str, Hours] = {}
    people: dict[str, Directory] = {}
    callbacks: dict[str, callback_rules.Rules] = {}
    retention: dict[str, retention_rules.Rules] = {}
    for name, document in documents_.items():
        prompts = {
            prompt: tuple(sorted(library.slots(name, prompt))) for prompt in library.names(name)
        }
        try:
            line = line_compiler.compile_line(document, flows, prompts)
            times[name] = hours.parse(document)
            people[name] = directory.parse(document)
            callbacks[name] = callback_rules.parse(document)
            retention[name] = retention_rules.parse(document)
        except BadFile as error:
            problems += error.problems
            continue
        lines[name] = line
        bodies[name] = line_compiler.body(document, flows, prompts)
        for number, at in document["numbers"].items():
            owner = numbers.setdefault(str(number), line)
            if owner is not line:
                what = f"the number {number} belongs to '{owner.name}' already"
                problems.append(problem(at, "F115", what, "remove it from one of the two"))
    if problems:
        raise BadFile(problems)
    return Hotlines(lines, numbers, library, bodies, times, people, callbacks, retention)
