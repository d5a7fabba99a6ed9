"""Kept recordings, lent to Asterisk for as long as they are played.

Rules this module keeps:

- A recording is ours alone (mode 0600). To be played it is copied into a folder of the spool,
  under a random name, no longer than it will be heard, and the copy goes when it has been played.
- Copies that a crash has left are removed at the next start.
- What cannot be lent is not played; nobody is told a path.
- What blocks says so: on an event loop it goes through `clock.in_executor`.
"""

from __future__ import annotations

import os
import secrets
import wave
from pathlib import Path

import structlog

from ivr.clock import Clock

FOLDER = "played"
"""Within the spool; nothing in it is a recording of the spool's."""

log = structlog.get_logger("lending")


class NothingLent:
    """Where there are no recordings to be played."""

    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None:
        return None

    async def give_back(self, path: str) -> None:
        """There is nothing to give back."""


class Lending:
    """Lends what lies in `recordings`, through the spool that this process calls `spool` and
    Asterisk `as_asterisk`."""

    def __init__(self, recordings: Path, spool: Path, as_asterisk: Path, clock: Clock) -> None:
        self._recordings, self._clock = recordings, clock
        self._here, self._there = spool / FOLDER, as_asterisk / FOLDER

    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None:
        """The recording where Asterisk can read it, without suffix, and how long it is there;
        None if there is no such recording, or it is no sound."""
        name = secrets.token_hex(16)
        try:
            length = await self._clock.in_executor(self._copy, recording, seconds, name)
        except (OSError, EOFError, wave.Error, ValueError) as error:
            log.error("a recording cannot be played", recording=recording, why=str(error))
            return None
        return str(self._there / name), length

    async def give_back(self, path: str) -> None:
        """It has been played."""
        file = self._here / f"{Path(path).name}.wav"
        await self._clock.in_executor(lambda: file.unlink(missing_ok=True))

    def clear(self) -> None:
        """Remove what a service that died has left; blocks. Raises OSError."""
        for left in self._here.glob("*.wav"):
            left.unlink(missing_ok=True)

    def _copy(self, recording: str, seconds: float, name: str) -> float:
        """Blocks; returns the copy's length in seconds."""
        if Path(recording).name != recording or not recording.endswith(".wav"):
            raise ValueError("this is no name of a recording")
        self._here.mkdir(exist_ok=True)  # its group is the spool's, which Asterisk is in
        with wave.open(str(self._recordings / recording), "rb") as kept:
            rate = kept.getframerate()
            frames = kept.readframes(round(seconds * rate))
            handle = os.open(
                self._here / f"{name}.wav", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640
            )
            with os.fdopen(handle, "wb") as file, wave.open(file, "wb") as copy:
                copy.setnchannels(kept.getnchannels())
                copy.setsampwidth(kept.getsampwidth())
                copy.setframerate(rate)
                copy.writeframes(frames)
        return len(frames) / (rate * kept.getsampwidth() * kept.getnchannels())
