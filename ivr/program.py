"""An Asterisk on this disk: the machine's own, or Debian's unpacked below our root.

Rules this module keeps: an Asterisk that is too old, or whose modules are not where we look,
is none; nothing is started but to ask for its version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OLDEST = 20
"""The oldest Asterisk we know to work."""


@dataclass(frozen=True, slots=True)
class Program:
    """An Asterisk on this disk: how it is called, and where its modules and data are."""

    command: tuple[str, ...]
    modules: Path
    data: Path


def installed() -> Program | None:
    """This machine's own Asterisk, if it is new enough and has its modules where we look."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    binary = shutil.which("asterisk", path=path)
    if binary is None or not _new_enough((binary,)):
        return None
    prefix = Path(binary).resolve().parent.parent
    folders = [*(prefix / "lib").glob("*/asterisk/modules")]
    folders += [prefix / lib / "asterisk/modules" for lib in ("lib", "lib64")]
    modules = next((f for f in folders if (f / "res_agi.so").exists()), None)
    shares = (prefix / "share/asterisk", Path("/var/lib/asterisk"))
    data = next((f for f in shares if (f / "documentation").exists()), None)
    if modules is None or data is None:
        return None
    return Program((binary,), modules, data)


def unpacked(tree: Path) -> Program | None:
    """Debian's, unpacked by us; it runs with the C library it came with."""
    modules = next(tree.glob("usr/lib/*/asterisk/modules"), None)
    if modules is None:
        return None
    libraries = modules.parent.parent
    loader = next(libraries.glob("ld-linux*.so.*"), None) or next(libraries.glob("ld*.so.*"))
    command = (str(loader), "--library-path", str(libraries), str(tree / "usr/sbin/asterisk"))
    return Program(command, modules, tree / "usr/share/asterisk")


def _new_enough(command: Sequence[str]) -> bool:
    said = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"Asterisk (?:certified[-/])?(\d+)", said)
    return version is not None and int(version.group(1)) >= OLDEST
