"""What a phone sends keeps its pace, and what it records lies where it was heard."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from ivr import rtp, stimuli
from ivr.media import Media
from ivr.recording import Recording
from ivr.rtp import RATE, Packet, Samples
from ivr.sdp import Terms
from ivr.udp import Port


async def test_the_pace_does_not_drift_when_the_loop_is_held_up() -> None:
    came: list[float] = []
    listener = Port("127.0.0.1", 0, lambda data, source, when: came.append(when))
    media = Media("127.0.0.1")
    media.connect(Terms(listener.address, rtp.ALAW, 101, sending=True))
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        await asyncio.sleep(0.03)
        busy = time.monotonic() + 0.035
        while time.monotonic() < busy:
            pass  # the whole loop stands still, as under load
    expected = (time.monotonic() - began) / 0.02
    await asyncio.sleep(0)
    media.close()
    listener.close()
    assert len(came) == pytest.approx(expected, abs=3)


async def test_times_of_arrival_are_the_kernels_not_those_of_a_busy_reader() -> None:
    came: list[float] = []
    port = Port("127.0.0.1", 0, lambda data, source, when: came.append(when))
    sender = Port("127.0.0.1", 0, lambda data, source, when: None)
    sent = time.monotonic()
    sender.send(b"x", port.address)
    while time.monotonic() < sent + 0.1:
        pass
    await asyncio.sleep(0.02)
    sender.close()
    port.close()
    assert came == [pytest.approx(sent, abs=0.02)]


def tone(number: int) -> Samples:
    return np.full(160, number + 1, np.int16)


def test_a_recording_is_silent_where_nothing_came_and_true_where_packets_were_late() -> None:
    recording = Recording(10.0)
    for number in (0, 1, 2, 3, 50, 51, 52):
        late = {1: 0.015, 51: 0.018}.get(number, 0.0)
        packet = Packet(8, number, number * 160 + (1 << 32) - 320 & 0xFFFFFFFF, 9, b"")
        recording.add(10.5 + number * 0.02 + late, packet, tone(number))
    recording.ended = 12.0
    sound = recording.samples()
    assert len(sound) == 2 * RATE
    assert np.flatnonzero(sound).tolist() == [*range(4000, 4640), *range(12000, 12480)]
    assert sound[4160:4320].tolist() == [2] * 160


def test_repeated_and_swapped_packets_are_laid_down_once_and_in_order() -> None:
    recording = Recording(0.0)
    for number in (0, 1, 3, 2, 2, 4):
        packet = Packet(8, number, number * 160, 9, b"")
        recording.add(1.0 + number * 0.02 + 0.001, packet, tone(number))
    sound = recording.samples()[8008:]
    assert sound.tolist() == [value for number in range(5) for value in [number + 1] * 160]


def test_a_sender_that_loses_time_is_laid_down_where_it_really_was() -> None:
    recording = Recording(0.0)
    for number in range(100):
        slip = 0.04 if number >= 50 else 0.0
        packet = Packet(8, number, number * 160, 9, b"")
        recording.add(1.0 + number * 0.02 + slip, packet, tone(number))
    sound = recording.samples()
    assert np.flatnonzero(sound == 51)[0] == pytest.approx((1.0 + 50 * 0.02 + 0.04) * RATE, abs=1)


def test_a_recording_is_written_as_a_wav_file(tmp_path: Path) -> None:
    recording = Recording(0.0)
    recording.add(0.0, Packet(8, 0, 0, 1, b""), tone(6))
    recording.wav(tmp_path / "heard.wav")
    assert stimuli.wav(tmp_path / "heard.wav").tolist() == [7] * 160
