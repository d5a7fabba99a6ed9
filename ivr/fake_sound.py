"""The sound file that the fake Asterisk's RECORD FILE leaves: silence, voices and noise, as long
as it should be, 8 kHz 16-bit mono. Nothing outside the given folder is ever written."""

from __future__ import annotations

import math
import wave
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ivr import stimuli
from ivr.rtp import RATE, Samples

QUIET: Final = -50.0
"""dBFS of a voice of the quality "quiet"."""

CLIPPED: Final = 0.0
"""dBFS that a voice of the quality "clipped" would have, had it the room."""

NOISE: Final = 2200.0
"""Root mean square of the noise that lies over a recording with a voice of quality "noisy"."""


class Uttered(NamedTuple):
    """A voice or a noise of the caller: from when to when, in seconds on the fake's clock."""

    start: float
    end: float
    quality: str = "fine"


def path_in(folder: Path, name: str, extension: str) -> Path | None:
    """Where a recording goes, None if that is outside the folder or the folder is missing."""
    path = folder / f"{name}.{extension}"
    inside = path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.parent.is_dir() else None


def write(
    path: Path, began: float, ended: float, voices: Iterable[Uttered], hums: Iterable[Uttered]
) -> None:
    """Write what the caller said from `began` to `ended`."""
    sound = np.zeros(max(0, round((ended - began) * RATE)))
    noisy = False
    for uttered in voices:
        if uttered.start < ended and uttered.end > began:
            level = {"quiet": QUIET, "clipped": CLIPPED}.get(uttered.quality, stimuli.SPEECH)
            _lay(sound, uttered, began, _speech(_whole(uttered), level))
            noisy = noisy or uttered.quality == "noisy"
    for uttered in hums:
        if uttered.start < ended and uttered.end > began:
            _lay(sound, uttered, began, _hum(_whole(uttered)))
    if noisy:
        sound += np.random.default_rng(1).normal(0, NOISE, len(sound))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(sound, -32768, 32767).astype("<i2").tobytes())


@lru_cache(maxsize=32)
def _speech(seconds: int, level: float) -> Samples:
    return stimuli.speech(seconds, level)


@lru_cache(maxsize=8)
def _hum(seconds: int) -> Samples:
    return stimuli.hum(seconds)


def _whole(uttered: Uttered) -> int:
    return max(1, math.ceil(uttered.end - uttered.start))


def _lay(sound: np.ndarray, uttered: Uttered, began: float, voice: Samples) -> None:
    """Add the part of a voice that falls into the recording."""
    first = round((uttered.start - began) * RATE)
    last = min(round((uttered.end - began) * RATE), len(sound))
    voice = voice[max(0, -first) : last - first]
    sound[max(0, first) : max(0, first) + len(voice)] += voice
