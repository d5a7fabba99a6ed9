"""Times as ops read them: by the clock of the line that they are about, whatever the machine's.

Rules this module keeps:

- A time is shown in its line's zone (`zone` in the hotline's file), as callers heard it. What is
  about no line, or about one whose file is gone or cannot be read, has the machine's zone.
- Which zone that is, is said once under the table: nobody has to guess.
- `--json` never comes here: it has ISO 8601 with the difference from UTC.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

MINUTES = "%m-%d %H:%M"
SECONDS = "%m-%d %H:%M:%S"
"""As log lines have it."""
YEAR = "%Y-%m-%d %H:%M"


class Moments:
    """Shows times of the lines under a data root; without one, all by the machine's clock."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._zones: dict[str, ZoneInfo | None] = {}
        self._used: dict[str, set[str]] = {}

    def __call__(self, at: str | None, line: str | None = "", spec: str = MINUTES) -> str:
        """A time in ISO 8601 as it is shown for this line; empty stays empty."""
        if not at:
            return ""
        zone = self._zone(line or "")
        local = datetime.fromisoformat(at).astimezone(zone)
        name = f"this machine's zone ({local.tzname()})" if zone is None else zone.key
        self._used.setdefault(name, set()).add(line or "")
        return f"{local:{spec}}"

    def note(self) -> str:
        """Which clocks were used so far, as a sentence; empty if none was."""
        if len(self._used) < 2:
            return "".join(f"times are those of {name}" for name in self._used)
        by = [
            f"{name} for {', '.join(sorted(lines - {''})) or 'the rest'}"
            for name, lines in sorted(self._used.items())
        ]
        return f"times are those of {'; '.join(by)}"

    def _zone(self, line: str) -> ZoneInfo | None:
        if line not in self._zones:
            self._zones[line] = self._read(line) if line else None
        return self._zones[line]

    def _read(self, line: str) -> ZoneInfo | None:
        if self._root is None:
            return None
        from ivr import files, hours  # loaded when a line's zone is asked for (`ivr.cli`)
        from ivr.document import BadFile

        try:
            document = files.read(self._root / f"flows/hotlines/{line}.yaml")
            return hours.zone(document)
        except (BadFile, OSError):
            return None  # `check` tells it; what is looked back at is shown all the same
