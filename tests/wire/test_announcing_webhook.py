"""A ticket that is announced is also posted to its line's webhook, again until it is hopeless."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from announced import CALLER, HALF_HOUR, TOKEN, TOKENS, announcing, left, lines_with, told
from elsewhere import Elsewhere
from faked import START
from sqlalchemy import select
from structlog.testing import capture_logs

from ivr.announcing import TRIES, Announcer
from ivr.clock import SystemClock, VirtualClock
from ivr.hotlines import Hotlines
from ivr.store import Store
from ivr.tables import ticket_announcements as rows
from ivr.webhook import Sender


async def test_a_webhook_is_told_once_with_a_token_and_no_number(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Elsewhere()
    async with hook.listening() as address:
        of = lines_with(lines, address)
        left(store, of, START)
        async with announcing(store, clock, of):
            await clock.run_for(HALF_HOUR + 60)
    assert [one["id"] for one in hook.posted] == ["T1:due_soon", "T1:overdue"]
    assert {one.token for one in hook.requests} == {f"Bearer {TOKEN}"}
    assert hook.posted[0]["head"].partition(":")[0] == "2"  # with the urge itself
    assert CALLER not in repr(hook.posted)


async def test_a_webhook_that_fails_is_tried_again_also_after_a_restart(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Elsewhere()
    hook.says(status="500 X")
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, START - timedelta(hours=1))
            async with announcing(store, clock, of):
                await clock.run_for(20)
            assert len(hook.posted) == 1
            hook.says(status="204 X")
            async with announcing(store, clock, of):
                await clock.run_for(300)
    assert [one["id"] for one in hook.posted] == ["T1:overdue"] * 2
    assert [one["why"] for one in logs if "webhook failed" in one["event"]] == ["HTTP status 500"]
    assert len(told(logs)) == 1
    assert TOKEN not in repr(logs)


async def test_a_webhook_that_never_works_is_given_up_and_it_is_said(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Elsewhere()
    hook.says(status="404 X")
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, START - timedelta(hours=1))
            one = Announcer(store, clock, of, sender=(sender := Sender(clock, TOKENS)))
            await one.announce()
            began = clock.now()
            while [row for row in everything(store) if row.webhook == "owed"]:
                assert clock.now() - began < 7 * 24 * 3600
                await asyncio.gather(one.deliver(), clock.run_for(1800))
            await sender.close()
    assert len(hook.posted) == TRIES
    assert clock.now() - began > 10 * 3600
    assert [one["event"] for one in logs if one["log_level"] == "error"] == [
        "a webhook is given up"
    ]


def everything(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(rows)).all())


async def test_a_webhook_that_hangs_has_a_time_limit_and_holds_up_nothing(
    store: Store, lines: Hotlines
) -> None:
    """In real time: what a clock cannot see is exactly what hangs here."""
    clock, hook = SystemClock(), Elsewhere()
    hook.answer = None
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, clock.utc() - timedelta(hours=1))
            one = Announcer(store, clock, of, sender=(slow := Sender(clock, TOKENS, limit=60.0)))
            await one.announce()
            delivering = asyncio.create_task(one.deliver())
            await hook.came.wait()
            left(store, of, clock.utc() - timedelta(hours=1), 2)
            await one.announce()
            assert not delivering.done()
            assert len(told(logs)) == 2  # while the first hook still hangs
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            await slow.close()
            quick = Sender(clock, TOKENS, limit=0.2)
            assert await quick.post(address, "HOOK_TOKEN", {}) == "no answer within 0.2 s"
            await quick.close()
    clock.close()


async def test_an_address_where_nobody_listens_is_a_failure_without_the_address(
    store: Store, clock: VirtualClock
) -> None:
    sender = Sender(clock, {})
    for address in ("http://127.0.0.1:9/x", "http://[::1", "nonsense"):
        why = await sender.post(address, "", {"a": 1})
        assert why
        assert address not in why
    assert await sender.post("http://127.0.0.1:9/x", "HOOK_TOKEN", {}) == (
        "the environment has no HOOK_TOKEN"
    )
    await sender.close()
