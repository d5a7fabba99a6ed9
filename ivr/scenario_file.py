"""Reading scenario files, which testers write (`docs/scenarios.md`).

Rules this module keeps:

- One file is one call.
- A problem in a file is told with its line, all problems at once.
- What a step leaves out (its wait) has one default, which stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ivr import files
from ivr.document import BadFile, Map, Problem, Seq, Text
from ivr.events import Values
from ivr.golden import GOLDEN
from ivr.scenario import (
    DOES,
    LEVELS,
    QUALITIES,
    Act,
    HangUpAct,
    Hum,
    LookupWorld,
    OpsHangUp,
    Press,
    Ring,
    Scenario,
    Speak,
    Step,
    World,
)

AFTER_WAIT = 0.3
OVER_WAIT = 0.5
"""Seconds from a cue to the act, where the step gives none: after a prompt, over a prompt."""

_KEYS = frozenset({"scenario", "line", "number", "shows", "breaks", "levels", "world", "caller"})
_WORLD = frozenset(
    {"time", "rung", "caller", "known", "lookup", "store", "maintenance", "agents", "ahead"}
)
_ACTS = ("press", "speak", "say", "hum", "hang_up", "ops")

T = TypeVar("T")


class _Reader:
    """Collects problems, so that one run shows them all."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def bad(self, at: Any, code: str, sentence: str, fix: str) -> None:
        self.problems.append(files.problem(at, code, sentence, fix))

    def keys(self, mapping: Map, allowed: Iterable[str]) -> None:
        self.problems += files.known_keys(mapping, allowed)

    def take(self, function: Callable[[Text], T], value: Any, default: T) -> T:
        try:
            return function(value)
        except BadFile as error:
            self.problems += error.problems
            return default

    def text(self, value: Any) -> str:
        if isinstance(value, Text):
            return str(value)
        self.bad(value, "F901", "this is not plain text", "write one word or a text in quotes")
        return ""

    def texts(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, Seq):
            return tuple(self.text(item) for item in value)
        self.bad(value, "F901", "this is not a list", "write [first, second]")
        return ()

    def values(self, value: Any) -> Values:
        return tuple((str(key), self.text(item)) for key, item in self.mapping(value).items())

    def mapping(self, value: Any) -> Map:
        if isinstance(value, Map):
            return value
        self.bad(value, "F901", "this is not a mapping", "write {key: value}")
        return Map()

    def choice(self, value: Any, allowed: Sequence[str]) -> str:
        text = self.text(value)
        if text and text not in allowed:
            self.bad(value, "F902", f"'{text}' is not known here", f"use {' or '.join(allowed)}")
        return text


def read(path: Path, root: Path | None = None) -> Scenario:
    """The scenario in a file. Raises BadFile with all that is wrong in it."""
    document = files.read(path, root)
    reader = _Reader()
    reader.keys(document, [*_KEYS, *GOLDEN])
    for key in ("scenario", "line"):
        if not document.get(key):
            reader.bad(document, "F903", f"'{key}' is missing", f"add `{key}: …`")
    world = reader.mapping(document["world"]) if "world" in document else Map()
    scenario = Scenario(
        name=path.stem,
        path=path,
        title=reader.text(document.get("scenario", "")) if "scenario" in document else "",
        hotline=reader.text(document["line"]) if "line" in document else "",
        number=reader.text(document["number"]) if "number" in document else None,
        shows=reader.texts(document["shows"]) if "shows" in document else (),
        breaks=reader.texts(document["breaks"]) if "breaks" in document else (),
        levels=_levels(reader, document),
        world=_world(reader, world),
        caller=_caller(reader, document.get("caller")),
        hears=reader.texts(document["hears"]) if "hears" in document else None,
        record=reader.values(document["record"]) if "record" in document else None,
        ends=reader.choice(document["ends"], ("caller", "us")) if "ends" in document else None,
    )
    if reader.problems:
        raise BadFile(reader.problems)
    return scenario


def read_all(folder: Path, root: Path | None = None) -> list[Scenario]:
    """All scenarios in a folder, by name. Raises BadFile with the problems of all files."""
    scenarios: list[Scenario] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            scenarios.append(read(path, root))
        except BadFile as error:
            problems += error.problems
    if problems:
        raise BadFile(problems)
    return scenarios


def _levels(reader: _Reader, document: Map) -> tuple[str, ...]:
    if "levels" not in document:
        return LEVELS
    chosen = document["levels"]
    for level in chosen if isinstance(chosen, Seq) else ():
        reader.choice(level, LEVELS)
    names = reader.texts(chosen)
    return tuple(level for level in LEVELS if level in names)


def _world(reader: _Reader, given: Map) -> World:
    reader.keys(given, _WORLD)
    time: datetime | None = None
    if "time" in given:
        text = reader.text(given["time"])
        if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", text):
            try:
                time = datetime.fromisoformat(text)
            except ValueError as error:
                reader.bad(given["time"], "F904", f"there is no such time ({error})", "correct it")
        else:
            reader.bad(given["time"], "F904", f"'{text}' is no time", "write 2026-11-23 10:00")
    store = reader.mapping(given["store"]) if "store" in given else Map()
    reader.keys(store, {"fails"})
    return World(
        time=time,
        rung=reader.take(files.seconds, given["rung"], 0.0) if "rung" in given else 0.0,
        caller=reader.text(given["caller"]) if "caller" in given else "",
        known=reader.take(files.truth, given["known"], False) if "known" in given else False,
        lookup=_lookup(reader, given["lookup"]) if "lookup" in given else None,
        store_fails=reader.take(files.truth, store["fails"], False) if "fails" in store else False,
        maintenance=(
            reader.take(files.truth, given["maintenance"], False)
            if "maintenance" in given
            else False
        ),
        agents=tuple(
            (str(phone), _rings(reader, rings))
            for phone, rings in (
                reader.mapping(given["agents"]).items() if "agents" in given else ()
            )
        ),
        ahead=reader.take(lambda value: files.whole(value, 0, 60), given["ahead"], 0)
        if "ahead" in given
        else 0,
    )


