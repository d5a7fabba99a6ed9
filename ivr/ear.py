"""Which prompts were heard in a recording, and when.

For the live tests and for the telephone in the terminal, which shows what is being said.

How: the first 0.4 s of sound of every prompt is looked for everywhere at once, at 4 kHz, by
normalised cross-correlation over shared spectra. Each place found is followed at 8 kHz through
the whole prompt in steps of 20 ms, as far as it matches, over small jumps of the line's clock
and over a pause in which a prompt was interrupted and taken up again. Then they compete: what
explains more of the sound wins its stretch of the recording.

Rules this module keeps:

- Pure: arrays in, values out. 8 kHz mono `int16`; times in seconds on the recording's own
  clock (monotonic seconds for a `Recording`).
- Prompts with the very same sound cannot be told apart: one `Heard` carries all their names.
- `start` and `end` are those of the prompt's file, with the silence at its ends, which is what
  pauses are counted between: a flow waits from the end of playing to the start of playing.
  `sound_start` and `sound_end` are its first and last sound.
- A prompt that was cut short ends where it was cut; it must be heard for 0.4 s at least, and
  one that is shorter than twice that, wholly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ivr.recording import Recording
from ivr.rtp import RATE, Samples

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]

COARSE = 2
"""The first look is at every so manieth sample, after a low-pass filter."""

HEAD = 0.4
"""Seconds of sound by which a prompt is found."""

LIKENESS = 0.5
"""Correlation at the first look from which on a place is worth following."""

CLOSE = 0.7
"""Correlation of its head, at full rate, from which on a prompt is followed."""

SURE = 0.8
"""Correlation of all that was heard of a prompt, from which on it is that prompt."""

SAME = 0.92
"""Correlation of a short piece, from which on a prompt is going on after a jump."""

STEP = RATE // 50
"""Samples compared at a time while following a prompt."""

BLOCK = 8192
"""Samples transformed at a time at the first look."""

GROUP = 24
"""Prompts looked for together: bounds the memory, about 40 MB for a minute."""

GAP = 0.8
"""Seconds for which a prompt may be interrupted and still be the same."""

OVERLAP = 0.06
"""Seconds by which two prompts may seem to overlap."""

CUT = 0.08
"""Seconds of evidence by which a prompt heard to its end is preferred to one cut short."""

QUIET = -45.0
"""dBFS below which there is silence (a telephone line is never quite still)."""

SOFT = -55.0
"""dBFS below which there is no music: its notes die away softly."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A prompt that was heard. `names` are all prompts that sound exactly like this one.

    `score` is the correlation, 1.0 for the very same sound; `cut` says that its end is missing.
    """

    name: str
    start: float
    end: float
    score: float
    sound_start: float
    sound_end: float
    cut: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording, in seconds on its clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class _Template:
    names: tuple[str, ...]
    sound: Floats
    first: int
    last: int
    core: int
    """Where the last of its sound ends that noise on the line does not drown."""

    @property
    def length(self) -> int:
        return self.last - self.first


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """A template laid over the recording; places are samples of the recording."""

    template: _Template
    start: int
    end: int
    sound_end: int
    evidence: float
    score: float
    cut: bool

    @property
    def sound_start(self) -> int:
        return self.start + self.template.first

    @property
    def strength(self) -> float:
        return self.evidence - (CUT if self.cut else 0.0)


class Ear:
    """Knows prompts by their sound. Making one takes some 2 ms a prompt; keep it."""

    def __init__(self, templates: Mapping[str, Samples]) -> None:
        """`templates` are the prompts by name. Raises ValueError for one without sound."""
        same: dict[bytes, list[str]] = {}
        sounds: dict[bytes, Floats] = {}
        for name, samples in templates.items():
            key = np.asarray(samples, dtype=np.int16).tobytes()
            same.setdefault(key, []).append(name)
            sounds[key] = np.asarray(samples, dtype=np.float32)
        self._templates = [_template(tuple(same[key]), sounds[key]) for key in same]
        heads = [
            _decimated(t.sound)[t.first // COARSE :][: _head(t) // COARSE] for t in self._templates
        ]
        self._lengths = np.array([len(head) for head in heads])
        self._norms = np.array([np.linalg.norm(head) for head in heads], dtype=np.float32)
        padded = np.zeros((len(heads), BLOCK), dtype=np.float32)
        for row, head in zip(padded, heads, strict=True):
            row[: len(head)] = head
        self._heads = np.conj(np.fft.rfft(padded)).astype(np.complex64)

    def recognise(self, recording: Recording | Samples, began: float = 0.0) -> list[Heard]:
        """What was heard, in the order it began. `began` is the moment of an array's start."""
        samples, began = _sound(recording, began)
        sound = samples.astype(np.float32)
        matches = [
            match
            for number, place in self._places(sound)
            for match in _follow(self._templates[number], sound, place)
        ]
        chosen: list[_Match] = []
        for match in sorted(matches, key=lambda match: -match.strength):
            if all(_overlap(match, other) <= OVERLAP * RATE for other in chosen):
                chosen.append(match)
        chosen.sort(key=lambda match: match.sound_start)
        return [
            Heard(
                name=match.template.names[0],
                start=began + match.start / RATE,
                end=began + match.end / RATE,
                score=match.score,
                sound_start=began + match.sound_start / RATE,
                sound_end=began + match.sound_end / RATE,
                cut=match.cut,
                names=match.template.names,
            )
            for match in chosen
        ]

    def _places(self, sound: Floats) -> list[tuple[int, int]]:
        """Templates, and samples where their sound may begin in the recording."""
        if not len(self._templates) or not len(sound):
            return []
        coarse = _decimated(sound)
        longest = int(self._lengths.max())
        hop = BLOCK - longest
        count = -(-len(coarse) // hop)
        padded = np.zeros((count - 1) * hop + BLOCK, dtype=np.float32)
        padded[: len(coarse)] = coarse
        blocks = np.lib.stride_tricks.sliding_window_view(padded, BLOCK)[::hop]
        spectra = np.fft.rfft(blocks).astype(np.complex64)
        power = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
        loudness: dict[int, Floats] = {}
        for length in np.unique(self._lengths):
            norm = np.sqrt(power[length : length + count * hop] - power[: count * hop])
            loudness[int(length)] = np.maximum(norm, 1e-3).astype(np.float32)
        places: list[tuple[int, int]] = []
        for begin in range(0, len(self._templates), GROUP):
            group = slice(begin, begin + GROUP)
            product = self._heads[group, None, :] * spectra[None, :, :]
            likeness = np.fft.irfft(product, BLOCK)[:, :, :hop].astype(np.float32)
            for row, values in enumerate(likeness.reshape(len(product), -1), begin):
                norm = loudness[int(self._lengths[row])]
                # what is 30 dB softer than the prompt is not that prompt
                limit = np.maximum(norm, self._norms[row] * 0.03) * self._norms[row] * LIKENESS
                above = np.flatnonzero(values > limit)
                ratio = values[above] / limit[above]
                places.extend((row, int(above[peak]) * COARSE) for peak in _peaks(above, ratio))
        return places


def pauses(heard: Sequence[Heard], *, sounds: bool = False) -> list[float]:
    """Seconds between each prompt and the next: from end to start of their files, or, with
    `sounds`, from last sound to first sound."""
    return [
        (b.sound_start - a.sound_end) if sounds else (b.start - a.end) for a, b in pairwise(heard)
    ]


def silences(
    recording: Recording | Samples,
    began: float = 0.0,
    *,
    shortest: float = 0.2,
    level: float = QUIET,
) -> list[Stretch]:
    """Stretches of at least `shortest` seconds that stay below `level` dBFS, to 10 ms."""
    samples, began = _sound(recording, began)
    frame = RATE // 100
    count = len(samples) // frame
    power = np.mean(samples[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1)
    still = np.concatenate([[False], power < (32768 * 10 ** (level / 20)) ** 2, [False]])
    edges = np.flatnonzero(np.diff(still.astype(np.int8))).reshape(-1, 2)
    return [
        Stretch(began + begin / 100, began + end / 100)
        for begin, end in edges.tolist()
        if (end - begin) / 100 >= shortest
    ]


def music(
    recording: Recording | Samples,
    heard: Sequence[Heard],
    began: float = 0.0,
    *,
    shortest: float = 0.5,
    level: float = SOFT,
) -> list[Stretch]:
    """Stretches of at least `shortest` seconds with sound that is none of the prompts `heard`.

    Pauses of less than half a second within them do not count.
    """
    samples, began = _sound(recording, began)
    ended = began + len(samples) / RATE
    quiet = silences(samples, began, shortest=0.5, level=level)
    taken = sorted([(s.start, s.end) for s in quiet] + [(h.start, h.end) for h in heard])
    found, position = [], began
    for start, end in [*taken, (ended, ended)]:
        if start - position >= shortest:
            found.append(Stretch(position, start))
        position = max(position, end)
    return found


# ---------------------------------------------------------------- templates


def _sound(recording: Recording | Samples, began: float) -> tuple[Samples, float]:
    if isinstance(recording, Recording):
        return recording.samples(), recording.began
    return recording, began


def _template(names: tuple[str, ...], sound: Floats) -> _Template:
    """Find where the sound begins and ends: within 40 dB of its loudest 10 ms (core: 23 dB)."""
    frame = RATE // 100
    count = len(sound) // frame
    power = np.mean(sound[: count * frame].reshape(count, frame) ** 2, axis=1)
    if not count or power.max() < 1:
        raise ValueError(f"{names[0]} has no sound to know it by")
    loud = np.flatnonzero(power > power.max() * 1e-4)
    core = np.flatnonzero(power > power.max() * 5e-3)
    first, last, end = int(loud[0]), int(loud[-1]) + 1, int(core[-1]) + 1
    return _Template(names, sound, first * frame, last * frame, end * frame)


def _head(template: _Template) -> int:
    return min(round(HEAD * RATE), template.length)


def _decimated(sound: Floats) -> Floats:
    """Every `COARSE`th sample, after a low-pass filter at 0.9 of the new Nyquist frequency."""
    taps = np.arange(-32, 33)
    kernel = np.sinc(taps * 0.9 / COARSE) * np.hamming(len(taps))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    filtered = np.convolve(sound, kernel)[32 : 32 + len(sound)]
    return filtered[::COARSE].astype(np.float32)


def _peaks(places: npt.NDArray[np.intp], values: Floats) -> list[int]:
    """Indexes of the highest values of each cluster of places: of speech, every period looks
    much like the next, so those nearly as high are worth a closer look too."""
    if not len(places):
        return []
    apart = np.diff(places)
    before = np.concatenate([[0.0], np.where(apart == 1, values[:-1], 0)])
    after = np.concatenate([np.where(apart == 1, values[1:], 0), [0.0]])
    peaks = np.flatnonzero((values >= before) & (values > after))
    bounds = np.flatnonzero(np.diff(places[peaks]) > RATE // COARSE // 50) + 1
    return [
        int(peak)
        for cluster in np.split(peaks, bounds)
        for peak in cluster[values[cluster] > 0.8 * values[cluster].max()]
    ]


# ---------------------------------------------------------------- following a prompt


def _overlap(a: _Match, b: _Match) -> int:
    return min(a.sound_end, b.sound_end) - max(a.sound_start, b.sound_start)


def _follow(template: _Template, sound: Floats, place: int) -> list[_Match]:
    """Lay a template whose sound begins near `place` over the recording, as far as it goes.

    A prompt that was interrupted and went on may also have been cut off there, with another
    one after it that has the same words: both are returned, to compete.
    """
    head = template.sound[template.first : template.first + _head(template)]
    found = _find(head, sound, place - 2 * COARSE, place + 2 * COARSE)
    if found is None or found[1] < CLOSE:
        return []
    matches: list[_Match] = []
    start = found[0] - template.first
    position, shift, evidence = template.first, start, 0.0
    sums = np.zeros(3)
    while True:
        position, gain, more = _walk(template, sound, position, shift)
        evidence, sums = evidence + gain, sums + more
        score = float(sums[0] / max(np.sqrt(sums[1] * sums[2]), 1e-9))
        cut = template.core - position >= 2 * STEP
        whole = template.core - template.first
        needed = whole - 2 * STEP if whole < 2 * HEAD * RATE else HEAD * RATE
        if position - template.first >= needed and score >= SURE:
            end = shift + (position if cut else len(template.sound))
            last = shift + (position if cut else max(position, template.core))
            matches.append(_Match(template, start, end, last, evidence, min(score, 1.0), cut))
        again = _resume(template, sound, position, shift) if cut and score > SAME else None
        if again is None:
            return matches
        position, shift = again


def _walk(template: _Template, sound: Floats, position: int, shift: int) -> tuple[int, float, Sums]:
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
    weight = np.minimum(1.0, np.sqrt(own / (own.mean() + 1e-9)))
    # a step of the right shape at another level is not this prompt either
    likeness = dots / np.maximum(np.maximum(np.sqrt(own * other), own * 0.1), 1e-9)
    gains = np.cumsum(weight * (2 * likeness - 1)) * STEP / RATE
    best = int(np.argmax(gains))
    if gains[best] <= 0:
        return position, 0.0, np.zeros(3)
    sums = np.array([part[: best + 1].sum() for part in (dots, own, other)], dtype=np.float64)
    return position + (best + 1) * STEP, float(gains[best]), sums


def _resume(
    template: _Template, sound: Floats, position: int, shift: int
) -> tuple[int, int] | None:
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
