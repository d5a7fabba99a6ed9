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
  Where only the silence around it differs, `start` and `end` are those of the shortest.
- `start` and `end` are those of the prompt's file, with the silence at its ends, which is what
  pauses are counted between: a flow waits from the end of playing to the start of playing.
  `sound_start` and `sound_end` are its first and last sound.
- A prompt that was cut short ends where it was cut; it must be heard for 0.4 s at least, and
  one that is shorter than twice that, wholly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ivr.match import Floats, Match, Template, follow, head_length, overlap, template_of
from ivr.recording import Recording
from ivr.rtp import RATE, Samples

COARSE = 2
"""The first look is at every so manieth sample, after a low-pass filter."""

LIKENESS = 0.5
"""Correlation at the first look from which on a place is worth following."""

BLOCK = 8192
"""Samples transformed at a time at the first look."""

GROUP = 24
"""Prompts looked for together: bounds the memory, about 40 MB for a minute."""

OVERLAP = 0.06
"""Seconds by which two prompts may seem to overlap."""

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


class Ear:
    """Knows prompts by their sound. Making one takes some 2 ms a prompt; keep it."""

    def __init__(self, templates: Mapping[str, Samples]) -> None:
        """`templates` are the prompts by name. Raises ValueError for one without sound."""
        same: dict[bytes, list[str]] = {}
        known: dict[bytes, Template] = {}
        for name, samples in templates.items():
            template = template_of(name, np.asarray(samples, dtype=np.float32))
            key = template.sound[template.first : template.last].tobytes()
            same.setdefault(key, []).append(name)
            shortest = known.setdefault(key, template)
            if len(template.sound) < len(shortest.sound):
                known[key] = template
        self._templates = [replace(known[key], names=tuple(same[key])) for key in same]
        heads = [
            _decimated(t.sound)[t.first // COARSE :][: head_length(t) // COARSE]
            for t in self._templates
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
            for match in follow(self._templates[number], sound, place)
        ]
        chosen: list[Match] = []
        for match in sorted(matches, key=lambda match: -match.strength):
            if all(overlap(match, other) <= OVERLAP * RATE for other in chosen):
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
