"""Another system's HTTP server: answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """What it was asked: at which second of `time.monotonic`, with the names of the header's
    fields in lower case."""

    at: float
    target: str
    fields: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.fields.get("authorization", "")


class Elsewhere:
    """One such server, on a free port of this machine."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.came = asyncio.Event()
        self.answer: bytes | None = None
        """None never answers."""
        self.says()

    def says(self, body: object = b"", status: str = "200 OK", more: str = "") -> None:
        """Answer with this status, these lines of header and this body, JSON if it is no bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = f"Content-Length: {len(data)}\r\n{more}Connection: close\r\n"
        self.answer = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + data

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.requests]

    @property
    def targets(self) -> list[str]:
        return [one.target for one in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        fields = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.requests.append(Request(time.monotonic(), first.split(" ")[1], fields, body))
        self.came.set()
        if self.answer is None:
            await reader.read()
        else:
            with suppress(ConnectionError):  # the client may have had enough
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """While it listens; its address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{self.port}/hook"
        finally:
            server.close()
            await server.wait_closed()
