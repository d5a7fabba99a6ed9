"""From the sound of a call to the prompts of its line.

Rules this module keeps:

- Pure. Prompts are looked for among all parts of all lines; what belongs to no prompt of the line
  called keeps the name of its part, so that a wrong file is seen.
- Prompts that cannot be told apart by their sound, or by so much of it as was heard, are all
  named; only between those does it matter what the service says it said.
- Parts that fill a slot (digits, times, names) belong to the prompt that is being said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ivr import actions, stimuli
from ivr.ear import Ear, Heard
from ivr.hotlines import Hotlines
from ivr.recording import Recording
from ivr.rtp import RATE, Samples
from ivr.simulate import Moment
from ivr.slots import ADDRESSEE
from ivr.wire_rehearsal import sayable

BRIEF = 0.9
"""Seconds; a prompt that was cut sooner may not be recognised (the ear needs 0.4 s of sound)."""
ALIKE = 0.02
"""Share of the power by which two sounds may differ that cannot be told apart."""
ADDRESS = ".addressee."
"""In the names of parts that address somebody: the only slot that a prompt may begin with."""


class Voices:
    """All prompts by their sound."""

    def __init__(self, sounds: Mapping[str, Samples]) -> None:
        self._sounds = dict(sounds)
        self._ear = Ear(sounds)

    @property
    def ear(self) -> Ear:
        """The ear itself."""
        return self._ear

    def recognise(self, recording: Recording) -> list[Heard]:
        """What was heard. A prompt that was cut has the names of all that begin like it."""
        return [
            replace(one, names=self._alike(one)) if one.cut else one
            for one in self._ear.recognise(recording)
        ]

    def _alike(self, heard: Heard) -> tuple[str, ...]:
        count = round((heard.end - heard.start) * RATE)
        begins = self._sounds[heard.name][:count].astype(np.float64)
        power = float(begins @ begins)
        names = list(heard.names)
        for name, sound in self._sounds.items():
            other = sound[:count].astype(np.float64)
            if name in names or len(other) < count:
                continue
            apart = begins - other
            if float(apart @ apart) < ALIKE * power:
                names.append(name)
        return tuple(names)


def templates(hotlines: Hotlines, sounds: Path) -> Mapping[str, Samples]:
    """The sound of every part of every line that is installed in `sounds`, by base name.

    Raises ValueError if one is no 8 kHz mono wav file.
    """
    files = {
        base: sounds / f"{part.path}.wav" for base, part in hotlines.library.all_parts().items()
    }
    return {base: stimuli.wav(file) for base, file in files.items() if file.exists()}


class Names:
    """Which prompt of a line a recorded part belongs to."""

    def __init__(self, hotlines: Hotlines, line: str) -> None:
        library = hotlines.library
        self._parts: dict[str, set[tuple[str, bool]]] = {}
        self._address_within: set[str] = set()
        self._address_first: set[str] = set()
        for prompt in sayable(hotlines.lines[line].prompts) & library.names(line):
            bases = [_base(path) for path in library.recorded(line, prompt)]
            if ADDRESSEE in library.slots(line, prompt).values():
                (self._address_within if bases[0] else self._address_first).add(prompt)
            for place, base in enumerate(bases):
                if base:
                    self._parts.setdefault(base, set()).add((prompt, not any(bases[:place])))
        said = {
            _base(path)
            for name in hotlines.lines
            for prompt in sayable(hotlines.lines[name].prompts) & library.names(name)
            for path in library.recorded(name, prompt)
        }
        self._slots = {
            base
            for base in library.all_parts()
            if base not in said and base.partition(".")[0] in (line, "common")
        }

    def prompts(self, heard: Iterable[Heard]) -> list[frozenset[str]]:
        """What was heard as prompts, in order: of each, all that sound like it. What no prompt
        of this line contains keeps the name of its part."""
        said: list[frozenset[str]] = []
        by_slot = False  # the last one was begun by a slot's own part
        for one in heard:
            found = [part for name in one.names for part in self._parts.get(name, ())]
            begins = frozenset(prompt for prompt, first in found if first)
            goes_on = frozenset(prompt for prompt, first in found if not first)
            if not found and not self._slots.intersection(one.names):
                said.append(frozenset(one.names))
            elif not found and ADDRESS in one.name:
                if not said or not said[-1] & self._address_within:
                    said.append(frozenset(self._address_first))
                    by_slot = True
                    continue
            elif said and by_slot and said[-1] & begins:
                said[-1] &= begins
            elif said and said[-1] & goes_on:
                said[-1] &= goes_on
            elif found:
                said.append(begins | goes_on)
            by_slot = False
        return said


def _base(path: str | None) -> str:
    """The base name of a recorded part, "" for a slot."""
    return path.rpartition("/")[2] if path else ""


def aligned(
    told: Sequence[str], brief: Sequence[bool], heard: Sequence[frozenset[str]]
) -> tuple[str, ...]:
    """The prompts heard, each by one name.

    `told` is what the service says it said; it decides between names of the same sound, and
    adds what was cut too soon to be recognised (`brief`). All else is as it was heard.
    """
    names: list[str] = []
    place = 0
    for one in heard:
        at = place
        while at < len(told) and told[at] not in one and brief[at]:
            at += 1
        if at < len(told) and told[at] in one:
            names += told[place : at + 1]
            place = at + 1
        else:
            names.append(sorted(one)[0])
            place += 1
    while place < len(told) and brief[place]:
        names.append(told[place])
        place += 1
    return tuple(names)


def brief(moments: Sequence[Moment]) -> list[bool]:
    """Of each prompt that was begun, whether it was cut too soon to be recognised."""
    found: list[bool] = []
    for place, moment in enumerate(moments):
        if isinstance(moment.what, actions.Say):
            ends = [
                later.at
                for later in moments[place + 1 :]
                if isinstance(later.what, actions.Foreground)
                or type(later.what).__name__ in ("Said", "HungUp")
            ]
            found.append(bool(ends) and ends[0] - moment.at < BRIEF)
    return found
