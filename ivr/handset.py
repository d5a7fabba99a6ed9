"""One terminal at a time is an agent's phone: two would take the phone from each other unasked.

Rules this module keeps:

- Whoever has the phone keeps it until they leave, however they end; the next one is told where it
  is. Another machine's telephones are their switch's business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class InUse(Exception):
    """Another terminal is this phone, or may be; the message says which, or why."""


@contextlib.contextmanager
def held(folder: Path, phone: str, server: tuple[str, int]) -> Iterator[None]:
    """Be this phone of this switch, alone of all that use this folder. Raises InUse."""
    # the file stays: who removes it may remove the one that the next has opened already
    path = folder / f"{phone}-{server[0]}-{server[1]}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InUse(
            f"whether another terminal is the phone {phone} cannot be seen: {path}: "
            f"{error.strerror}; run it as the user of `make run`"
        ) from None
    with os.fdopen(opened, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = file.read().strip()
            of = f" (process {by})" if by else ""
            raise InUse(
                f"another terminal is the phone {phone}{of}: leave it there with q, or be another"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
