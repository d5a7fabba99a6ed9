"""A ticket whose grade alerts somebody is told at once, to whom the line's rules name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from announced import CALLER, TOKENS, announcing, left, lines_with
from elsewhere import Elsewhere
from faked import START
from structlog.testing import capture_logs

from ivr import tickets
from ivr.announcing import Announcer
from ivr.clock import SystemClock, VirtualClock
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.store import Store
from ivr.ticket_rules import Alert, Webhook
from ivr.webhook import Sender


def graded(lines: Hotlines, webhook: str = "", own: str = "") -> Callable[[], dict[str, Line]]:
    """A line where a serious complaint alerts the supervisor, a very serious one the expert, too;
    `own` is the webhook of the latter."""
    hook = Webhook(own, "HOOK_TOKEN") if own else None
    grades = {
        "serious": Alert(("supervisor",)),
        "very_serious": Alert(("supervisor", "expert"), hook),
    }
    one = lines_with(lines, webhook)()["ems"]
    rules = replace(one.tickets, promises={"answer": "3 days"}, grades=grades)
    return lambda: {"ems": replace(one, tickets=rules)}


def alerts(logs: list[Any]) -> list[tuple[str, str]]:
    return [(one["event"], one["alert"]) for one in logs if "alert" in one]


async def test_a_complaint_that_becomes_serious_alerts_at_once_and_once_over_restarts(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = graded(lines)
    left(store, of, START)
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(60)
            assert alerts(logs) == []
            tickets.grade(store, "T1", "serious", "801", clock.utc())
            await clock.run_for(16)
            assert alerts(logs) == [("a ticket is serious", "supervisor")]
        for grade in ("light", "very_serious", "serious"):
            tickets.grade(store, "T1", grade, "801", clock.utc())
            async with announcing(store, clock, of):
                await clock.run_for(60)
    assert alerts(logs)[1:] == [("a ticket is very serious", "supervisor,expert")]
    urged = [step.text for step in tickets.history(store, "T1") if step.what == "urged"]
    assert urged[-2:] == ["serious: supervisor", "very_serious: supervisor, expert"]
    assert CALLER not in repr(logs)


async def test_a_ticket_that_is_solved_or_light_alerts_nobody(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = graded(lines)
    for number in range(2):
        left(store, of, START, number)
    tickets.grade(store, "T1", "very_serious", "801", START)
    tickets.take(store, "T1", "801", START)
    tickets.change(store, "T1", "done", "801", START)
    last = tickets.listed(store)[0].id
    tickets.grade(store, last, "light", "801", START)
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(60)
    assert alerts(logs) == []


async def test_a_grade_may_be_posted_to_a_webhook_of_its_own(store: Store, lines: Hotlines) -> None:
    plain, own, clock = Elsewhere(), Elsewhere(), SystemClock()
    async with plain.listening() as first, own.listening() as second:
        of = graded(lines, first, second)
        for number in range(2):
            left(store, of, clock.utc(), number)
        one, other = (ticket.id for ticket in tickets.listed(store))
        tickets.grade(store, one, "serious", "801", START)
        tickets.grade(store, other, "very_serious", "801", START)
        announcer = Announcer(store, clock, of, sender=(sender := Sender(clock, TOKENS)))
        await announcer.announce()
        await announcer.deliver()
        await sender.close()
    clock.close()
    assert [(p["ticket"], p["threshold"], p["alert"]) for p in plain.posted] == [
        (one, "serious", "supervisor")
    ]
    assert [(p["ticket"], p["threshold"], p["alert"]) for p in own.posted] == [
        (other, "very_serious", "supervisor,expert")
    ]
