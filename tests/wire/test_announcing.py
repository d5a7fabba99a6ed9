"""Tickets due soon and overdue are announced once each: nothing is forgotten, nothing doubled."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from announced import CALLER, HALF_HOUR, announcing, left, lines_with, told
from faked import START
from sqlalchemy import update
from structlog.testing import capture_logs

from ivr import tickets
from ivr.announcing import Announcer, _known
from ivr.chain import Witness
from ivr.clock import VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.hotlines import Hotlines
from ivr.leases import LEASE
from ivr.manager import Manager
from ivr.store import Store
from ivr.tables import ticket_announcements as rows
from ivr.webhook import Sender


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


async def test_a_database_that_fails_is_waited_for(
    store: Store, clock: VirtualClock, lines: Hotlines, tmp_path: Path
) -> None:
    of = lines_with(lines)
    left(store, of, START - timedelta(hours=1))
    store.engine.dispose()
    there, away = tmp_path / "test.db", tmp_path / "away.db"
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
