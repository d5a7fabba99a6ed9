"""Tickets of a line that wants them soon, and a service that announces what is due."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from background import going_on
from faked import START

from ivr.actions import Keep
from ivr.announcing import Announcer
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.hours import parse
from ivr.messages import keep
from ivr.store import Call, Store, write_rows
from ivr.ticket_rules import Rules, Webhook
from ivr.webhook import Sender

CALLER = "13812345678"
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", CALLER, START)
TOKEN = "Hk3tWebhookTokenHk3t"
TOKENS = {"HOOK_TOKEN": TOKEN}
HALF_HOUR = 1800.0


def lines_with(lines: Hotlines, webhook: str = "") -> Callable[[], dict[str, Line]]:
    """The lines, with half an hour for a complaint, due soon ten minutes before."""
    hook = Webhook(webhook, "HOOK_TOKEN") if webhook else None
    rules = Rules({}, {"answer": "30 min"}, 600.0, hook)
    one = replace(lines.lines["ems"], tickets=rules)
    return lambda: {"ems": one}


def left(store: Store, lines: Callable[[], dict[str, Line]], at: datetime, number: int = 1) -> None:
    """A caller complains, and is promised an answer within half an hour."""
    line = lines()["ems"]
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
    values = (("contact", CALLER), ("staff_number", "801"))
    wish = Keep(number, "complaint", values, "30 min")
    keep(store, CALL, wish, parse(line.document), at, line.tickets)


@asynccontextmanager
async def announcing(
    store: Store, clock: Any, lines: Callable[[], dict[str, Line]], **more: Any
) -> AsyncIterator[Announcer]:
    sender = Sender(clock, TOKENS)
    one = Announcer(store, clock, lines, sender=sender, **more)
    async with going_on(one.run()):
        yield one


def told(logs: list[Any]) -> list[tuple[str, str]]:
    """What the log says of due tickets, in order."""
    due = ("is due", "is overdue")
    return [
        (one["event"], one["ticket"]) for one in logs if any(word in one["event"] for word in due)
    ]
