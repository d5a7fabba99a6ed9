"""What a made-up caller sounds like: speech without words, and steady noise.

Rules this module keeps: the same arguments give the same sound, always; levels are dBFS of
the whole sound (root mean square); sound is 8 kHz mono `int16`.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ivr.rtp import RATE, Samples

SPEECH = -20.0
"""dBFS of speech: a talker with a good handset."""

HUM = -30.0
"""dBFS of steady noise: a fan near the telephone."""

VOWELS = ((800, 1200), (350, 2200), (500, 900), (320, 750), (500, 1800))
"""First and second formant in Hz of a, i, o, u, e."""


def speech(seconds: float, level: float = SPEECH, voice: int = 1) -> Samples:
    """Syllables of a voice that says nothing: harmonics of a gliding pitch under moving
    formants, five syllables a second with a breath between phrases. `voice` picks another."""
    random = np.random.default_rng(voice)
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    syllables = int(seconds * 5) + 2
    pitch = 105 + 15 * (voice % 6) + random.uniform(-12, 12, syllables)
    vowels = np.array([VOWELS[i] for i in random.integers(0, len(VOWELS), syllables)], float)
    knots = np.arange(syllables) / 5
    phase = 2 * np.pi * np.cumsum(np.interp(time, knots, pitch)) / RATE
    formants = [np.interp(time, knots, vowels[:, i]) for i in range(2)]
    sound = np.zeros(count)
    for harmonic in range(2, 28):  # a telephone passes 300 to 3400 Hz
        frequency = harmonic * np.interp(time, knots, pitch)
        weight = sum(
            np.exp(-(((frequency - formant) / 180) ** 2)) * share
            for formant, share in zip(formants, (1.0, 0.4), strict=True)
        )
        sound += (weight + 0.02) * np.sin(harmonic * phase)
    beat = np.sin(np.pi * ((time * 5) % 1)) ** 0.7
    breath = np.where((time * 5) % 8 < 7, 1.0, 0.05)
    return _levelled(sound * beat * breath, level)


def hum(seconds: float, level: float = HUM) -> Samples:
    """Steady noise between 100 and 1000 Hz."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequency < 100) | (frequency > 1000)] = 0
    return _levelled(np.fft.irfft(spectrum, count), level)


def wav(path: Path) -> Samples:
    """The sound in a wav file. Raises ValueError unless it is 8 kHz mono, 16 bits."""
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{path.name} is not 8 kHz mono with 16 bits: convert it first")
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.int16)


def _levelled(sound: npt.NDArray[np.float64], level: float) -> Samples:
    power = float(np.sqrt(np.mean(sound**2))) if len(sound) else 0.0
    gain = 32768 * 10 ** (level / 20) / power if power else 0.0
    return np.clip(sound * gain, -32768, 32767).astype(np.int16)
