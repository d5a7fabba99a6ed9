"""Lines that are read again: what could not be taken is told where ops look."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from disturbed import SILENT, House, read
from typed import ended

from ivr import control, hotlines
from ivr.back_ends import LookUps
from ivr.control import Control
from ivr.hotlines import Hotlines
from ivr.reloading import Reloading

HOLD = "flows/hold.yaml"


class Running:
    """A service with its back door, whose files are a copy that may be broken."""

    def __init__(self, world: House, root: Path) -> None:
        self.world, self.root = world, root
        self.socket = root / "c.sock"
        self.taken: list[Hotlines] = []
        self.door = Control(world.service, self.socket)
        self.reloading = Reloading(
            world.service, root, lambda: hotlines.load(root), self._taken
        )  # fmt: skip
        self.door.reloading = self.reloading

    async def _taken(self, lines: Hotlines) -> None:
        self.taken.append(lines)

    def breaks(self) -> str:
        """Put a mistake into a file; returns the file as it was."""
        path = self.root / HOLD
        before = path.read_text()
        path.write_text(before.replace("dest: declined", "dest: refused"))
        return before

    async def ask(self, what: str) -> Any:
        (answer,) = [one async for one in control.ask(self.socket, {"ask": what})]
        return answer

    async def command(self, *words: str) -> int:
        """The exit code of `sansheng …`, typed beside the service."""

        return await asyncio.to_thread(ended, "--root", self.root, *words)


@pytest.fixture
async def running(
    lines: Hotlines, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    async with House(lines, read(SILENT)) as world:
        one = Running(world, tmp_path)
        monkeypatch.setenv("SANSHENG_CONTROL", str(one.socket))
        await one.door.listen()
        yield one
        await one.door.close()
        if isinstance(world.service.lookups, LookUps):
            await world.service.lookups.close()


async def test_a_mistake_changes_nothing_and_is_told_until_it_is_mended(running: Running) -> None:
    before = running.world.service.hotlines
    good = running.breaks()
    told = await running.ask("reload")
    assert told["problems"][0].startswith(f"{HOLD}:")
    assert told["failed_at"].endswith("+00:00")
    assert await running.ask("files") == told
    assert running.world.service.hotlines is before
    (running.root / HOLD).write_text(good)
    assert (await running.ask("reload"))["problems"] == []
    assert await running.ask("files") == {
        "lines": sorted(before.lines), "problems": [], "failed_at": None,
    }  # fmt: skip
    assert running.world.service.hotlines is running.taken[0] is not before


async def test_what_cannot_be_read_at_all_is_told_too(running: Running) -> None:
    (running.root / HOLD).unlink()
    (running.root / HOLD).mkdir()
    assert "IsADirectoryError" in (await running.ask("reload"))["problems"][0]


async def test_the_commands_tell_it(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert await running.command("live") == 0
    assert capsys.readouterr().err == ""
    good = running.breaks()
    assert await running.command("reload") == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"{HOLD}:")
    assert "nothing was reloaded" in told.err
    assert await running.command("live") == 0
    told = capsys.readouterr()
    assert "could not read them again" in told.err
    assert HOLD in told.err
    (running.root / HOLD).write_text(good)
    assert await running.command("reload") == 0
    assert "reloaded, new calls get it: ems" in capsys.readouterr().err
    assert await running.command("live") == 0
    assert capsys.readouterr().err == ""
