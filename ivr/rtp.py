"""Speech over RTP: packets, G.711, and telephone keys (RFC 3550, 3551, 4733).

Rules this module keeps:

- Pure: bytes and numbers in, bytes and numbers out; no socket, no clock.
- Sound is 8 kHz mono, `int16`, in arrays of shape `(samples,)`.
- Bytes that are no RTP packet parse to None; nothing here raises for what the network sends.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

RATE = 8000
"""Samples a second."""

FRAME = 160
"""Samples in a packet: 20 ms."""

SECONDS = FRAME / RATE
"""Length of a packet in seconds."""

KEYS = "0123456789*#ABCD"
"""The keys by their event number (RFC 4733, 3.2)."""

TELEPHONE_EVENT = 101
"""The payload type we offer for keys."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet. `timestamp` counts samples, modulo 2**32."""

    payload_type: int
    sequence: int
    timestamp: int
    source: int
    payload: bytes
    marker: bool = False

    def pack(self) -> bytes:
        """The packet as sent."""
        return (
            struct.pack(
                "!BBHII",
                0x80,
                (0x80 if self.marker else 0) | self.payload_type,
                self.sequence & 0xFFFF,
                self.timestamp & 0xFFFFFFFF,
                self.source,
            )
            + self.payload
        )

    @classmethod
    def parse(cls, data: bytes) -> Packet | None:
        """The packet in a datagram, or None if it is none (RTCP is none)."""
        if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
            return None
        first, second, sequence, timestamp, source = struct.unpack("!BBHII", data[:12])
        begin, end = 12 + 4 * (first & 0x0F), len(data)
        if first & 0x10:  # a header extension
            if len(data) < begin + 4:
                return None
            begin += 4 + 4 * int(struct.unpack("!H", data[begin + 2 : begin + 4])[0])
        if first & 0x20:  # padding; its last byte is its length
            end -= data[-1]
        if begin > end:
            return None
        return cls(second & 0x7F, sequence, timestamp, source, data[begin:end], second > 127)


# ---------------------------------------------------------------- keys


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key being pressed for `duration` samples so far; `end` once it is released."""

    key: str
    duration: int
    end: bool

    def pack(self) -> bytes:
        """The event as a payload, at −10 dBm0."""
        number = KEYS.index(self.key)
        return struct.pack("!BBH", number, (0x80 if self.end else 0) | 10, self.duration)

    @classmethod
    def parse(cls, payload: bytes) -> KeyEvent | None:
        """The event in a payload, or None if it is none or no key (a flash, a fax tone)."""
        if len(payload) < 4 or payload[0] >= len(KEYS):
            return None
        number, flags, duration = struct.unpack("!BBH", payload[:4])
        return cls(KEYS[number], duration, bool(flags & 0x80))


# ---------------------------------------------------------------- G.711


@dataclass(frozen=True)
class Codec:
    """One of the two laws of G.711."""

    name: str
    payload_type: int
    to_linear: npt.NDArray[np.int16]
    from_linear: npt.NDArray[np.uint8]

    def encode(self, samples: Samples) -> bytes:
        """Samples to bytes, one each."""
        return self.from_linear[samples.astype(np.int32) + 32768].tobytes()

    def decode(self, payload: bytes) -> Samples:
        """Bytes to samples, one each."""
        return self.to_linear[np.frombuffer(payload, dtype=np.uint8)]


def _alaw(code: int) -> int:
    """A-law byte to a 16-bit sample (G.711, table 1)."""
    code ^= 0x55
    exponent, mantissa = (code & 0x70) >> 4, code & 0x0F
    size = (mantissa << 4) + 8
    if exponent:
        size = (size + 0x100) << (exponent - 1)
    return size if code & 0x80 else -size


def _ulaw(code: int) -> int:
    """µ-law byte to a 16-bit sample (G.711, table 2)."""
    code = ~code & 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -size if code & 0x80 else size


def _codec(name: str, payload_type: int, law: Callable[[int], int], silence: int) -> Codec:
    to_linear = np.array([law(code) for code in range(256)], dtype=np.int16)
    # each sample becomes the code whose own sample is nearest
    order = np.argsort(to_linear.astype(np.int32), kind="stable")
    levels = to_linear[order].astype(np.int32)
    middles = (levels[1:] + levels[:-1] + 1) // 2
    every = np.arange(-32768, 32768)
    from_linear = order[np.searchsorted(middles, every, side="right")].astype(np.uint8)
    from_linear[32768] = silence  # µ-law has two zeros
    return Codec(name, payload_type, to_linear, from_linear)


ALAW = _codec("PCMA", 8, _alaw, 0xD5)
ULAW = _codec("PCMU", 0, _ulaw, 0xFF)
CODECS = {codec.payload_type: codec for codec in (ALAW, ULAW)}
"""What we offer and take, by payload type; the first is what we like best (as in China)."""
