"""Where live tests find things, and room for their own: the checkout, ports, short names."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from ivr.switch import SOCKET_PATH

ROOT = Path(__file__).parents[2]
"""The checkout."""


def free_port(kind: socket.SocketKind) -> int:
    """A port on 127.0.0.1 that nobody uses just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def short(path: Path) -> Path:
    """A place for a unix socket whose name is not too long for one."""
    if len(os.fsencode(path)) <= SOCKET_PATH - len(".2"):  # another worker's
        return path
    return Path(tempfile.mkdtemp(prefix="stage-")) / path.name
