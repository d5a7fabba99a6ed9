"""Kept recordings are lent to Asterisk for as long as they are played, and no longer."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ivr.clock import SystemClock
from ivr.lending import FOLDER, Lending


@pytest.fixture
async def lending(tmp_path: Path) -> AsyncIterator[Lending]:
    clock = SystemClock()
    (tmp_path / "kept").mkdir()
    (tmp_path / "spool").mkdir()
    yield Lending(tmp_path / "kept", tmp_path / "spool", Path("/as/asterisk"), clock)
    clock.close()


def keep(tmp_path: Path, name: str, seconds: float) -> None:
    with wave.open(str(tmp_path / "kept" / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x01\x02" * round(8000 * seconds))


def copies(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool" / FOLDER).glob("*"))


async def test_a_recording_is_copied_under_another_name_and_goes_when_it_has_been_played(
    lending: Lending, tmp_path: Path
) -> None:
    keep(tmp_path, "a.wav", 2.0)
    lent = await lending.lend("a.wav", 60.0)
    assert lent is not None
    path, seconds = lent
    assert path.startswith(f"/as/asterisk/{FOLDER}/")
    assert seconds == 2.0
    (copy,) = copies(tmp_path)
    assert copy.read_bytes() == (tmp_path / "kept/a.wav").read_bytes()
    assert copy.stem == Path(path).name != "a"
    assert copy.stat().st_mode & 0o777 == 0o640
    await lending.give_back(path)
    assert copies(tmp_path) == []


async def test_no_more_is_lent_than_will_be_heard(lending: Lending, tmp_path: Path) -> None:
    keep(tmp_path, "a.wav", 9.0)
    lent = await lending.lend("a.wav", 1.5)
    assert lent is not None
    assert lent[1] == 1.5
    (copy,) = copies(tmp_path)
    with wave.open(str(copy), "rb") as file:
        assert file.getnframes() == 12000


@pytest.mark.parametrize("name", ["none.wav", "b.bin", "../kept/a.wav", "", "text.wav"])
async def test_what_is_no_recording_is_not_lent(
    lending: Lending, tmp_path: Path, name: str
) -> None:
    keep(tmp_path, "a.wav", 1.0)
    (tmp_path / "kept/b.bin").write_bytes(b"?")
    (tmp_path / "kept/text.wav").write_bytes(b"no sound")
    assert await lending.lend(name, 5.0) is None
    assert copies(tmp_path) == []


async def test_copies_that_a_crash_has_left_are_removed(lending: Lending, tmp_path: Path) -> None:
    keep(tmp_path, "a.wav", 1.0)
    await lending.lend("a.wav", 5.0)
    lending.clear()
    assert copies(tmp_path) == []
    lending.clear()
