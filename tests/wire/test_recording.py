"""Recording a caller's words over the wire: nothing of them is lost between two commands."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from migrated import new

from ivr import rehearsal, scenario_file, stimuli, store
from ivr.channel import Taken
from ivr.hotlines import Hotlines
from ivr.rtp import Samples
from ivr.spool import Spool
from ivr.wire_rehearsal import World


class Listening(World):
    """Remembers in how many pieces each recording came."""

    pieces: list[int]

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken:
        self.pieces = [*getattr(self, "pieces", []), len(slices)]
        return await super().take(call, what, slices)


def pieces(lines: Hotlines, tmp_path: Path, speaks: str) -> list[int]:
    """In how many pieces a message is recorded from a caller who speaks so long."""
    file = tmp_path / "leaves.yaml"
    file.write_text(
        "scenario: A caller leaves a message\n"
        "line: lakala\n"
        "caller:\n"
        '  - {over: opening, wait: 1.2 s, press: "5"}\n'
        f"  - {{after: hint.record, wait: 0.6 s, say: {speaks}, then: hang_up}}\n"
    )
    one = scenario_file.read(file)

    async def play() -> list[int]:
        line, _ = rehearsal.line_of(one, lines)
        async with Listening(lines, rehearsal.begins_at(one, line)) as world:
            await world.play([one])
            return world.pieces

    return uvloop.run(play())


@pytest.mark.parametrize(("speaks", "count"), [("2 s", 1), ("8 s", 1), ("12 s", 2)])
def test_a_voice_that_pauses_does_not_cut_its_own_recording(
    lines: Hotlines, tmp_path: Path, speaks: str, count: int
) -> None:
    assert pieces(lines, tmp_path, speaks) == [count]


def test_a_key_within_the_first_200_ms_of_a_slice_leaves_an_empty_one_and_damages_nothing(
    tmp_path: Path,
) -> None:
    database = new(tmp_path / "calls.db")
    folder = tmp_path / "spool"
    folder.mkdir()
    name = "0" * 32
    write(folder / f"{name}-00.wav", stimuli.speech(2))
    write(folder / f"{name}-01.wav", stimuli.speech(0))
    spool = Spool(database, spool=folder, folder=tmp_path / "kept", utc=lambda: datetime.now(UTC))
    taken = spool.take([f"{name}-00", f"{name}-01"], call_id=None, what="message")
    database.close()
    assert (taken.quality, taken.seconds) == ("fine", 2.0)


def write(path: Path, sound: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
