"""A note is posted to the line's webhook as all that we post: straight, with its token, in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from elsewhere import Elsewhere
from faked import START
from structlog.testing import capture_logs

from ivr.actions import RingAgent
from ivr.clock import SystemClock
from ivr.hotlines import Hotlines
from ivr.legs import Leg
from ivr.notes import Notes
from ivr.server import Service
from ivr.store import Call
from ivr.ticket_rules import Webhook

CALL = Call("c1", "pbx", "1.1", "ems", "11185", "13812345678", START)
TOKEN = "Hk3tWebhookTokenHk3t"


async def told(lines: Hotlines, hook: str) -> list[Any]:
    """Tell this webhook a note; returns what the log says."""
    tasks: list[asyncio.Task[None]] = []
    clock = SystemClock()
    own: Any = SimpleNamespace(
        hotlines=lines,
        clock=clock,
        bell=None,
        spawn=lambda errand: tasks.append(asyncio.create_task(errand)),
    )
    line = lines.lines["ems"]
    transfer = replace(line.staff.transfer, webhook=Webhook(hook, "DESK_TOKEN"))
    line = replace(line, staff=replace(line.staff, transfer=transfer))
    wish = RingAgent(1, "801", (("kind", "complaint"),), "12", 20.0)
    notes = Notes(cast(Service, own))
    with capture_logs() as logs:
        notes.tell(cast(Leg, SimpleNamespace(line=line, call=CALL, wish=wish)))
        await asyncio.gather(*tasks)
    await notes.close()
    clock.close()
    return logs


async def test_a_note_goes_past_the_proxies_of_the_environment_and_with_its_token(
    lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", TOKEN)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    hook = Elsewhere()
    async with hook.listening() as address:
        assert await told(lines, address) == []
    assert [(one["event"], one["agent"]) for one in hook.posted] == [("note", "801")]
    assert [one.token for one in hook.requests] == [f"Bearer {TOKEN}"]


async def test_a_note_that_nobody_takes_is_told_in_the_log_without_its_address(
    lines: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", TOKEN)
    hook = Elsewhere()
    hook.says(status="500 X")
    async with hook.listening() as address:
        [line] = await told(lines, address)
    assert (line["event"], line["why"]) == ("a webhook was not told a note", "HTTP status 500")
    assert address not in repr(line)
