"""A call as a test tells it: what the world is like, what the caller does, what must come of it.

Rules this module keeps:

- One file, one call, three levels: the pure core, the wire (`ivr.fake` over a real socket) and
  a real Asterisk. All three are driven by the same `ScriptedCaller`, which is pure: it is told
  what is heard and when, and says what the caller will do.
- A cue names a prompt and means its next occurrence after the step before was done. A step is
  done when its last act was due (the last key pressed, the voice begun). The occurrence that
  cued one step never cues the next one.
- `hears`, `record` and `ends` are golden: `update` (`ivr.golden`) rewrites them.
- Lengths are in seconds. A problem in a file is told with its line, all problems at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ivr import files
from ivr.events import Values
from ivr.files import BadFile, Map, Problem, Seq, Text
from ivr.golden import GOLDEN
from ivr.golden import update as update

LEVELS = ("core", "wire", "live")
QUALITIES = ("fine", "quiet", "noisy", "clipped")
KEY_GAP = 0.25
"""Seconds from one key to the next."""

AFTER_WAIT = 0.3
OVER_WAIT = 0.5
"""Seconds from a cue to the act, where the step gives none: after a prompt, over a prompt."""

THEN_WAIT = 0.3
"""Seconds from the end of an act to what the same step does then."""


# ---------------------------------------------------------------- what a caller can do


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys (0-9, * and #). A `ScriptedCaller` hands them out one by one."""

    keys: str


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak for so many seconds. `quality` is how it comes over when it is recorded."""

    seconds: float
    quality: str = "fine"


@dataclass(frozen=True, slots=True)
class Hum:
    """Steady noise for so many seconds, and no speech."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HangUpAct:
    """The caller hangs up."""


@dataclass(frozen=True, slots=True)
class OpsHangUp:
    """Not the caller but ops ask for the call to be ended."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What one of our people does at one ring of their phone.

    After `after` seconds they do this: accept, refuse, ignore (hear the note and press nothing),
    drop (pick up and hang up at once), drop_in_note; busy, decline; no_answer and unreachable
    take no time. Who picks up decides after `hears` more. In a conversation they hang up after
    `talks` (None: never) and press feature codes (`keys`), each so long after its beginning.
    """

    does: str = "accept"
    after: float = 3.0
    hears: float = 2.0
    talks: float | None = None
    keys: tuple[tuple[float, str], ...] = ()


DOES = (
    *("accept", "refuse", "ignore", "drop", "drop_in_note"),
    *("busy", "decline", "no_answer", "unreachable"),
)
"""What people do when their phone rings."""
AHEAD_EACH = 20.0
"""Seconds after which one of those who wait before the caller is served."""

Act = Press | Speak | Hum | HangUpAct | OpsHangUp


# ---------------------------------------------------------------- a scenario


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the caller does: `wait` seconds after `prompt` ended (or, if `over`, began).

    `then` is done `THEN_WAIT` seconds after the act is over: `#` after a message has been
    spoken, speaking on after a breath, or hanging up.
    """

    prompt: str
    over: bool
    wait: float
    act: Act
    line: int = 0
    then: Act | None = None


@dataclass(frozen=True, slots=True)
class LookupWorld:
    """How a back end answers: after so many seconds, with values, or None if it has nothing
    (`missing`), or not at all (`fails`). `expected` is how long the line expects it to take, in
    seconds, None for the line's own setting."""

    after: float = 0.0
    answer: Values | None = None
    fails: bool = False
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What is so before the call begins.

    `time` is the line's local time, None if it does not matter. `rung` is how long it had rung
    before it reached us, in seconds. `caller` is the caller's number, "" if withheld.

    `agents` says per phone what its owner does at successive rings, the last for ever. These
    people are ready when the call begins, all others are not at work. `ahead` callers wait in the
    line that the caller joins: everybody is busy with others until these have been served, one
    every `AHEAD_EACH` from when the caller joined.
    """

    time: datetime | None = None
    rung: float = 0.0
    caller: str = ""
    lookup: LookupWorld | None = None
    store_fails: bool = False
    maintenance: bool = False
    agents: tuple[tuple[str, tuple[Ring, ...]], ...] = ()
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario file. `hears`, `record` and `ends` are None where the file has none yet.

    `breaks` are the clauses whose rules this call must break, because it reached us too late to
    keep them; every other rule must be kept.
    """

    name: str
    path: Path
    title: str
    hotline: str
    number: str | None = None
    shows: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS
    world: World = World()
    caller: tuple[Step, ...] = ()
    hears: tuple[str, ...] | None = None
    record: Values | None = None
    ends: str | None = None

    def unknown_prompts(self, names: Iterable[str]) -> list[Problem]:
        """A problem for each cue that names a prompt the line does not have."""
        known = frozenset(names)
        return [
            Problem(
                str(self.path),
                step.line,
                "F908",
                f"the line has no prompt '{step.prompt}'",
                "name one of the line's texts",
            )
            for step in self.caller
            if step.prompt not in known
        ]


@dataclass(slots=True)
class ScriptedCaller:
    """Plays a caller: pure, the same at every level.

    Both methods are told what was heard and `now` (seconds on any clock, the same one for the
    whole call), and return what the caller will do, each with the seconds from now.
    """

    steps: Sequence[Step]
    next: int = 0
    _done_at: float = float("-inf")
    _cued: tuple[str, int] = ("", 0)
    _count: dict[str, int] = field(default_factory=dict)

    def began(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        """A prompt began to be heard."""
        self._count[prompt] = self._count.get(prompt, 0) + 1
        return self._cue(prompt, over=True, now=now)

    def ended(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        """A prompt is over, played to its end or cut off."""
        return self._cue(prompt, over=False, now=now)

    def _cue(self, prompt: str, *, over: bool, now: float) -> list[tuple[float, Act]]:
        if self.next == len(self.steps):
            return []
        step = self.steps[self.next]
        occurrence = (prompt, self._count.get(prompt, 0))
        # a microsecond of tolerance, because times are sums of lengths
        early = now < self._done_at - 1e-6
        if early or step.prompt != prompt or step.over != over or occurrence == self._cued:
            return []
        self.next += 1
        self._cued = occurrence
        acts = _timed(step.wait, step.act)
        if step.then is not None:
            lasts = step.act.seconds if isinstance(step.act, Speak | Hum) else 0.0
            acts += _timed(acts[-1][0] + lasts + THEN_WAIT, step.then)
        self._done_at = now + acts[-1][0]
        return acts


def _timed(wait: float, act: Act) -> list[tuple[float, Act]]:
    """An act in so many seconds; keys are pressed one by one."""
    if not isinstance(act, Press):
        return [(round(wait, 6), act)]
    return [(round(wait + n * KEY_GAP, 6), Press(key)) for n, key in enumerate(act.keys)]


# ---------------------------------------------------------------- reading

_KEYS = frozenset({"scenario", "line", "number", "shows", "breaks", "levels", "world", "caller"})
_WORLD = frozenset({"time", "rung", "caller", "lookup", "store", "maintenance", "agents", "ahead"})
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
