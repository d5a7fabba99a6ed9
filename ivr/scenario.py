"""A call as a test tells it: what the world is like, what the caller does, what must come of it.

Rules this module keeps:

- Pure, and values only: `ivr.scenario_file` reads them, `ivr.scripted_caller` plays the caller.
- One scenario, one call, three levels: the pure core, the wire (`ivr.fake` over a real socket)
  and a real Asterisk.
- `hears`, `record` and `ends` are golden: `ivr.golden` rewrites them.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from ivr.document import Problem
from ivr.events import Values

LEVELS = ("core", "wire", "live")
QUALITIES = ("fine", "quiet", "noisy", "clipped")
KEY_GAP = 0.25
"""Seconds from one key to the next."""

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
    before it reached us, in seconds. `caller` is the caller's number, "" if withheld; `known` says
    that the line was told in an earlier call who that is.

    `agents` says per phone what its owner does at successive rings, the last for ever. These
    people are ready when the call begins, all others are not at work. `ahead` callers wait in the
    line that the caller joins: everybody is busy with others until these have been served, one
    every `AHEAD_EACH` from when the caller joined.
    """

    time: datetime | None = None
    rung: float = 0.0
    caller: str = ""
    known: bool = False
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
    path: PurePath
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

    def unknown_prompts(self, names: Container[str]) -> list[Problem]:
        """A problem for each cue that names a prompt the line does not have."""
        return [
            Problem(
                str(self.path),
                step.line,
                "F908",
                f"the line has no prompt '{step.prompt}'",
                "name one of the line's texts",
            )
            for step in self.caller
            if step.prompt not in names
        ]
