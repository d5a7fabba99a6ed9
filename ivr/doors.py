"""The sockets of workers that run side by side, for ops (`ivr.control`): one for each.

Rules this module keeps:

- Whoever is alone has the first; who comes later takes the first that no other worker has.
- Nobody opens one while another looks for a free one in the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

WORKERS = 8
"""Workers of one service that may run side by side, those that drain included."""


def doors(at: Path) -> list[Path]:
    """Where the sockets of workers may be; whoever is alone has the first."""
    return [at, *(at.with_name(f"{at.name}.{number}") for number in range(2, WORKERS + 1))]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other worker opens its socket in this folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def free(at: Path) -> Path:
    """The first door that no worker has. Raises OSError if there is none."""
    for door in doors(at):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # one that is busy is there, too
            try:
                probe.connect(str(door))
            except BlockingIOError:
                continue
            except OSError:
                return door
    raise OSError(f"{WORKERS} services run here already (their sockets: {at}…)")
