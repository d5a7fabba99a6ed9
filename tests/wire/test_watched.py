"""A telephone in the terminal goes on showing what is said after the service was started anew."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from disturbed import SILENT, house
from realtime import until

from ivr.control import Control
from ivr.hotlines import Hotlines
from ivr.screen import watched


class Seen:
    """What is shown; wakes who waits for it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def show(self, row: Any) -> None:
        self.rows.append(dict(row))
        self._news.set()

    async def prompt(self, name: str) -> None:
        async with asyncio.timeout(10):
            while not any(row.get("prompt") == name for row in self.rows):
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize("gently", [True, False])
async def test_what_is_said_is_shown_again_after_the_service_was_started_anew(
    lines: Hotlines, gently: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        socket, seen = Path(folder) / "control.sock", Seen()
        async with house(lines, SILENT) as world:
            before = await opened(world, socket)
            async with watched(socket, seen.show, again=0.01) as there:
                assert there
                world.call()
                await world.end()
                await seen.prompt("opening")
                seen.rows.clear()
                await before.close()
                if not gently:  # one that was killed leaves its socket behind
                    socket.touch()
                after = await opened(world, socket)
                await until(lambda: after.watchers)
                world.call()
                await world.end()
                await seen.prompt("opening")
                await after.close()
        assert all(row["what"] != "watching" for row in seen.rows)


async def test_where_no_service_is_nothing_is_watched(tmp_path: Path) -> None:
    async with watched(tmp_path / "nobody.sock", lambda row: None) as there:
        assert not there


async def opened(world: Any, socket: Path) -> Control:
    """A service's back door, to which everything is told that happens in calls."""
    door = Control(world.service, socket)
    world.service.on_entry = door.happened
    await door.listen()
    return door
