"""The keyboard of a telephone in the terminal: keys as they are pressed, given or piped in.

Rules this module keeps:

- A person's keys come at once, without Enter; those of `--keys` and of a pipe one after another.
- The terminal is given back as it was, however the call ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

GAP = 0.4
"""Seconds between two keys that are not pressed by hand."""
WAIT = 1.0
"""Seconds that `.` waits."""


async def typed(keys: str) -> AsyncIterator[str]:
    """Keys as they come: from `keys`, from the keyboard, or from what is piped in."""
    if keys:
        for key in keys:
            await asyncio.sleep(WAIT if key == "." else GAP)
            yield key
        return
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        data = os.read(descriptor, 64)
        queue.put_nowait(data)
        if not data:  # the end can be read for ever
            loop.remove_reader(descriptor)

    try:
        loop.add_reader(descriptor, read)
    except (PermissionError, ValueError):  # a file, or nothing at all: never ready, never late
        text = sys.stdin.read()
        async for key in typed(text or " "):
            yield key
        return
    try:
        while data := await queue.get():
            for key in data.decode(errors="ignore"):
                if not sys.stdin.isatty():
                    await asyncio.sleep(WAIT if key == "." else GAP)
                yield key
    finally:
        loop.remove_reader(descriptor)


@contextlib.contextmanager
def by_hand(by_itself: bool) -> Iterator[None]:
    """Every key at once, without Enter, as long as a person sits there."""
    if by_itself or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
