"""Where things are: under the data root, in the environment, and where a running line listens.

Rules this module keeps:

- Everything made at run time lies under `<root>/var`, unless the environment says otherwise.
- `make run` writes down where it listens (`var/run.json`), so that the other commands find it
  without being told; no password stands there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ivr import control

SOCKET_PATH = 105
"""Longest path of a unix socket, in bytes, less what the sockets of more workers add."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a line that was started by `sansheng run` can be reached on 127.0.0.1. `service` is
    the process that takes calls, and reads its files again when it is sent SIGHUP."""

    pid: int
    sip: int
    agi: int
    manager: int
    control: str
    service: int = 0


def checkout() -> Path:
    """The checkout that this package was installed from, or the folder we stand in."""
    here = Path(__file__).parent.parent
    return here if (here / "flows").is_dir() else Path.cwd()


def database(root: Path) -> str:
    """The default database."""
    return f"sqlite:///{root / 'var/sansheng.db'}"


def sounds(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The prompts, as Asterisk calls them."""
    return Path(environment.get("SANSHENG_SOUNDS") or root / "var/sounds")


def spool(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that Asterisk records into, as Asterisk calls it."""
    return Path(environment.get("SANSHENG_SPOOL") or root / "var/recordings/spool")


def service_spool(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The same folder as the service calls it."""
    return Path(environment.get("SANSHENG_SERVICE_SPOOL") or spool(root, environment))


def recordings(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of finished recordings."""
    return Path(environment.get("SANSHENG_RECORDINGS") or root / "var/recordings/kept")


def control_socket(root: Path) -> Path:
    """The service's control socket: that of a line that runs here, or where one would be."""
    if not os.environ.get("SANSHENG_CONTROL"):
        found = running(root)
        if found is not None:
            return Path(found.control)
    return short(control.path(root))


def short(path: Path) -> Path:
    """This path, or one in the folder for temporary files where it is too long for a socket."""
    if len(os.fsencode(path)) <= SOCKET_PATH:
        return path
    name = sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sansheng-{os.getuid()}-{name}.sock"


async def asked(root: Path, request: dict[str, Any]) -> Any:
    """The service's first answer. Raises NoService."""
    at = control_socket(root)
    async for answer in control.ask(at, request):
        return answer
    raise control.NoService(f"the service at {at} gave no answer: see its log")


def running(root: Path) -> Running | None:
    """The line that `sansheng run` keeps up here, if there is one."""
    try:
        found = Running(**json.loads((root / "var/run.json").read_text(encoding="utf-8")))
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return found


def note(root: Path, running: Running) -> None:
    """Write down where a line listens."""
    (root / "var").mkdir(parents=True, exist_ok=True)
    (root / "var/run.json").write_text(json.dumps(asdict(running)) + "\n", encoding="utf-8")


def forget(root: Path) -> None:
    """The line that this process kept up is no more; another process's note stays."""
    found = running(root)
    if found is None or found.pid == os.getpid():
        (root / "var/run.json").unlink(missing_ok=True)
