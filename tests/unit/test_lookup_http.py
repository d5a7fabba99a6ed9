"""Lookups against a real HTTP server, a kind one and a hostile one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from back_ends import asked, lookups
from elsewhere import Elsewhere

from ivr.events import Found, LookupFailed, NotFound
from ivr.lookup import Lookups


@pytest.fixture
async def server() -> AsyncIterator[Elsewhere]:
    made = Elsewhere()
    async with made.listening():
        yield made


def http(server: Elsewhere, more: str = "", path: str = "/items/{item}") -> Lookups:
    return lookups(
        f'kind: http\nurl: "http://127.0.0.1:{server.port}{path}"\n'
        "fields: {status: data.state}\nresults: {status: [open, done]}\n" + more,
        environment={"TOKEN": "secret"},
    )


async def test_an_answer_over_http_is_mapped_by_its_fields(server: Elsewhere) -> None:
    server.says({"data": {"state": "open", "more": 1}})
    back = http(server, "token: TOKEN")
    assert await back.ask(asked("42")) == Found(7, (("status", "open"),))
    assert server.targets == ["/items/42"]
    assert [one.token for one in server.requests] == ["Bearer secret"]
    await back.close()


async def test_a_list_over_http_comes_numbered(server: Elsewhere) -> None:
    server.says([{"data": {"state": "open"}}, {"data": {"state": "done"}}])
    back = http(server, "several: yes")
    assert await back.ask(asked("42")) == Found(7, (("status_1", "open"), ("status_2", "done")))
    server.says([{"data": {"state": "open"}}] * 10)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert "more than 9 rows" in answer.reason
    await back.close()


@pytest.mark.parametrize(
    ("body", "status"), [({}, "404 Not Found"), ([], "200 OK"), (None, "200 OK")]
)
async def test_not_there_is_not_found(server: Elsewhere, body: object, status: str) -> None:
    server.says(body, status)
    back = http(server)
    assert await back.ask(asked("42")) == NotFound(7)
    await back.close()


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"data": {"state": "lost"}}, "200 OK", "is none of open, done"),
        ({"data": "open"}, "200 OK", "'data.state' is missing"),
        ({"data": {"state": ["open"]}}, "200 OK", "no plain value"),
        ({}, "200 OK", "is missing"),
        ("text", "200 OK", "is missing"),
        (b"<html>", "200 OK", "no JSON"),
        (b"[" * 50_000, "200 OK", "no JSON"),
        (b'{"data": {"state": "' + b"x" * 100_000, "200 OK", "more than 65536 bytes"),
        ({}, "500 Broken", "HTTP status 500"),
        ([{"data": {"state": "open"}}] * 10, "200 OK", "more than 1 rows"),
    ],
)
async def test_an_http_answer_that_makes_no_sense_is_a_failure(
    server: Elsewhere, body: object, status: str, why: str
) -> None:
    server.says(body, status)
    back = http(server)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert why in answer.reason
    await back.close()


async def test_a_redirect_is_not_followed(server: Elsewhere) -> None:
    server.says(b"", "302 Found", f"Location: http://127.0.0.1:{server.port}/elsewhere\r\n")
    back = http(server)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert "302" in answer.reason
    assert server.targets == ["/items/42"]
    await back.close()


async def test_a_back_end_that_is_down_or_says_nothing_is_a_failure(server: Elsewhere) -> None:
    server.answer = b""
    back = http(server)
    assert isinstance(await back.ask(asked("42")), LookupFailed)
    await back.close()
    gone = lookups('kind: http\nurl: "http://127.0.0.1:1/{item}"\nfields: [status]', environment={})
    answer = await gone.ask(asked("42"))
    assert answer == LookupFailed(7, "ConnectError: the back end does not work")
    await gone.close()


async def test_a_back_end_that_is_too_slow_is_a_failure_at_its_limit(server: Elsewhere) -> None:
    server.answer = None
    back = http(server, "limit: 200 ms")
    began = asyncio.get_running_loop().time()
    answer = await back.ask(asked("42"))
    assert answer == LookupFailed(7, "no answer within 0.2 s")
    assert 0.2 <= asyncio.get_running_loop().time() - began < 2
    await back.close()


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("1/../../admin", "/items/1%2F..%2F..%2Fadmin"),
        ("1?x=2#y", "/items/1%3Fx%3D2%23y"),
        ("1 HTTP/1.1 王", "/items/1%20HTTP%2F1.1%20%E7%8E%8B"),
        ("%2e%2e", "/items/%252e%252e"),
    ],
)
async def test_a_value_never_leaves_its_place_in_the_address(
    server: Elsewhere, value: str, target: str
) -> None:
    server.says([])
    back = http(server)
    assert await back.ask(asked(value)) == NotFound(7)
    assert server.targets == [target]
    await back.close()


@pytest.mark.parametrize("value", ["", ".", "..", "1\r\nHost: evil", "\udcff", "9" * 65, "\x00"])
async def test_a_value_that_cannot_be_asked_for_is_not(server: Elsewhere, value: str) -> None:
    server.says([])
    back = http(server)
    assert isinstance(await back.ask(asked(value)), LookupFailed)
    assert server.targets == []
    await back.close()
