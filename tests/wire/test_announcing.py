"""Tickets due soon and overdue are announced once each: nothing is forgotten, nothing doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faked import START
from migrated import new
from sqlalchemy import select, update
from structlog.testing import capture_logs

from ivr import tickets
from ivr.actions import Keep
from ivr.announcing import TRIES, Announcer, _known
from ivr.chain import Witness
from ivr.clock import SystemClock, VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.leases import LEASE
from ivr.manager import Manager
from ivr.messages import keep
from ivr.store import Call, Store, write_rows
from ivr.tables import ticket_announcements as rows
from ivr.ticket_rules import Alert, Rules, Webhook
from ivr.webhook import Sender

CALLER = "13812345678"
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", CALLER, START)
TOKEN = "Hk3tWebhookTokenHk3t"
TOKENS = {"HOOK_TOKEN": TOKEN}
HALF_HOUR = 1800.0


@pytest.fixture
def store(tmp_path: Path):
    made = new(tmp_path / "x.db")
    with made.write() as connection:
        write_rows(connection, Call, [CALL])
    yield made
    made.close()


class Hook:
    """Another system's address: notes what is posted, and answers `status`; None hangs."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.posted: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        self.posted.append(json.loads(body))
        self.tokens.append(fields.get("authorization", ""))
        self.asked.set()
        if self.status is None:
            await reader.read()
        else:
            answer = f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(answer.encode())
            await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        finally:
            server.close()
            await server.wait_closed()


def lines_with(lines: Hotlines, webhook: str = "") -> Callable[[], dict[str, Line]]:
    """The lines, with half an hour for a complaint, due soon ten minutes before."""
    hook = Webhook(webhook, "HOOK_TOKEN") if webhook else None
    rules = Rules({}, {"answer": "30 min"}, 600.0, hook)
    one = replace(lines.lines["ems"], tickets=rules)
    return lambda: {"ems": one}


def left(store: Store, lines: Callable[[], dict[str, Line]], at: datetime, number: int = 1) -> None:
    from ivr.hours import parse

    line = lines()["ems"]
    values = (("contact", CALLER), ("staff_number", "801"))
    wish = Keep(number, "complaint", values, "30 min")
    keep(store, CALL, wish, parse(line.document), at, line.tickets)


@asynccontextmanager
async def announcing(
    store: Store, clock: Any, lines: Callable[[], dict[str, Line]], **more: Any
) -> AsyncIterator[Announcer]:
    sender = Sender(clock, TOKENS, limit=more.pop("limit", 10.0))
    one = Announcer(store, clock, lines, sender=sender, **more)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def told(logs: list[Any]) -> list[tuple[str, str]]:
    return [(one["event"], one["ticket"]) for one in logs if "is due" in one["event"] or
            "is overdue" in one["event"]]  # fmt: skip


