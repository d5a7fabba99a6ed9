"""The sound of one call: sent in time, 20 ms by 20 ms, and taken down with times of arrival.

Rules this module keeps:

- Packets leave by absolute deadlines: one that is late is sent at once and the next in time,
  so that the pace never drifts. Silence is sent when there is nothing else.
- What a stimulus reports as its beginning and end is when its packets really left, in
  monotonic seconds.
- Sounds that overlap are mixed. Keys wait for each other, and replace sound while pressed,
  as on a telephone.
- Packets from anyone but the other side are counted in `strays` and otherwise ignored.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ivr.recording import Recording
from ivr.rtp import (
    ALAW,
    CODECS,
    FRAME,
    KEYS,
    RATE,
    SECONDS,
    TELEPHONE_EVENT,
    Codec,
    KeyEvent,
    Packet,
    Samples,
)
from ivr.sdp import Terms
from ivr.udp import Address, Port

EARLY = 100
"""Packets kept at most that come before we know whom to expect them from."""

ECHO_LINE = 4 * RATE
"""Samples of echo on their way at most."""

ECHO_JITTER = FRAME * 2
"""Samples by which an echoed packet may come late and still join the one before."""


@dataclass(eq=False)
class Stimulus:
    """Something the caller does. `began` and `ended` are monotonic seconds, None until then."""

    what: str
    sound: Samples
    began: float | None = None
    ended: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    position: int = 0

    async def done(self) -> None:
        """Wait until it has ended, or the call has."""
        await self.over.wait()


@dataclass(eq=False)
class _Press:
    stimulus: Stimulus
    key: str
    tone: int
    gap: int
    begin: int = 0
    duration: int = 0


class Media:
    """One RTP session. It listens from the start and sends once `connect` has said where."""

    def __init__(self, host: str, make_port: Callable[..., Port] = Port) -> None:
        self._port = make_port(host, 0, self._received)
        self.address = self._port.address
        self.heard = Recording(time.monotonic())
        self.keys: list[tuple[float, str]] = []
        self.marks: list[tuple[float, str]] = []
        self.strays = 0
        self.on_key: Callable[[str, float], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._remote: Address | None = None
        self._early: deque[tuple[bytes, Address, float]] = deque(maxlen=EARLY)
        self._codec: Codec = ALAW
        self._key_type: int | None = TELEPHONE_EVENT
        self._sending = False
        self._timer: asyncio.TimerHandle | None = None
        self._origin = 0.0
        self._sent = 0
        self._sequence = secrets.randbelow(1 << 15)
        self._first_timestamp = secrets.randbelow(1 << 31)
        self._source = secrets.randbits(32)
        self._sounds: list[Stimulus] = []
        self._presses: deque[_Press] = deque()
        self._rest = 0
        self._key_heard: int | None = None
        self._echo: tuple[float, float] | None = None
        self._echo_line = np.zeros(ECHO_LINE, dtype=np.int32)
        self._echo_next = 0
        self._closed = False

    # ------------------------------------------------------------ set up and down

    def connect(self, terms: Terms) -> None:
        """Say where the other side is and what it takes; again if that changes."""
        if self._closed:
            return
        self._remote, self._codec = terms.remote, terms.codec
        self._key_type, self._sending = terms.key_type, terms.sending
        while self._early:
            self._received(*self._early.popleft())
        if self._timer is None:
            self._origin = time.monotonic()
            self._tick()

    def close(self) -> None:
        """End the session: what still sounds has ended, and the recording too."""
        if self._closed:
            return
        self._closed = True
        now = time.monotonic()
        self.heard.ended = now
        if self._timer is not None:
            self._timer.cancel()
        self._port.close()
        for stimulus in [*self._sounds, *(press.stimulus for press in self._presses)]:
            self._finish(stimulus, now)
        self._sounds.clear()
        self._presses.clear()

    # ------------------------------------------------------------ what the caller does

    def play(self, sound: Samples, what: str = "play") -> Stimulus:
        """Send this sound from the next packet on, mixed with any other."""
        stimulus = Stimulus(what, sound)
        if self._closed or not len(sound):
            stimulus.over.set()
        else:
            self._sounds.append(stimulus)
        return stimulus

    def press(self, keys: str, tone: float, gap: float) -> list[Stimulus]:
        """Press these keys one after another, each for `tone` seconds, `gap` seconds apart.

        Raises ValueError for what is no key.
        """
        if not keys or set(keys) - set(KEYS):
            raise ValueError(f"{keys!r} are not keys of a telephone")
        pressed = []
        for key in keys:
            stimulus = Stimulus(f"press {key}", np.zeros(0, dtype=np.int16))
            pressed.append(stimulus)
            if self._closed:
                stimulus.over.set()
            else:
                length = max(FRAME, round(tone * RATE))
                self._presses.append(_Press(stimulus, key, length, round(gap * RATE)))
        return pressed

    def quiet(self) -> None:
        """Stop every sound at once (keys are pressed to their end)."""
        for stimulus in self._sounds:
            self._finish(stimulus, time.monotonic())
        self._sounds.clear()

    def echo(self, delay: float | None, level: float = -20.0) -> None:
        """Send back what is heard, `delay` seconds later and `level` dB louder; None stops it."""
        self._echo = None if delay is None else (delay, 10 ** (level / 20))
        self._echo_line[:] = 0

    # ------------------------------------------------------------ sending

    def _tick(self) -> None:
        while True:
            wait = self._origin + self._sent / RATE - time.monotonic()
            if wait > SECONDS / 20:
                break
            self._frame()
        self._timer = self._loop.call_later(wait, self._tick)

    def _frame(self) -> None:
        """Send the next 20 ms."""
        mixed = self._mixed()
        if not self._key():
            self._send(self._codec.payload_type, self._codec.encode(mixed), self._sent)
        self._sent += FRAME
        self._rest = max(0, self._rest - FRAME)

    def _mixed(self) -> Samples:
        begin = self._sent % ECHO_LINE
        mixed = self._echo_line[begin : begin + FRAME].copy()
        self._echo_line[begin : begin + FRAME] = 0
        for stimulus in self._sounds[:]:
            if stimulus.began is None:
                self._begin(stimulus)
            part = stimulus.sound[stimulus.position : stimulus.position + FRAME]
            mixed[: len(part)] += part
            stimulus.position += FRAME
            if stimulus.position >= len(stimulus.sound):
                self._sounds.remove(stimulus)
                self._finish(stimulus, time.monotonic() + len(part) / RATE)
        return np.clip(mixed, -32768, 32767).astype(np.int16)

    def _key(self) -> bool:
        """Go on with the key being pressed; False if none is."""
        if not self._presses or self._key_type is None:
            return False
        press = self._presses[0]
        first = press.duration == 0
        if first:
            if self._rest > 0:
                return False
            press.begin = self._sent
            self._begin(press.stimulus)
        press.duration += FRAME
        last = press.duration >= press.tone
        payload = KeyEvent(press.key, min(press.duration, 65535), last).pack()
        for _ in range(3 if last else 1):  # the end is told three times (RFC 4733, 2.5.1.4)
            self._send(self._key_type, payload, press.begin, marker=first)
        if last:
            self._presses.popleft()
            self._rest = press.gap + FRAME
            self._finish(press.stimulus, time.monotonic())
        return True

    def _send(self, kind: int, payload: bytes, timestamp: int, *, marker: bool = False) -> None:
        if self._sending and self._remote is not None:
            stamp = self._first_timestamp + timestamp
            packet = Packet(kind, self._sequence, stamp, self._source, payload, marker)
            self._port.send(packet.pack(), self._remote)
            self._sequence += 1

    def _begin(self, stimulus: Stimulus) -> None:
        stimulus.began = time.monotonic()
        self.marks.append((stimulus.began, stimulus.what))

    def _finish(self, stimulus: Stimulus, when: float) -> None:
        if stimulus.began is not None:
            stimulus.ended = when
            self.marks.append((when, f"{stimulus.what} ended"))
        stimulus.over.set()

    # ------------------------------------------------------------ receiving

    def _received(self, data: bytes, source: Address, when: float) -> None:
        if self._remote is None:
            self._early.append((data, source, when))
            return
        packet = Packet.parse(data) if source == self._remote else None
        if packet is None:
            self.strays += 1
        elif packet.payload_type == self._key_type:
            event = KeyEvent.parse(packet.payload)
            if event is not None and packet.timestamp != self._key_heard:
                self._key_heard = packet.timestamp
                self.keys.append((when, event.key))
                if self.on_key is not None:
                    self.on_key(event.key, when)
        elif packet.payload_type in CODECS:
            sound = CODECS[packet.payload_type].decode(packet.payload)
            self.heard.add(when, packet, sound)
            if self._echo is not None and len(sound):
                self._send_back(sound, when, *self._echo)
        else:
            self.strays += 1

    def _send_back(self, sound: Samples, when: float, delay: float, gain: float) -> None:
        place = round((when + delay - self._origin) * RATE)
        if abs(place - self._echo_next) <= ECHO_JITTER:
            place = self._echo_next
        place = max(place, self._sent)
        if place + len(sound) < self._sent + ECHO_LINE:
            where = (place + np.arange(len(sound))) % ECHO_LINE
            self._echo_line[where] += (sound * gain).astype(np.int32)
        self._echo_next = place + len(sound)
