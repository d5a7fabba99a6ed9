"""How far a prompt, laid over a recording at one place, is what is heard there.

A prompt is followed at 8 kHz in steps of 20 ms for as long as it matches, over small jumps of
the line's clock and over a pause in which it was interrupted and taken up again.

Rules this module keeps: pure; places and lengths are in samples, evidence is in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivr.rtp import RATE

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]

HEAD = 0.4
"""Seconds of sound by which a prompt is found."""

BRIEF = 2 * HEAD
"""Seconds of sound under which a prompt must be heard whole, and a piece resemble it more."""

CLOSE = 0.7
"""Correlation of its head, at full rate, from which on a prompt is followed."""

NEAR = 4
"""Samples around the place given, where the prompt may really begin."""

SURE = 0.8
"""Correlation of all that was heard of a prompt, from which on it is that prompt."""

SAME = 0.92
"""Correlation of a brief piece, from which on it is that prompt, or a prompt that was interrupted
is going on after a jump: two other syllables of the same voice can be as near as 0.91."""

STEP = RATE // 50
"""Samples compared at a time while following a prompt."""

GAP = 0.8
"""Seconds for which a prompt may be interrupted and still be the same."""

CUT = 0.08
"""Seconds of evidence by which a prompt heard to its end is preferred to one cut short."""

JUMP = 0.05
"""Seconds of evidence by which a prompt heard in one piece is preferred to one in two."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A prompt, and what is needed to know it: where its sound begins (`first`) and ends
    (`last`), in samples of `sound`. All `names` have this very sound."""

    names: tuple[str, ...]
    sound: Floats
    first: int
    last: int
    core: int
    """Where the last of its sound ends that noise on the line does not drown."""
    power: float
    """Mean square of its sound."""

    @property
    def length(self) -> int:
        """How long it sounds."""
        return self.last - self.first


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A template laid over the recording; places are samples of the recording."""

    template: Template
    start: int
    end: int
    sound_end: int
    evidence: float
    score: float
    cut: bool

    @property
    def sound_start(self) -> int:
        """Where its first sound is."""
        return self.start + self.template.first

    @property
    def strength(self) -> float:
        """What it is preferred to others by: how much of the recording it explains, in s."""
        return self.evidence - (CUT if self.cut else 0.0)


def template_of(name: str, sound: Floats) -> Template:
    """Find where the sound begins and ends: within 40 dB of its loudest 10 ms (core: 23 dB).

    Raises ValueError for one without sound.
    """
    frame = RATE // 100
    count = len(sound) // frame
    power = np.mean(sound[: count * frame].reshape(count, frame) ** 2, axis=1)
    if not count or power.max() < 1:
        raise ValueError(f"{name} has no sound to know it by")
    loud = np.flatnonzero(power > power.max() * 1e-4)
    core = np.flatnonzero(power > power.max() * 5e-3)
    first, last, end = int(loud[0]), int(loud[-1]) + 1, int(core[-1]) + 1
    loudness = float(power[first:end].mean())
    return Template((name,), sound, first * frame, last * frame, end * frame, loudness)


def head_length(template: Template) -> int:
    """How much of its sound it is looked for by."""
    return min(round(HEAD * RATE), template.length)


def overlap(a: Match, b: Match) -> int:
    """How far two matches claim the same sound; negative if they are apart."""
    return min(a.sound_end, b.sound_end) - max(a.sound_start, b.sound_start)