async def test_a_ticket_is_announced_when_it_is_due_soon_and_when_it_is_overdue_once_each(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    left(store, of, START)
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(1200 - 20)
            assert told(logs) == []
            await clock.run_for(40)
            assert told(logs) == [("a ticket is due soon", "T1")]
            await clock.run_for(HALF_HOUR * 2)
    assert told(logs) == [("a ticket is due soon", "T1"), ("a ticket is overdue", "T1")]
    assert [(s.what, s.who, s.text) for s in tickets.history(store, "T1")][1:] == [
        ("urged", "service", "due_soon"), ("urged", "service", "overdue"),
    ]  # fmt: skip
    assert CALLER not in repr(logs)


async def test_what_is_solved_in_time_is_not_announced(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    for number in range(3):
        left(store, of, START, number)
    tickets.take(store, "T2", "801", START)
    tickets.take(store, "T3", "801", START)
    tickets.change(store, "T3", "done", "801", START)
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(HALF_HOUR + 60)
    assert {ticket for _, ticket in told(logs)} == {"T1", "T2"}
    assert len(told(logs)) == 4


async def test_nothing_is_forgotten_or_said_twice_over_restarts_at_every_look(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    for number in range(20):
        left(store, of, START + timedelta(seconds=7 * number), number)
    with capture_logs() as logs:
        for _ in range(int(HALF_HOUR) // 50 + 10):
            async with announcing(store, clock, of):
                await clock.run_for(50)
    says = ("a ticket is due soon", "a ticket is overdue")
    assert sorted(told(logs)) == sorted((what, f"T{n}") for n in range(1, 21) for what in says)


async def test_a_ticket_that_became_overdue_while_we_were_away_is_announced_as_that_alone(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(days=2))
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(60)
    assert told(logs) == [("a ticket is overdue", "T1")]


async def test_two_processes_say_it_once(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    for number in range(10):
        left(store, of, START - timedelta(hours=1), number)
    other = Store(str(store.engine.url))
    with capture_logs() as logs:
        async with announcing(store, clock, of), announcing(other, clock, of):
            await clock.run_for(60)
    other.close()
    assert len(told(logs)) == len(set(told(logs))) == 10


async def test_what_a_process_claimed_that_died_is_said_by_the_next(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(hours=1))
    dying = Announcer(store, clock, of, sender=Sender(clock, {}))
    assert len(dying._claim(clock.utc())) == 1  # and it dies before it says anything
    with capture_logs() as logs:
        async with announcing(store, clock, of):
            await clock.run_for(LEASE.total_seconds() - 16)
            assert told(logs) == []
            await clock.run_for(32)
    assert told(logs) == [("a ticket is overdue", "T1")]


async def test_the_manager_carries_the_event_and_no_number(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(hours=1))
    accounts = {name: Account(name) for name in ("sansheng", "desk")}
    fake = FakeAsterisk(clock, ("127.0.0.1", 1), seconds=lambda _: None, accounts=accounts)
    port = await fake.listen()
    heard: list[Any] = []
    manager = Manager(
        *("127.0.0.1", port, "sansheng", "sansheng"),
        clock=clock,
        on_event=heard.append,
        ping_every=None,
    )
    fake.watch(manager)
    await manager.start()
    async with announcing(store, clock, of, bell=manager):
        await clock.run_for(60)
    sent = [dict(pairs) for pairs in fake.ami.actions]
    await manager.stop()
    await fake.close()
    [event] = [one for one in sent if one["Action"] == "UserEvent"]
    assert event["UserEvent"] == "SanshengTicket"
    assert (event["Ticket"], event["Threshold"], event["Line"]) == ("T1", "overdue", "ems")
    assert (event["Id"], event["Owner"]) == ("T1:overdue", "service")
    assert CALLER not in repr(event)


async def test_a_webhook_is_told_once_with_a_token_and_no_number(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Hook()
    async with hook.listening() as address:
        of = lines_with(lines, address)
        left(store, of, START)
        async with announcing(store, clock, of):
            await clock.run_for(HALF_HOUR + 60)
    assert [one["id"] for one in hook.posted] == ["T1:due_soon", "T1:overdue"]
    assert set(hook.tokens) == {f"bearer {TOKEN}".lower()}
    assert hook.posted[0]["head"].partition(":")[0] == "2"  # with the urge itself
    assert CALLER not in repr(hook.posted)


async def test_a_webhook_that_fails_is_tried_again_also_after_a_restart(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Hook()
    hook.status = 500
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, START - timedelta(hours=1))
            async with announcing(store, clock, of):
                await clock.run_for(20)
            assert len(hook.posted) == 1
            hook.status = 204
            async with announcing(store, clock, of):
                await clock.run_for(300)
    assert [one["id"] for one in hook.posted] == ["T1:overdue"] * 2
    assert [one["why"] for one in logs if "webhook failed" in one["event"]] == ["HTTP status 500"]
    assert len(told(logs)) == 1
    assert TOKEN not in repr(logs)


async def test_a_webhook_that_never_works_is_given_up_and_it_is_said(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    hook = Hook()
    hook.status = 404
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, START - timedelta(hours=1))
            one = Announcer(store, clock, of, sender=(sender := Sender(clock, TOKENS)))
            await one.announce()
            began = clock.now()
            while [row for row in everything(store) if row.webhook == "owed"]:
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
    clock, hook = SystemClock(), Hook()
    hook.status = None
    with capture_logs() as logs:
        async with hook.listening() as address:
            of = lines_with(lines, address)
            left(store, of, clock.utc() - timedelta(hours=1))
            one = Announcer(store, clock, of, sender=(slow := Sender(clock, TOKENS, limit=60.0)))
            await one.announce()
            delivering = asyncio.create_task(one.deliver())
            await hook.asked.wait()
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


async def test_a_database_that_fails_is_waited_for(
    store: Store, clock: VirtualClock, lines: Hotlines, tmp_path: Path
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(hours=1))
    store.engine.dispose()
    there, away = tmp_path / "x.db", tmp_path / "away.db"
    with capture_logs() as logs:
        there.rename(away)
        there.mkdir()
        async with announcing(store, clock, of):
            await clock.run_for(40)
            assert told(logs) == []
            there.rmdir()
            away.rename(there)
            await clock.run_for(40)
    assert told(logs) == [("a ticket is overdue", "T1")]
    assert any("trying again" in one["event"] for one in logs)


async def test_the_head_is_written_down_elsewhere_as_the_history_grows(
    store: Store, clock: VirtualClock, lines: Hotlines, tmp_path: Path
) -> None:
    of = lines_with(lines)
    witness = Witness(tmp_path / "elsewhere/heads")
    async with announcing(store, clock, of, witness=witness):
        await clock.run_for(20)
        assert list(witness.heads()) == []
        left(store, of, START)
        await clock.run_for(20)
        tickets.take(store, "T1", "801", START)
        await clock.run_for(60)
    assert [one.length for one in witness.heads()] == [1, 2]


async def test_the_line_of_a_ticket_may_be_gone(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    left(store, lines_with(lines), START - timedelta(hours=1))
    with capture_logs() as logs:
        async with announcing(store, clock, dict):
            await clock.run_for(30)
    assert told(logs) == [("a ticket is overdue", "T1")]
    with store.write() as connection:
        connection.execute(update(rows).values(webhook="owed"))
    with capture_logs() as logs:
        async with announcing(store, clock, dict):
            await clock.run_for(30)
    assert [one["event"] for one in logs] == ["a webhook is given up"]


async def test_a_head_that_cannot_be_written_down_keeps_no_ticket_from_being_announced(
    store: Store, clock: VirtualClock, lines: Hotlines, tmp_path: Path
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(days=2))
    with capture_logs() as logs:
        async with announcing(store, clock, of, witness=Witness(tmp_path)):  # a folder
            await clock.run_for(120)
    assert told(logs) == [("a ticket is overdue", "T1")]
    failed = [one["head"] for one in logs if "could not be written down" in one["event"]]
    assert [head.split(":")[0] for head in failed] == ["1", "2"]  # each head once


async def test_a_look_does_not_read_what_was_announced_of_tickets_that_are_done(
    store: Store, clock: VirtualClock, lines: Hotlines
) -> None:
    of = lines_with(lines)
    for number in range(3):
        left(store, of, START - timedelta(days=2), number)
    async with announcing(store, clock, of):
        await clock.run_for(60)
    for name in ("T1", "T2"):
        tickets.take(store, name, "801", START)
        tickets.change(store, name, "done", "801", START)
    now = clock.utc()
    with store.read() as connection:
        assert _known(connection, now, now) == {("T3", "overdue")}


# ---------------------------------------------------------------- grades that alert somebody


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
    plain, own = Hook(), Hook()
    async with plain.listening() as first, own.listening() as second:
        of = graded(lines, first, second)
        for number in range(2):
            left(store, of, datetime.now(tz=START.tzinfo), number)
        one, other = (ticket.id for ticket in tickets.listed(store))
        tickets.grade(store, one, "serious", "801", START)
        tickets.grade(store, other, "very_serious", "801", START)
        announcer = Announcer(store, SystemClock(), of, sender=Sender(SystemClock(), TOKENS))
        await announcer.announce()
        await announcer.deliver()
    assert [(p["ticket"], p["threshold"], p["alert"]) for p in plain.posted] == [
        (one, "serious", "supervisor")
    ]
    assert [(p["ticket"], p["threshold"], p["alert"]) for p in own.posted] == [
        (other, "very_serious", "supervisor,expert")
    ]
