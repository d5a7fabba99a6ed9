"""What keeps a line from starting on this machine, each as one sentence with the way out.

Rules this module keeps:

- Whoever types `sansheng run` reads a sentence, never a traceback: a port that is taken, a disk
  that is full, a folder that cannot be written, packages that cannot be fetched.
- It changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from ivr import debian, masters
from ivr.document import BadFile
from ivr.speech import EngineMissing
from ivr.switch import SwitchError, unusable

LEAST = 5_000_000
"""Bytes free below which a disk is full."""


class CannotRun(Exception):
    """The line cannot be started, or has died; the message says why and what to do."""


def ports_free(sip: int, agi: int, manager: int) -> None:
    """Try every port that a line needs, on 127.0.0.1. Raises CannotRun for the first in use."""
    for port, kind, what, option in (
        (sip, socket.SOCK_DGRAM, "SIP (UDP)", "--sip-port"),
        (agi, socket.SOCK_STREAM, "the service (TCP)", "--agi-port"),
        (manager, socket.SOCK_STREAM, "the manager (TCP)", "--manager-port"),
    ):
        if why := unusable(port, kind, what):
            raise CannotRun(f"{why} with {option}")


@contextlib.contextmanager
def sentences(root: Path) -> Iterator[None]:
    """Whatever goes wrong with the machine in this block is raised as CannotRun. A BadFile stays
    what it is, as it tells more."""
    try:
        yield
    except (debian.FetchError, masters.BuildRuns, EngineMissing, ValueError) as error:
        if isinstance(error, BadFile):
            raise
        raise CannotRun(str(error)) from error
    except SwitchError as error:
        hint = ""
        if "port" in str(error):
            hint = " with --sip-port or --manager-port"
        raise CannotRun(f"{error}{hint}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or _full(root):
            raise CannotRun(f"the disk is full: make room under {root / 'var'}") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise CannotRun(f"{error.filename} cannot be written: {error.strerror}") from error
        raise CannotRun(str(error)) from error


def _full(root: Path) -> bool:
    """Whether the disk is full: sound files do not say why they cannot be written."""
    return shutil.disk_usage(root).free < LEAST
