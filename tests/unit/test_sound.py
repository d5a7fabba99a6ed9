"""Sound: the telephone band, equal levels, files all or nothing, and what a recording is worth."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ivr import rtp, sound, stimuli
from ivr.sound import HZ, Sound


def tone(hz: float, seconds: float, level: float = -12.0, rate: int = 24_000) -> Sound:
    t = np.arange(round(seconds * rate)) / rate
    return Sound((10 ** (level / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32), rate)


def noise(seconds: float, level: float, rate: int = HZ) -> Sound:
    samples = np.random.default_rng(3).standard_normal(round(seconds * rate))
    return Sound((10 ** (level / 20) * samples).astype(np.float32), rate)


def rms(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt((samples.astype(np.float64) ** 2).mean()) + 1e-12))


def a_sentence(root: Path) -> Sound:
    """The longest committed prompt: the nearest thing to a human voice that we have."""
    masters = sorted((root / "prompts/audio/zh").rglob("*.flac"), key=lambda p: p.stat().st_size)
    return sound.read(masters[-1])


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Speech with a -20 dBFS level where there is speech, half a second of silence around."""
    spoken = a_sentence(ROOT).samples[: 6 * HZ]
    active = spoken[np.abs(spoken) > 0.02]
    silence = np.zeros(HZ // 2, np.float32)
    level = 10 ** (-20 / 20) / np.sqrt((active**2).mean())
    return np.concatenate([silence, spoken * level, silence])


def with_floor(samples: np.ndarray, level: float) -> Sound:
    return Sound(samples + noise(len(samples) / HZ, level).samples[: len(samples)], HZ)


# ---------------------------------------------------------------- band and level


def test_a_tone_above_the_band_is_gone_and_not_folded_back() -> None:
    for hz in (4_500, 5_000, 6_000, 7_000):
        assert rms(sound.telephone(tone(hz, 1.0)).samples[1000:7000]) < -90


def test_a_tone_in_the_band_keeps_its_level() -> None:
    for hz in (500, 1_000, 3_000):
        middle = sound.telephone(tone(hz, 1.0)).samples[1000:7000]
        assert rms(middle) == pytest.approx(-15.0, abs=0.1)


def test_mains_hum_does_not_pass() -> None:
    assert rms(sound.telephone(tone(50, 1.0)).samples[1000:7000]) < -60


def test_samples_above_full_scale_are_turned_down_and_not_clipped() -> None:
    loud = sound.telephone(tone(1_000, 1.0, level=+3.0))
    assert np.abs(loud.samples).max() <= 1.0
    assert len(np.flatnonzero(np.abs(loud.samples) > 0.999)) < 500


@pytest.mark.parametrize("level", [-40.0, -20.0, -3.0])
@pytest.mark.parametrize("seconds", [0.25, 2.0])
def test_every_master_is_equally_loud_whatever_came_in(level: float, seconds: float) -> None:
    made = sound.master(tone(1_000, seconds, level), 0.1, 0.25)
    assert sound.loudness(made) == pytest.approx(sound.LOUDNESS, abs=0.3)
    assert sound.peak(made) <= sound.CEILING + 0.05


def test_peaks_are_held_without_losing_loudness() -> None:
    spiky = noise(2.0, -30.0)
    spiky.samples[::800] = 0.9
    made = sound.master(spiky, 0.0, 0.0)
    assert sound.peak(made) <= sound.CEILING + 0.05
    assert sound.loudness(made) == pytest.approx(sound.LOUDNESS, abs=0.5)


def test_silence_at_the_edges_is_replaced_by_what_was_asked_for() -> None:
    silence = np.zeros(24_000, np.float32)
    padded = Sound(np.concatenate([silence, tone(800, 0.5).samples, silence]), 24_000)
    made = sound.master(padded, 0.10, 0.25)
    assert made.seconds == pytest.approx(0.85, abs=0.08)
    assert not made.samples[: round(0.099 * HZ)].any()
    assert not made.samples[-round(0.249 * HZ) :].any()


def test_a_master_of_silence_is_refused() -> None:
    with pytest.raises(ValueError, match="no sound"):
        sound.master(Sound(np.zeros(24_000, np.float32), 24_000), 0.1, 0.1)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(("kind", "off"), [("flac", 3e-4), ("wav", 1e-4), ("alaw", 0.03)])
def test_a_file_holds_what_was_written(tmp_path: Path, kind: str, off: float) -> None:
    made = sound.master(tone(1_000, 0.5), 0.1, 0.1)
    sound.write(tmp_path / f"a.{kind}", made)
    if kind == "alaw":
        back, hz = soundfile.read(
            tmp_path / "a.alaw", format="RAW", subtype="ALAW", samplerate=HZ, channels=1
        )
        assert (tmp_path / "a.alaw").stat().st_size == len(made.samples)
    else:
        read = sound.read(tmp_path / f"a.{kind}")
        back, hz = read.samples, read.hz
    assert hz == HZ
    assert np.abs(back - made.samples).max() < off
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


def test_a_recording_of_a_caller_is_for_its_owner_only(tmp_path: Path) -> None:
    sound.write(tmp_path / "slice.wav", tone(900, 0.3, rate=HZ))
    sound.join([tmp_path / "slice.wav"], tmp_path / "whole.wav")
    assert (tmp_path / "whole.wav").stat().st_mode & 0o777 == 0o600


def test_slices_are_joined_in_order(tmp_path: Path) -> None:
    pieces = [tone(hz, 0.5, rate=HZ) for hz in (500, 900, 1500)]
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for path, piece in zip(paths, pieces, strict=True):
        sound.write(path, piece)
    whole = sound.join(paths, tmp_path / "whole.wav")
    assert whole.seconds == pytest.approx(1.5)
    expected = np.concatenate([piece.samples for piece in pieces])
    assert np.abs(sound.read(tmp_path / "whole.wav").samples - expected).max() < 1e-3


def test_a_slice_whose_writer_died_before_the_header_was_done_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    sound.write(path, tone(900, 1.0, rate=HZ))
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", 36)
    data[40:44] = struct.pack("<I", 0)
    path.write_bytes(data)
    assert sound.read(path).seconds == pytest.approx(1.0)


def test_an_unreadable_slice_does_not_cost_the_others(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"")
    sound.write(tmp_path / "good.wav", tone(900, 0.5, rate=HZ))
    paths = [tmp_path / "missing.wav", tmp_path / "bad.wav", tmp_path / "good.wav"]
    assert sound.join(paths, tmp_path / "whole.wav").seconds == pytest.approx(0.5)


def test_no_readable_slice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.wav"):
        sound.join([tmp_path / "missing.wav"], tmp_path / "whole.wav")


# ---------------------------------------------------------------- what a recording is worth


def test_a_clear_voice_is_fine(voice: np.ndarray) -> None:
    assert sound.quality(with_floor(voice, -60)) == "fine"
    assert sound.quality(with_floor(voice * 0.4, -64)) == "fine"


def test_a_voice_with_a_long_pause_is_fine(voice: np.ndarray) -> None:
    assert sound.quality(with_floor(np.pad(voice, (0, 10 * HZ)), -60)) == "fine"


def test_nothing_and_line_noise_are_silent() -> None:
    assert sound.quality(Sound(np.zeros(0, np.float32), HZ)) == "silent"
    assert sound.quality(Sound(np.zeros(4 * HZ, np.float32), HZ)) == "silent"
    assert sound.quality(noise(4.0, -66)) == "silent"


def test_a_distant_voice_is_quiet(voice: np.ndarray) -> None:
    assert sound.quality(with_floor(voice * 10 ** (-27 / 20), -72)) == "quiet"


def test_noise_alone_and_a_voice_in_noise_are_noisy(voice: np.ndarray) -> None:
    assert sound.quality(noise(4.0, -30)) == "noisy"
    assert sound.quality(with_floor(voice, -21)) == "noisy"


def test_a_busy_tone_is_no_message() -> None:
    t = np.arange(5 * HZ) / HZ
    busy = np.where((t % 0.7) < 0.35, 0.18 * np.sin(2 * np.pi * 450 * t), 0)
    assert sound.quality(with_floor(busy.astype(np.float32), -66)) == "noisy"


def test_a_voice_cut_off_at_the_top_is_clipped_even_when_turned_down_after(
    voice: np.ndarray,
) -> None:
    clipped = np.clip(voice * 12, -1, 1)
    assert sound.quality(with_floor(clipped * 0.99, -60)) == "clipped"
    assert sound.quality(with_floor(clipped * 0.4, -66)) == "clipped"


def test_a_soft_voice_on_an_a_law_line_is_quiet_and_no_noise() -> None:
    silence = np.zeros(2880, np.int16)
    sent = np.concatenate([silence, stimuli.speech(1.0, -44.0), silence[:800]])
    heard = rtp.ALAW.decode(rtp.ALAW.encode(sent))  # its silence is a constant 8
    assert heard[0] == 8
    assert sound.quality(Sound((heard / 32768).astype(np.float32), HZ)) == "quiet"


def test_a_recording_at_another_rate_is_judged_too(voice: np.ndarray) -> None:
    assert sound.quality(Sound(np.repeat(voice, 2), 2 * HZ)) == "fine"
