"""The two sounds that are no voice: the beep before a recording, and music on hold.

Both are made here, so that nothing needs to be fetched and nobody's rights are touched. The
music is slow plucked strings on the five-tone scale, quiet enough to think beside.

Rules this module keeps: 8 kHz mono; the same sound every time, sample for sample; wav, a-law
and µ-law side by side, so that Asterisk need not convert.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000
"""Samples a second."""

Sound = NDArray[np.float64]
"""Samples between -1 and 1."""

_SCALE = (0, 2, 4, 7, 9)
"""The five-tone scale (宫商角徵羽), in semitones above its first tone."""
_TUNE = (
    *(0, 2, 4, 5, 4, 2, 3, 1),
    *(2, 4, 5, 7, 5, 4, 3, 2),
    *(7, 5, 4, 5, 3, 2, 1, 2),
    *(0, 3, 2, 4, 2, 1, 0, 0),
)
"""The upper voice, in steps of the scale."""
_BEAT = 0.75
"""Seconds from one tone to the next."""
_LOWEST = 196.0
"""Hz of the scale's first tone; a telephone carries little below."""


def beep() -> Sound:
    """A quarter of a second of 1000 Hz with soft edges, at -14 dBFS."""
    time = np.arange(RATE // 4) / RATE
    edge = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
    tone: Sound = 0.2 * np.sqrt(2) * edge * np.sin(2 * np.pi * 1000 * time)
    return tone


def music() -> Sound:
    """Music on hold: 48 s that begin where they end, -25 dBFS, peaks below -10 dBFS."""
    tune = (*_TUNE, *_TUNE[::-1])
    length = round(len(tune) * _BEAT * RATE)
    ring = 4 * RATE
    sound = np.zeros(length + ring)
    strings = {step: _pluck(_pitch(step), ring) for step in range(13)}
    for beat, step in enumerate(tune):
        start = round(beat * _BEAT * RATE)
        sound[start : start + ring] += 0.6 * strings[step + 5]
        if beat % 4 == 0:
            sound[start : start + ring] += strings[step % 5]
    sound[:ring] += sound[length:]
    whole = sound[:length]
    louder = whole * (0.056 / np.sqrt(np.mean(whole**2)))
    rounded: Sound = 0.3 * np.tanh(louder / 0.3)
    return rounded


def write(sound: Sound, folder: Path, name: str) -> None:
    """Write `name.wav`, `name.alaw` and `name.ulaw` into the folder, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"wav": ("WAV", "PCM_16"), "alaw": ("RAW", "ALAW"), "ulaw": ("RAW", "ULAW")}
    for ending, (container, coding) in kinds.items():
        file = folder / f"{name}.{ending}"
        if not file.exists():
            unfinished = folder / f".{name}.{ending}.new"
            soundfile.write(unfinished, sound, RATE, format=container, subtype=coding)
            unfinished.replace(file)


def _pitch(step: int) -> float:
    """Hz of a step of the scale."""
    octave, tone = divmod(step, len(_SCALE))
    return float(_LOWEST * 2 ** (octave + _SCALE[tone] / 12))


def _pluck(pitch: float, length: int) -> Sound:
    """A plucked string (Karplus and Strong): a burst that circles and loses its edge.

    What is lost in each round is set so that every string sounds for about three seconds,
    the high ones too.
    """
    period = round(RATE / pitch)
    wave = np.random.default_rng(period).uniform(-1, 1, period)
    for _ in range(3):  # a soft finger
        wave = (wave + np.roll(wave, 1)) / 2
    wave -= wave.mean()
    spread = min(0.25, 1 / (pitch * (1 - np.cos(2 * np.pi / period))))
    share = (1 - np.sqrt(1 - 4 * spread)) / 2
    loss = 10 ** (-0.4 / pitch)
    rounds = []
    for _ in range(length // period + 1):
        rounds.append(wave)
        wave = loss * ((1 - share) * wave + share * np.roll(wave, 1))
    string: Sound = np.concatenate(rounds)[:length]
    string[-RATE // 10 :] *= np.linspace(1, 0, RATE // 10)
    return string
