"""A UDP port on the event loop that knows exactly when each datagram came.

Rules this module keeps:

- The time of arrival is the kernel's where the kernel gives it (Linux), so a busy process
  does not blur what it measures; elsewhere it is the time of reading.
- All times are `time.monotonic()`, in seconds.
- A port never raises for what the network does: an unreachable peer or a full buffer loses
  the datagram, as UDP may.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable

Address = tuple[str, int]
"""Host (an IPv4 address) and port."""

Receiver = Callable[[bytes, Address, float], None]
"""Called with a datagram, its sender and the time it came."""

SO_TIMESTAMPNS = 35
"""Linux's number for it; Python's socket module has no name for it before 3.15."""

BATCH = 200
"""Datagrams read at most before the loop has its turn again."""


class Port:
    """One bound, non-blocking UDP socket; `receive` is called for every datagram."""

    def __init__(self, host: str, port: int, receive: Receiver) -> None:
        """Bind and begin to listen on the running loop. Raises OSError if the port is taken."""
        self.receive = receive
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        name = self._socket.getsockname()
        self.address: Address = (name[0], name[1])
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram; what the network refuses is lost."""
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendto(data, to)
        except OSError:
            return  # UDP: as if lost on the way; whoever needs it acknowledged sends it again

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        for _ in range(BATCH):
            if self._socket.fileno() < 0:
                return  # what was received last closed us
            try:
                data, extra, _, sender = self._socket.recvmsg(65535, 64)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier datagram of ours was refused; this is how UDP says so
            self.receive(data, (sender[0], sender[1]), _arrival(extra))


def _arrival(extra: list[tuple[int, int, bytes]]) -> float:
    """The kernel's time of arrival on the monotonic clock, or now if it gave none."""
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            now, wall = _clocks()
            age = wall - (seconds + nanoseconds / 1e9)
            # a wall clock that was just set gives nonsense: then reading time has to do
            return now - age if 0 <= age < 5 else now
    return time.monotonic()


def _clocks() -> tuple[float, float]:
    """The monotonic and the wall clock at one moment: read again if we lost the processor in
    between, which under load has cost 0.14 s."""
    while True:
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < 0.0005:
            return before, wall
