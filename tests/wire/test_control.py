"""The back door: what is asked of workers that begin, or end, at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ivr import control
from ivr.doors import doors

ABOUT = {"ask": "about"}


async def test_half_an_answer_is_that_of_a_worker_that_is_gone(tmp_path: Path) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"serves": "x", "drai')
        writer.close()

    async def lives(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"serves": "x"}\n')
        writer.close()

    first, second, *_ = doors(tmp_path / "c.sock")
    async with await asyncio.start_unix_server(dies, first):
        assert await control.answers(first, ABOUT) is None
        async with await asyncio.start_unix_server(lives, second):
            assert await control.answers(first, ABOUT) == [{"serves": "x"}]