def follow(template: Template, sound: Floats, place: int) -> list[Match]:
    """Lay a template whose sound begins near `place` over the recording, as far as it goes.

    A prompt that was interrupted and went on may also have been cut off there, with another
    one after it that has the same words: both are returned, to compete.
    """
    head = template.sound[template.first : template.first + head_length(template)]
    found = _find(head, sound, place - NEAR, place + NEAR)
    if found is None or found[1] < CLOSE:
        return []
    matches: list[Match] = []
    start = found[0] - template.first
    position, shift, evidence = template.first, start, 0.0
    sums = np.zeros(3)
    while True:
        position, gain, more = _walk(template, sound, position, shift)
        evidence, sums = evidence + gain, sums + more
        score = float(sums[0] / max(np.sqrt(sums[1] * sums[2]), 1e-9))
        cut = template.core - position >= 2 * STEP
        whole = template.core - template.first
        heard = position - template.first
        needed = whole - 2 * STEP if whole < BRIEF * RATE else HEAD * RATE
        if heard >= needed and score >= (SAME if heard < BRIEF * RATE else SURE):
            end = shift + (position if cut else len(template.sound))
            last = shift + (position if cut else max(position, template.core))
            matches.append(Match(template, start, end, last, evidence, min(score, 1.0), cut))
        again = _resume(template, sound, position, shift) if cut and score > SAME else None
        if again is None:
            return matches
        position, shift = again
        evidence -= JUMP


def _walk(template: Template, sound: Floats, position: int, shift: int) -> tuple[int, float, Sums]:
    """Compare from `position` on, step by step, with the recording `shift` samples further on.

    Returns how far it matches, the evidence in seconds, and the sums of the correlation.
    """
    count = min(template.last - position, len(sound) - position - shift) // STEP
    if count <= 0 or position + shift < 0:
        return position, 0.0, np.zeros(3)
    length = count * STEP
    a = template.sound[position : position + length].reshape(count, STEP)
    b = sound[position + shift : position + shift + length].reshape(count, STEP)
    dots = np.einsum("ij,ij->i", a, b)
    own, other = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    # a loud step counts fully, a soft one for little: there, noise and G.711 have the say
    weight = np.minimum(1.0, np.sqrt(own / (template.power * STEP)))
    # a step of the right shape at another level is not this prompt either
    likeness = dots / np.maximum(np.maximum(np.sqrt(own * other), own * 0.1), 1e-9)
    gains = np.cumsum(weight * (2 * likeness - 1)) * STEP / RATE
    best = int(np.argmax(gains))
    if gains[best] <= 0:
        return position, 0.0, np.zeros(3)
    sums = np.array([part[: best + 1].sum() for part in (dots, own, other)], dtype=np.float64)
    return position + (best + 1) * STEP, float(gains[best]), sums


def _resume(template: Template, sound: Floats, position: int, shift: int) -> tuple[int, int] | None:
    """Where a prompt that does not go on as it should goes on after all, if it does.

    Returns the position in the template and the new shift.
    """
    for piece, skipped in ((0.3, 0.0), (0.3, 0.06), (0.16, 0.0), (0.16, 0.04)):
        begin = position + round(skipped * RATE)
        part = template.sound[begin : min(begin + round(piece * RATE), template.last)]
        if len(part) < 4 * STEP:
            break
        near = begin + shift
        found = _find(part, sound, near - round(0.05 * RATE), near + round(GAP * RATE))
        if found is not None and found[1] > SAME and found[0] - begin != shift:
            return begin, found[0] - begin
    return None


def _find(part: Floats, sound: Floats, begin: int, end: int) -> tuple[int, float] | None:
    """Where in the recording, from `begin` to `end`, `part` fits best, and how well."""
    begin, end = max(begin, 0), min(end, len(sound) - len(part))
    if end < begin:
        return None
    window = sound[begin : end + len(part)]
    if end - begin <= 64:
        dots = np.correlate(window, part, "valid")
    else:
        size = 1 << (len(window) - 1).bit_length()
        spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size))
        dots = np.fft.irfft(spectrum, size)[: end - begin + 1].astype(np.float32)
    power = np.concatenate([[0.0], np.cumsum(window.astype(np.float64) ** 2)])
    norm = np.sqrt(power[len(part) :] - power[: end - begin + 1])
    own = float(np.linalg.norm(part))
    fit = dots / np.maximum(norm, own * 0.03 + 1e-3) / max(own, 1e-9)
    best = int(np.argmax(fit))
    return begin + best, float(fit[best])
