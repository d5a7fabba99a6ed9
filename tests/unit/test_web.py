"""The HTTP client is made beside the calls, and once."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from ivr.web import Client


async def test_no_call_waits_while_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    class Noted(httpx.AsyncClient):
        def __init__(self, **settings: bool) -> None:
            threads.append(threading.current_thread())
            super().__init__(**settings)

    monkeypatch.setattr(httpx, "AsyncClient", Noted)
    client = Client()
    assert threads == []  # nor does a line that asks nobody
    one, other = await asyncio.gather(client.get(), client.get())
    assert one is other
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    await client.close()
    assert one.is_closed


async def test_who_asks_after_it_was_closed_gets_another() -> None:
    client = Client()
    before = await client.get()
    await client.close()
    after = await client.get()
    assert after is not before
    assert not after.is_closed
    await client.close()
