"""The manager goes while calls are up: keys still serve, and voices when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulted import HOLD, QUIET, SPEAKS, hear, names, silent_call
from harness import Stage
from moments import eventually
from places import free_port
from watching import Watch

from ivr.ear import pauses
from ivr.phone import Phone

pytestmark = pytest.mark.live


class Proxy:
    """Stands between the service and the manager, and can be cut. Runs beside the test, in a
    thread, because starting the service blocks."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port(socket.SOCK_STREAM)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    def mend(self) -> None:
        """Connections are taken (again)."""
        self._do(self._open())

    def cut(self) -> None:
        """Connections are reset, and no more are taken."""
        self._do(self._close())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}
        both = (self._pass(reader, far_writer), self._pass(far_reader, writer))
        await asyncio.gather(*both)
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(4096):
                writer.write(some)
        writer.close()


class Cuttable(Stage):
    """A stage whose service reaches the manager through a proxy."""

    proxy: Proxy

    def start_service(self) -> None:
        direct = self.switch.ports
        self.proxy = Proxy(direct.manager)
        self.switch.ports = replace(direct, manager=self.proxy.port)
        try:
            super().start_service()
        finally:
            self.switch.ports = direct

    def close(self) -> None:
        super().close()
        if hasattr(self, "proxy"):
            self.proxy.close()


@pytest.mark.slow_live
async def test_calls_go_on_without_the_manager_and_voices_are_heard_when_it_is_back(
    tmp_path: Path, phone: Phone
) -> None:
    with Cuttable(tmp_path, name="proxied") as line:
        async with Watch(line) as watch:
            silent, keys = await asyncio.gather(
                line.dial(phone, "1001", QUIET), line.dial(phone, "11185", HOLD)
            )
            await watch.until(QUIET, "Say", "opening")
            await asyncio.sleep(1)
            await asyncio.to_thread(line.proxy.cut)
            await eventually(
                lambda: line.logged("no manager: keys only, no voices, nobody can be rung"), 10
            )
            await watch.until(HOLD, "Say", "menu")
            keys.press("2")
            await watch.until(HOLD, "Say", "query.ask")
            keys.press("473124829")
            await watch.until(HOLD, "Say", "query.read_back")
            await keys.hang_up()
            await silent.ended(40)
            await asyncio.to_thread(line.proxy.mend)
            back = "the manager is there again: voices are heard"
            await eventually(lambda: line.logged(back), 35)
            speaks = await line.dial(phone, "1001", SPEAKS)
            await watch.until(SPEAKS, "Listen")
            await asyncio.sleep(0.5)
            speaks.speak(1.0)
            await watch.until(SPEAKS, "Say", "menu", within=5)
            await speaks.hang_up()
    heard = hear(line, silent)
    assert names(heard, "xjca") == silent_call(line, "xjca")
    assert pauses(heard) == pytest.approx([2.0, 0.5], abs=0.1)
    assert silent.ended_by == "them"
