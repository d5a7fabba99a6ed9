"""The command line of the Asterisk that runs on this machine (`asterisk -rx`), if we may use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ivr.switch import Switch, SwitchError


def console(root: Path) -> Callable[[str], str] | None:
    """Asks the Asterisk that runs here; None if there is none that we may ask."""
    if (root / "var/asterisk/asterisk.pid").exists():
        switch = Switch(root / "var/asterisk", root)
        try:
            switch.cli("core show version")
        except SwitchError:
            return None
        return switch.cli
    program = shutil.which("asterisk", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return None

    def ask(command: str) -> str:
        done = subprocess.run(
            [program, "-rx", command], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    return ask if ask("core show version") else None
