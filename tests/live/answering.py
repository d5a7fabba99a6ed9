"""What Asterisk talks to, played by a test: the service behind FastAGI, and its manager account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from ivr.switch import Switch

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]
Ask = Callable[..., Awaitable[Mapping[str, str]]]


@asynccontextmanager
async def service(switch: Switch, serve: Serve) -> AsyncIterator[None]:
    """Something that answers FastAGI; `serve` gets the dialled number's handshake as text."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            greeting = (await reader.readuntil(b"\n\n")).decode()
            await serve(reader, writer, greeting)
        finally:
            writer.close()

    host, _, port = switch.agi.partition(":")
    server = await asyncio.start_server(connected, host, int(port))
    async with server:
        yield


def environment(greeting: str) -> dict[str, str]:
    rows = (row.partition(": ") for row in greeting.splitlines())
    return {name: value for name, _, value in rows}


async def command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> str:
    writer.write(text.encode() + b"\n")
    return (await reader.readline()).decode().strip()


@asynccontextmanager
async def manager(
    switch: Switch, events: list[Mapping[str, str]] | None = None
) -> AsyncIterator[Ask]:
    """The service's manager account: `await ask("Ping")` gives the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", switch.ports.manager)
    assert (await reader.readline()).startswith(b"Asterisk Call Manager/")
    replies: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async def listen() -> None:
        while block := await reader.readuntil(b"\r\n\r\n"):
            rows = (row.partition(": ") for row in block.decode().splitlines() if row)
            message = {key: value for key, _, value in rows}
            if "Event" not in message:
                replies.put_nowait(message)
            elif events is not None:
                events.append(message)

    listener = asyncio.create_task(listen())

    async def ask(action: str, **headers: str) -> Mapping[str, str]:
        rows = {"Action": action, **headers}
        writer.write("".join(f"{k}: {v}\r\n" for k, v in rows.items()).encode() + b"\r\n")
        return await asyncio.wait_for(replies.get(), 5)

    try:
        answer = await ask("Login", Username=switch.user, Secret=switch.secret)
        assert answer["Response"] == "Success"
        yield ask
    finally:
        listener.cancel()
        writer.close()
