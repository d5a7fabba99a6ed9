"""What was heard on a call, as one array of sound that lies true on the clock.

Rules this module keeps:

- No socket and no clock: packets come in with the time they arrived (monotonic seconds).
- Packets arrive late under load, never early. So within a run of packets that count on from
  each other, the least delayed one says when the run began, and the run is laid down whole.
- Where nothing came there is silence.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from ivr.rtp import RATE, Packet, Samples

LOOK_AHEAD = 25
"""Packets among which the least delayed one is looked for: half a second."""

SLIP = 0.010
"""Seconds by which the sender's pace may be off before its sound is laid down anew."""

PAUSE = 0.1
"""Seconds without a packet after which the sender may have set its clock anew."""

LONGEST = 4 * 3600
"""Seconds a recording lasts at most, whatever the packets claim."""


class Recording:
    """Everything received on a call.

    `began` is the moment of the first sample, `ended` of the end of the call (None while it
    lasts), both monotonic seconds.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended: float | None = None
        self._arrivals: list[float] = []
        self._packets: list[Packet] = []
        self._sounds: list[Samples] = []
        self._made: tuple[int, float | None, Samples] | None = None

    def add(self, arrival: float, packet: Packet, sound: Samples) -> None:
        """Note a packet, what it sounds like, and when it arrived."""
        if len(sound) and (self.ended is None or arrival <= self.ended):
            self._arrivals.append(arrival)
            self._packets.append(packet)
            self._sounds.append(sound)

    @property
    def packets(self) -> int:
        """How many packets of sound have come."""
        return len(self._packets)

    @property
    def last(self) -> float | None:
        """When the latest packet came, in monotonic seconds; None if none came."""
        return self._arrivals[-1] if self._arrivals else None

    def samples(self) -> Samples:
        """The sound from `began` on, 8 kHz; silent where nothing came."""
        made = self._made
        if made is None or made[:2] != (self.packets, self.ended):
            self._made = made = (self.packets, self.ended, self._lay())
        return made[2]

    def between(self, begin: float, end: float) -> Samples:
        """The sound between two moments (monotonic seconds), as far as there is any."""
        first = max(0, round((begin - self.began) * RATE))
        return self.samples()[first : max(first, round((end - self.began) * RATE))]

    def slips(self) -> list[tuple[float, float]]:
        """When the sender fell behind its own clock, and by how many seconds: the machine was
        too busy, and what was heard is torn there."""
        found: list[tuple[float, float]] = []
        for run in self._runs():
            origin = self._packets[run[0]].timestamp
            base: float | None = None
            for moment, index in self._moments(run):
                start = moment - _signed(self._packets[index].timestamp - origin) / RATE
                if base is not None and start - base > SLIP:
                    found.append((moment, start - base))
                base = start
        return found

    def wav(self, path: Path) -> None:
        """Write the sound as a 16-bit wav file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.samples().astype("<i2").tobytes())

    def _lay(self) -> Samples:
        places: list[tuple[int, Samples]] = []
        length = 0 if self.ended is None else round((self.ended - self.began) * RATE)
        length = max(0, length)
        for run in self._runs():
            for moment, index in self._moments(run):
                place = round((moment - self.began) * RATE)
                sound = self._sounds[index]
                if place < 0:
                    place, sound = 0, sound[-place:]
                if place + len(sound) <= LONGEST * RATE:
                    places.append((place, sound))
                    if self.ended is None:
                        length = max(length, place + len(sound))
        laid = np.zeros(length, dtype=np.int16)
        for place, sound in places:
            part = sound[: max(0, length - place)]
            laid[place : place + len(part)] = part
        return laid

    def _runs(self) -> list[list[int]]:
        """Indexes of packets that count on from each other, in the order of their sound."""
        runs: list[list[int]] = []
        seen: set[tuple[int, int, int]] = set()
        for index in range(len(self._packets)):
            packet = self._packets[index]
            identity = (packet.source, packet.sequence, packet.timestamp)
            if identity in seen:
                continue  # sent twice by the network
            seen.add(identity)
            if runs:
                before = runs[-1][-1]
                last = self._packets[before]
                step = _signed(packet.timestamp - last.timestamp)
                if (
                    packet.source == last.source
                    and not packet.marker
                    and abs(step) <= PAUSE * RATE
                    and self._arrivals[index] - self._arrivals[before] <= PAUSE
                ):
                    runs[-1].append(index)
                    continue
            runs.append([index])
        return runs

    def _moments(self, run: list[int]) -> list[tuple[float, int]]:
        """When each packet of a run would have arrived had none been delayed."""
        origin = self._packets[run[0]].timestamp
        clock = [_signed(self._packets[i].timestamp - origin) / RATE for i in run]
        starts = np.array([self._arrivals[i] - t for i, t in zip(run, clock, strict=True)])
        ahead = np.concatenate([starts, np.full(LOOK_AHEAD - 1, np.inf)])
        least = np.lib.stride_tricks.sliding_window_view(ahead, LOOK_AHEAD).min(axis=1)
        moments, base = [], float(least[0])
        for index, time, start in zip(run, clock, least, strict=True):
            if abs(float(start) - base) > SLIP:
                base = float(start)
            moments.append((base + time, index))
        return moments


def _signed(difference: int) -> int:
    """A difference of 32-bit timestamps, the short way round."""
    return ((difference + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