def _rings(reader: _Reader, value: Any) -> tuple[Ring, ...]:
    if not isinstance(value, Seq) or not value:
        reader.bad(value, "F909", "what this person does is no list", "write [{does: accept}]")
        return (Ring(),)
    return tuple(_ring(reader, reader.mapping(item)) for item in value)


def _ring(reader: _Reader, given: Map) -> Ring:
    reader.keys(given, ["does", "after", "hears", "talks", "keys"])
    lengths = {
        key: reader.take(files.seconds, given[key], 0.0)
        for key in ("after", "hears", "talks")
        if key in given
    }
    keys = given.get("keys", Seq())
    if not isinstance(keys, Seq):
        reader.bad(keys, "F909", "keys are a list", 'write [{at: 5 s, press: "*1"}]')
        keys = Seq()
    does = reader.choice(given["does"], DOES) if "does" in given else "accept"
    pressed = tuple(_code(reader, reader.mapping(key)) for key in keys)
    return Ring(does=does, keys=pressed, **lengths)


def _code(reader: _Reader, given: Map) -> tuple[float, str]:
    reader.keys(given, ["at", "press"])
    code = reader.text(given["press"]) if "press" in given else ""
    if not re.fullmatch(r"[0-9*#]+", code):
        reader.bad(given, "F907", f"'{code}' are not keys", 'write e.g. "*1" in quotes')
    return reader.take(files.seconds, given["at"], 0.0) if "at" in given else 0.0, code


def _lookup(reader: _Reader, value: Any) -> LookupWorld:
    given = reader.mapping(value)
    reader.keys(given, {"after", "answer", "missing", "fails", "expected"})
    how = [key for key in ("answer", "missing", "fails") if key in given]
    if len(how) != 1:
        reader.bad(
            value, "F905", "how the lookup ends is not clear", "give answer, missing or fails"
        )
    flags = {
        key: reader.take(files.truth, given[key], False)
        for key in ("missing", "fails")
        if key in given
    }
    return LookupWorld(
        after=reader.take(files.seconds, given["after"], 0.0) if "after" in given else 0.0,
        answer=reader.values(given["answer"]) if "answer" in given else None,
        fails=flags.get("fails", False),
        expected=reader.take(files.seconds, given["expected"], 0.0)
        if "expected" in given
        else None,
    )


def _caller(reader: _Reader, value: Any) -> tuple[Step, ...]:
    if value is None:
        return ()
    if not isinstance(value, Seq):
        reader.bad(value, "F901", "this is not a list", "write one `- {after: …}` a line")
        return ()
    steps = []
    for item in value:
        if isinstance(item, Map):
            steps.append(_step(reader, item))
        else:
            reader.bad(item, "F901", "this is not a step", "write `- {after: …, press: …}`")
    return tuple(steps)


def _step(reader: _Reader, given: Map) -> Step:
    reader.keys(given, ["after", "over", "wait", "quality", "then", *_ACTS])
    cues = [key for key in ("after", "over") if key in given]
    acts = [key for key in _ACTS if key in given]
    if len(cues) != 1:
        reader.bad(given, "F906", "the step needs one cue", "give either after or over")
    if len(acts) != 1:
        reader.bad(given, "F907", "the step needs one act", f"give one of {', '.join(_ACTS)}")
    over = cues[:1] == ["over"]
    wait = OVER_WAIT if over else AFTER_WAIT
    return Step(
        prompt=reader.text(given[cues[0]]) if cues else "",
        over=over,
        wait=reader.take(files.seconds, given["wait"], wait) if "wait" in given else wait,
        act=_quality(reader, given, _act(reader, acts[0], given[acts[0]])) if acts else HangUpAct(),
        line=given.line,
        then=_then(reader, given["then"]) if "then" in given else None,
    )


def _quality(reader: _Reader, given: Map, act: Act) -> Act:
    if "quality" not in given:
        return act
    if not isinstance(act, Speak):
        reader.bad(given["quality"], "F907", "only a voice has a quality", "give say or speak")
        return act
    return Speak(act.seconds, reader.choice(given["quality"], QUALITIES))


def _then(reader: _Reader, value: Any) -> Act:
    text = reader.text(value)
    if text == "hang_up":
        return HangUpAct()
    return _act(reader, "speak" if text.endswith("s") else "press", value)


def _act(reader: _Reader, name: str, value: Any) -> Act:
    if name == "press":
        keys = reader.text(value)
        if not re.fullmatch(r"[0-9*#]+", keys):
            reader.bad(value, "F907", f"'{keys}' are not keys", 'write e.g. "12#" in quotes')
        return Press(keys)
    if name in ("speak", "say"):
        return Speak(reader.take(files.seconds, value, 0.0))
    if name == "hum":
        return Hum(reader.take(files.seconds, value, 0.0))
    if name == "ops":
        reader.choice(value, ("hang_up",))
        return OpsHangUp()
    if not reader.take(files.truth, value, True):
        reader.bad(value, "F907", "a caller who does not hang up does nothing", "leave it out")
    return HangUpAct()
