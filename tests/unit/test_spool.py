"""Recordings of a call become one file of our own, whatever is left of them, until it is erased."""

from __future__ import annotations

import os
import struct
import wave
from pathlib import Path

import pytest
from spooled import (
    NAME,
    NOON,
    NOTE,
    all_recordings,
    later,
    record,
    spool,
)

from ivr.intake import LATE, Intake
from ivr.messages import listed
from ivr.store import Store

pytest_plugins = ["databases"]


def test_slices_become_one_file_of_our_own(sqlite_store: Store, folders: tuple[Path, Path]) -> None:
    names = [f"{NAME}-{number:02d}" for number in range(3)]
    for name in names:
        record(folders[0], name, 1.5)
    made = spool(sqlite_store, folders).take(names, call_id="pbx-1.1", what="message")
    assert made.reference is not None
    path = folders[1] / made.reference
    assert made.seconds == pytest.approx(4.5)
    assert path.stat().st_mode & 0o777 == 0o600
    with wave.open(str(path)) as joined:
        assert joined.getnframes() == 36_000
    assert NAME not in path.name
    assert list(folders[0].iterdir()) == []
    assert [one.name for one in folders[1].iterdir()] == [made.reference]
    again = spool(sqlite_store, folders).take(names, call_id="pbx-1.1", what="message")
    assert again == made


def test_a_recording_that_never_began_is_empty(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    one = spool(sqlite_store, folders)
    assert one.take([], call_id=None, what="message").reference is None
    assert one.take([f"{NAME}-00"], call_id=None, what="message").quality == "empty"
    assert all_recordings(sqlite_store) == []


def test_links_and_strange_names_are_left_alone(
    sqlite_store: Store, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    secret = record(tmp_path, "secret")
    (folders[0] / f"{NAME}-00.wav").symlink_to(secret)
    (folders[0] / "a folder.wav").mkdir()
    one = spool(sqlite_store, folders, later(LATE))
    for name in (f"{NAME}-00", "../secret", "", ".hidden", "a folder"):
        assert one.take([name], call_id=None, what="message").reference is None
    assert Intake(one).run({"../secret": NOTE}).done == ()
    assert secret.exists()
    assert listed(sqlite_store) == []
    with pytest.raises(ValueError, match="is no recording"):
        one.path("../secret.wav")


@pytest.mark.parametrize(
    ("damage", "quality", "seconds"),
    [
        (lambda data: data, "noisy", 1.0),
        (lambda data: data[:44], "empty", 0.0),
        (
            lambda data: data[:4] + bytes(4) + data[8:40] + struct.pack("<I", 0) + data[44:],
            "cut",
            1.0,
        ),
        (lambda data: data[:5000], "cut", (5000 - 44) / 16_000),
        (lambda data: b"", "broken", 0.0),
        (lambda data: b"garbage" * 99, "broken", 0.0),
    ],
    ids=["whole", "empty", "length never written", "half written", "no byte", "no sound"],
)
def test_a_damaged_recording_is_noted_and_its_bytes_are_kept(
    sqlite_store: Store, folders: tuple[Path, Path], damage: object, quality: str, seconds: float
) -> None:
    path = record(folders[0], f"{NAME}-00", hz=1000.0)
    data = damage(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(data)
    made = spool(sqlite_store, folders).take([f"{NAME}-00"], call_id=None, what="message")
    assert made.quality == quality
    assert made.seconds == pytest.approx(seconds, abs=0.01)
    assert made.reference is not None
    file = spool(sqlite_store, folders).path(made.reference)
    assert file.exists()
    if quality == "broken":
        assert file.read_bytes() == data
    assert list(folders[0].iterdir()) == []


def test_a_recording_is_erased_and_its_row_says_so(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    """After which time, and unless who needs it: test_retention, test_erasing."""
    record(folders[0], f"{NAME}-00")
    made = spool(sqlite_store, folders, NOON).take([f"{NAME}-00"], call_id=None, what="message")
    one = spool(sqlite_store, folders)
    assert one.erase(made)
    assert list(folders[1].iterdir()) == []
    [row] = all_recordings(sqlite_store)
    assert row.reference == made.reference
    assert row.erased_at is not None
    assert not one.erase(made)
    assert os.listdir(folders[0]) == []
