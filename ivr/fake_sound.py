"""The sound file that the fake Asterisk's RECORD FILE leaves: silence, voice or noise, as long
as it should be, 8 kHz 16-bit mono. Nothing outside the given folder is ever written."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

RATE = 8000
Interval = tuple[float, float]
"""From when to when, in seconds on the fake's clock."""


def path_in(folder: Path, name: str, extension: str) -> Path | None:
    """Where a recording goes, None if that is outside the folder or the folder is missing."""
    path = folder / f"{name}.{extension}"
    inside = path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.parent.is_dir() else None


def write(
    path: Path, began: float, ended: float, voices: Iterable[Interval], hums: Iterable[Interval]
) -> None:
    """Write what the caller said from `began` to `ended`."""
    count = max(0, round((ended - began) * RATE))
    sound = np.zeros(count)
    time = np.arange(count) / RATE
    for start, end in voices:
        where = (time >= start - began) & (time < end - began)
        # a hoarse vowel that swells four times a second, so that it is taken for a voice
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
        vowel = sum(np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 12))
        sound[where] += (4000 * swell * vowel)[where]
    for start, end in hums:
        where = (time >= start - began) & (time < end - began)
        noise = np.random.default_rng(1).normal(0, 200, count)
        sound[where] += noise[where]
    samples = np.clip(sound, -32000, 32000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
