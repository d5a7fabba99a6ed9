"""A spool with what callers have said: slices of calls, and what the dialplan recorded alone."""

from __future__ import annotations

import wave
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select

from ivr import tables
from ivr.hours import Hours
from ivr.intake import SETTLED
from ivr.spool import Spool
from ivr.store import Call, Recording, Store

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", "+8613800138000", NOON)
NAME = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
FALLBACK = "1763870400-123456789-987654321"
NOTE = {
    "system": "pbx",
    "call": "pbx-2.2",
    "hotline": "xjca",
    "number": "1001",
    "caller": "13900139000",
    "began": "1763870400",
    "ended": "1763870430",
}


def later(of: timedelta = SETTLED) -> datetime:
    return datetime.now(UTC) + of + timedelta(seconds=1)


def places(home: Path) -> tuple[Path, Path]:
    """New folders there: the spool, and where recordings are kept."""
    for name in ("spool", "recordings"):
        (home / name).mkdir()
    return home / "spool", home / "recordings"


def spool(
    store: Store,
    folders: tuple[Path, Path],
    at: datetime | None = None,
    between: Callable[[str], None] = lambda step: None,
) -> Spool:
    moment = at or later()
    return Spool(store, spool=folders[0], folder=folders[1], utc=lambda: moment, between=between)


def record(folder: Path, name: str, seconds: float = 1.0, hz: float = 300.0) -> Path:
    path = folder / f"{name}.wav"
    samples = np.sin(np.arange(int(seconds * 8000)) * 2 * np.pi * hz / 8000) * 9000
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(samples.astype("<i2").tobytes())
    return path


def all_recordings(store: Store) -> list[Recording]:
    with store.read() as connection:
        return [Recording(**row._mapping) for row in connection.execute(select(tables.recordings))]
